"""A Trainer that a function of the user's makes."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from own_code_samples import arguments, task

from stabsearch.errors import UserError
from stabsearch.records import Cause, Outcome, Stage, TrialPlan
from stabsearch.task.own_trainer import build
from stabsearch.trial.run import run_trial, run_trial_of
from stabsearch.trial.setup import TrialSetup

PLAN = TrialPlan(0, Stage.SEARCH, 1e-3, 2, 1.0, "fp32", 3, 5, 6)
pytestmark = pytest.mark.usefixtures("own_path")
SETUP = TrialSetup(max_steps=40, training={"per_device_train_batch_size": 4})


def test_the_trainer_is_the_users_own(tmp_path: Path) -> None:
    """Its class, its rows and its arguments; the same seed gives the same weights."""
    code = """
    class Mine(Trainer):
        pass
    def make_trainer(args):
        return Mine(model=model(), args=args, train_dataset=rows())
    """
    workload = build(task(tmp_path, code))
    given = arguments(tmp_path, learning_rate=0.25)
    trainer = workload.trainer(given, 3)
    assert (type(trainer).__name__, trainer.args, workload.num_rows) == ("Mine", given, 48)
    again, other = workload.model(3).state_dict(), workload.model(4).state_dict()
    first = trainer.model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(again["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize(("given", "known"), [(0.5, 0.5), (None, math.nan)])
def test_the_chance_loss_is_what_the_user_says(tmp_path: Path, given: float | None, known: float) -> None:
    """Without it nothing is made up."""
    assert build(task(tmp_path, chance_loss=given)).chance_loss == pytest.approx(known, nan_ok=True)


def test_a_trial_of_it_is_a_measurement(tmp_path: Path) -> None:
    """Guarded, stopped at its horizon, with the settings of its plan."""
    record = run_trial(PLAN, build(task(tmp_path)), SETUP)
    assert (record.outcome, record.steps) == (Outcome.STABLE, 6), record.message
    assert record.effective is not None
    assert record.effective.peak_learning_rate == pytest.approx(1e-3)
    assert record.effective.batch_rows == 4


BROKEN = """
def make_trainer(args):
    class Mine(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **named):
            loss = super().compute_loss(model, inputs, **named)
            is_hit = (inputs["input_ids"] == rows()[7]["input_ids"].to(loss.device)).all(1).any()
            return loss * (float("nan") if is_hit else 1.0)
    return Mine(model=model(), args=args, train_dataset=rows())
"""


def test_a_row_that_breaks_its_own_loss_is_named(tmp_path: Path) -> None:
    """The cause is asked of the user's own loss, on the initial weights of the user's own model."""
    record = run_trial(replace(PLAN, horizon=12), build(task(tmp_path, BROKEN)), SETUP)
    assert (record.outcome, record.cause, record.suspect_rows) == (Outcome.DATA_FAULT, Cause.DATA, (7,))


IGNORED = {
    "learning_rate": ("0.5", "0.001"),
    "max_grad_norm": ("0.125", "1.0"),
    "warmup_steps": ("17", "2"),
    "per_device_train_batch_size": ("7", "4"),
    "max_steps": ("41", "40"),
    "weight_decay": ("0.5", "0.0"),
    "seed": ("9", "3"),
    "data_seed": ("9", "5"),
    "bf16": ("True", "False"),
    "gradient_accumulation_steps": ("2", "1"),
}


@pytest.mark.parametrize("name", IGNORED)
def test_an_argument_that_is_ignored_is_named(tmp_path: Path, name: str) -> None:
    """A trial with other settings than its plan's proves nothing, and says which they are."""
    mine, planned = IGNORED[name]
    code = f"""
    import dataclasses
    def make_trainer(args):
        return Trainer(model=model(), args=dataclasses.replace(args, {name}={mine}), train_dataset=rows())
    """
    record = run_trial(PLAN, build(task(tmp_path, code)), SETUP)
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert f"{name}: planned {planned}, effective {mine}" in record.message


def test_an_optimizer_with_a_rate_of_its_own(tmp_path: Path) -> None:
    """The arguments are those of the trial, and the optimizer does not listen to them."""
    code = """
    def make_trainer(args):
        mine = model()
        optimizer = torch.optim.AdamW(mine.parameters(), lr=0.25)
        return Trainer(model=mine, args=args, train_dataset=rows(), optimizers=(optimizer, None))
    """
    record = run_trial(PLAN, build(task(tmp_path, code)), SETUP)
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert "learning_rate: planned 0.001, effective 0.25" in record.message


FAULTS = {
    "raises": (
        "def make_trainer(args):\n    raise ValueError('no such file')",
        r"users_\w+:make_trainer raised ValueError: no such file \(.*users_\w+\.py:\d+\)",
    ),
    "returns nothing": ("def make_trainer(args):\n    pass", "it returned None, and no transformers.Trainer"),
    "returns a model": (
        "def make_trainer(args):\n    return model()",
        "returned a BertForSequenceClassification",
    ),
    "exits": ("import sys\ndef make_trainer(args):\n    sys.exit(3)", "raised SystemExit: 3"),
    "takes no arguments": (
        "def make_trainer():\n    pass",
        "raised TypeError: make_trainer\\(\\) takes 0 .* was given$",
    ),
    "trains": (
        "def make_trainer(args):\n    t = Trainer(model=model(), args=args, train_dataset=rows())\n"
        "    t.train()\n    return t",
        "the Trainer has been trained for 4 steps already",
    ),
    "keeps a part of its model": (
        "BERT = model().bert\n"
        "def make_trainer(args):\n    mine = model()\n    mine.bert = BERT\n"
        "    return Trainer(model=mine, args=args, train_dataset=rows())",
        "the Trainer's model is one that another trial was given before",
    ),
    "keeps its model": (
        "MODEL = model()\n"
        "def make_trainer(args):\n    return Trainer(model=MODEL, args=args, train_dataset=rows())",
        "the Trainer's model is one that another trial was given before",
    ),
    "has no rows": (
        "def make_trainer(args):\n    return Trainer(model=model(), args=args, train_dataset=[])",
        "the Trainer's training data have no rows",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_factory_that_makes_no_trainer(tmp_path: Path, fault: str) -> None:
    """Two lines with the place, at the key that names it."""
    code, message = FAULTS[fault]
    workload = build(task(tmp_path, code))
    with pytest.raises(UserError) as raised:
        [workload.trainer(arguments(tmp_path), seed) for seed in range(2)]
    assert re.search(message, raised.value.message)
    assert raised.value.key == ("task", "factory")
    assert raised.value.hint
    assert "\n" not in raised.value.message


LEAVES_THINGS = """
import dataclasses
from transformers import EarlyStoppingCallback, TrainerCallback
class Note(TrainerCallback):
    def on_step_end(self, *given, **named):
        open("steps.txt", "a").write("x")
def make_trainer(args):
    args = dataclasses.replace(args, output_dir="mine", save_strategy="steps", save_steps=2,
                               eval_strategy="steps", eval_steps=2, report_to="mlflow",
                               load_best_model_at_end=True, metric_for_best_model="loss")
    return Trainer(model=model(), args=args, train_dataset=rows(), eval_dataset=rows(),
                   callbacks=[EarlyStoppingCallback(), Note()])
"""


def test_a_trial_leaves_nothing_whatever_the_factory_wants(tmp_path: Path) -> None:
    """No checkpoints, evaluations or reports; callbacks of the user's own stay."""
    record = run_trial(PLAN, build(task(tmp_path, LEAVES_THINGS)), SETUP)
    assert (record.outcome, record.steps) == (Outcome.STABLE, 6), record.message
    left = {path.name for path in tmp_path.rglob("*") if path.suffix not in {".py", ".pyc"}}
    assert left <= {"steps.txt", "__pycache__", "mine"}  # the Trainer's constructor makes its folder
    assert (tmp_path / "steps.txt").read_text() == "x" * 6


def test_weights_that_are_never_trained_may_be_shared(tmp_path: Path) -> None:
    """A large frozen model under a small head is loaded once."""
    code = """
    BERT = model().bert.requires_grad_(False)
    def make_trainer(args):
        mine = model()
        mine.bert = BERT
        return Trainer(model=mine, args=args, train_dataset=rows())
    """
    workload = build(task(tmp_path, code))
    outcomes = [run_trial(replace(PLAN, model_seed=seed), workload, SETUP).outcome for seed in (1, 2)]
    assert outcomes == [Outcome.STABLE, Outcome.STABLE]


def test_weights_that_no_seed_decides(tmp_path: Path) -> None:
    """A trial could not be repeated."""
    code = """
    def make_trainer(args):
        mine, generator = model(), torch.Generator()
        generator.seed()
        mine.classifier.weight.data.normal_(generator=generator)
        return Trainer(model=mine, args=args, train_dataset=rows())
    """
    workload = build(task(tmp_path, code))
    trainer = workload.trainer(arguments(tmp_path), 3)
    with pytest.raises(UserError, match=r"not the same each time: classifier\.weight") as raised:
        workload.check_repeats(trainer, 3)
    assert raised.value.key == ("task", "factory")


def test_weights_that_the_seed_decides_repeat(tmp_path: Path) -> None:
    """Whatever was drawn in between."""
    workload = build(task(tmp_path))
    workload.check_repeats(workload.trainer(arguments(tmp_path), 3), 3)


STREAM = """
class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        while True:
            yield from rows()
def make_trainer(args):
    return Trainer(model=model(), args=args, train_dataset=Stream())
"""


def test_a_stream_can_be_trained_on(tmp_path: Path) -> None:
    """Nobody counts its rows; the full run has its steps."""
    workload = build(task(tmp_path, STREAM))
    record = run_trial(PLAN, workload, SETUP)
    assert (record.outcome, workload.num_rows) == (Outcome.STABLE, 0), record.message


def test_a_stream_has_no_epochs(tmp_path: Path) -> None:
    """The error points at the key that has to change."""
    workload = build(task(tmp_path, STREAM))
    with pytest.raises(UserError, match="a stream, and have no length to count epochs in") as raised:
        workload.trainer(arguments(tmp_path, max_steps=-1), 0)
    assert raised.value.key == ("training", "num_train_epochs")


AT_WORK = """
class Lazy(torch.utils.data.Dataset):
    def __len__(self):
        return 48
    def __getitem__(self, index):
        print("a row is read")
        return dict(rows()[index], labels=int(open("labels.txt").read()[index]))
class Mine(Trainer):
    def compute_loss(self, *given, **named):
        import users_beside
        return users_beside.same(super().compute_loss(*given, **named))
def make_trainer(args):
    return Mine(model=model(), args=args, train_dataset=Lazy())
"""


def test_its_folder_is_there_for_all_of_the_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Files and modules may be asked for late; what is printed stays out of the results."""
    (tmp_path / "labels.txt").write_text("01" * 24)
    (tmp_path / "users_beside.py").write_text("def same(loss):\n    return loss\n")
    record = run_trial(PLAN, build(task(tmp_path, AT_WORK)), SETUP)
    assert record.outcome is Outcome.STABLE, record.message
    out, err = capfd.readouterr()
    assert "a row is read" not in out
    assert "a row is read" in err


def test_a_trial_keeps_what_the_guard_reads(tmp_path: Path) -> None:
    """Losses as they are, and the batch size of the plan whatever does not fit."""
    code = """
    import dataclasses
    def make_trainer(args):
        args = dataclasses.replace(args, auto_find_batch_size=True, logging_nan_inf_filter=True)
        return Trainer(model=model(), args=args, train_dataset=rows())
    """
    given = arguments(tmp_path, auto_find_batch_size=False, logging_nan_inf_filter=False)
    args = build(task(tmp_path, code)).trainer(given, 0).args
    assert (args.auto_find_batch_size, args.logging_nan_inf_filter) == (False, False)


def test_a_model_that_was_prepared_before(tmp_path: Path) -> None:
    """By a Trainer that stabsearch never saw: its precision would stay."""
    code = """
    def make_trainer(args):
        mine = model()
        mine._is_accelerate_prepared = True
        return Trainer(model=mine, args=args, train_dataset=rows())
    """
    with pytest.raises(UserError, match="one that another trial was given before"):
        build(task(tmp_path, code)).trainer(arguments(tmp_path), 0)


def test_a_trainer_without_data(tmp_path: Path) -> None:
    """The Trainer would say so only when it starts."""
    code = "def make_trainer(args):\n    return Trainer(model=model(), args=args)"
    with pytest.raises(UserError, match="the Trainer has no training data") as raised:
        build(task(tmp_path, code)).trainer(arguments(tmp_path), 0)
    assert raised.value.key == ("task", "factory")


def test_one_trial_that_raises_leaves_the_others_alone(tmp_path: Path) -> None:
    """A factory that fails for one seed is that trial's crash."""
    code = """
    def make_trainer(args):
        if args.seed == 3:
            raise OSError("disk on fire")
        return Trainer(model=model(), args=args, train_dataset=rows())
    """
    workload = build(task(tmp_path, code))
    bad, good = (run_trial(replace(PLAN, model_seed=seed), workload, SETUP) for seed in (3, 4))
    assert (bad.outcome, good.outcome) == (Outcome.CRASHED, Outcome.STABLE)
    assert "disk on fire" in bad.message


def test_memory_that_runs_out_keeps_its_name(tmp_path: Path) -> None:
    """A model that does not fit is no bug of the factory's."""
    code = "def make_trainer(args):\n    raise RuntimeError('CUDA out of memory')"
    record = run_trial_of(PLAN, lambda: build(task(tmp_path, code)), SETUP)
    assert record.outcome is Outcome.OOM
