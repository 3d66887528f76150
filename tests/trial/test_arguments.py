"""The TrainingArguments of a trial: the full run's, with the plan's values; wrong ones are refused."""

from typing import Any

import pytest
from trial_samples import plan, setup

from stabsearch.errors import UserError
from stabsearch.trial.arguments import check_training, trial_arguments


def test_the_plan_and_the_full_run_meet() -> None:
    """Schedule and optimizer are the full run's; what is searched comes from the plan."""
    trial = plan(learning_rate=3e-4, warmup_steps=7, max_grad_norm=0.5, model_seed=11, data_seed=12)
    training = {"weight_decay": 0.1, "lr_scheduler_type": "cosine", "gradient_accumulation_steps": 2}
    args = trial_arguments(trial, setup(max_steps=500, schedule="exact", training=training), "out")
    assert (args.max_steps, args.warmup_steps, args.learning_rate) == (500, 7, 3e-4)
    assert (args.max_grad_norm, args.seed, args.data_seed) == (0.5, 11, 12)
    assert (args.weight_decay, args.lr_scheduler_type) == (0.1, "cosine")
    assert (args.gradient_accumulation_steps, args.per_device_train_batch_size) == (2, 4)


def test_hold_replaces_the_schedule() -> None:
    """After the warmup the peak is held, whatever the full run does."""
    training = {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}}
    args = trial_arguments(plan(), setup(training=training), "out")
    assert args.lr_scheduler_type == "constant_with_warmup"


def test_a_trial_saves_and_reports_nothing() -> None:
    """What the full run logs, saves and evaluates is no business of a trial."""
    training = {
        "eval_strategy": "steps",
        "save_strategy": "steps",
        "load_best_model_at_end": True,
        "report_to": "all",
        "logging_nan_inf_filter": True,
        "auto_find_batch_size": True,
    }
    args = trial_arguments(plan(), setup(training=training), "out")
    assert (args.eval_strategy, args.save_strategy, args.logging_strategy) == ("no", "no", "no")
    off = (args.load_best_model_at_end, args.logging_nan_inf_filter, args.auto_find_batch_size)
    assert off == (False, False, False)
    assert args.report_to == []


@pytest.mark.parametrize(("precision", "bf16", "fp16"), [("fp32", False, False), ("bf16", True, False)])
def test_precision_flags(precision: str, bf16: bool, fp16: bool) -> None:
    """The plan's precision decides, never both flags."""
    args = trial_arguments(plan(precision=precision), setup(), "out")
    assert (args.bf16, args.fp16) == (bf16, fp16)


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"weight_decay": 0, "adam_beta2": 0.98, "optim": "adamw_torch"},
        {"use_cpu": True},
        {"neftune_noise_alpha": None},
        {"dataloader_num_workers": 2, "dataloader_prefetch_factor": 2},
        {"eval_strategy": "steps", "eval_steps": 50, "load_best_model_at_end": True, "save_steps": 50},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}},
        {"train_sampling_strategy": "group_by_length"},
        {"output_dir": "elsewhere", "logging_steps": 0.1},
    ],
)
def test_right_arguments_are_accepted(training: dict[str, Any]) -> None:
    """What Transformers takes together is taken, also where a field needs another one."""
    check_training(training)


@pytest.mark.parametrize(
    ("training", "message", "hint"),
    [
        ({"learning_rte": 1.0}, "has no field 'learning_rte'", "did you mean 'learning_rate'?"),
        ({"weigth_decay": 0.1}, "has no field 'weigth_decay'", "did you mean 'weight_decay'?"),
        ({"zzz": 1}, "has no field 'zzz'", "see the Transformers documentation"),
        ({"weight_decay": "1e-2"}, "weight_decay must be a number, got '1e-2'", "write 0.01"),
        ({"weight_decay": True}, "weight_decay must be a number, got True", "see"),
        ({"eval_accumulation_steps": 1.5}, "must be a whole number or null, got 1.5", "see"),
        ({"gradient_checkpointing": "yes"}, "must be true or false or null, got 'yes'", "see"),
        ({"lr_scheduler_type": "linaer"}, "unknown lr_scheduler_type 'linaer'", "did you mean 'linear'?"),
        ({"optim": "adamw_trch"}, "unknown optim 'adamw_trch'", "did you mean 'adamw_torch'?"),
        ({"eval_strategy": "step"}, "unknown eval_strategy 'step'", "did you mean 'steps'?"),
        ({"train_sampling_strategy": "x"}, "unknown train_sampling_strategy 'x' (known: batch", "see"),
        ({"optim": 3}, "optim=3 is refused: 3 is not a valid OptimizerNames", "see"),
        ({"load_best_model_at_end": True}, "load_best_model_at_end=True is refused", "see"),
    ],
)
def test_wrong_arguments_are_refused(training: dict[str, Any], message: str, hint: str) -> None:
    """The error names the field, what was seen and the way out."""
    with pytest.raises(UserError) as raised:
        check_training({"max_steps": 10, **training})
    assert message in raised.value.message
    assert raised.value.hint.startswith(hint)
    assert raised.value.key == ("training", next(iter(training)))
    assert "\n" not in raised.value.message


def test_a_schedule_that_follows_evaluations_cannot_be_followed() -> None:
    """A trial evaluates nothing; held at the peak it needs no schedule."""
    training = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"}
    check_training(training, "hold")
    with pytest.raises(UserError, match="follows evaluations") as raised:
        check_training(training, "exact")
    assert raised.value.key == ("training", "lr_scheduler_type")
