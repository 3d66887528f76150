"""Steps: as Transformers counts them, with horizons that say something about the peak rate."""

from __future__ import annotations

import math
from typing import Any

import pytest
from accelerate.data_loader import BatchSamplerShard
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader
from transformers import Trainer, TrainingArguments

from stabsearch.config import QuickstartTask, Resolved, Sweep, Training, resolve
from stabsearch.config.resolve import (
    DEFAULT_OPTIMIZER,
    DEFAULT_SCHEDULER,
    EXPOSURE_FACTOR,
    adam_memory,
    full_run_steps,
    needed_horizon,
    warmup_steps,
)
from stabsearch.errors import UserError
from stabsearch.records import Context


def sweep_of(
    training: dict[str, Any] | None = None,
    search: dict[str, Any] | None = None,
    budget: dict[str, Any] | None = None,
) -> Sweep:
    """Return a quickstart sweep with these parts."""
    return Sweep.model_validate(
        {
            "name": "a",
            "task": QuickstartTask(),
            "training": {"max_steps": 2000, **(training or {})},
            "search": search or {},
            "budget": budget or {},
        }
    )


rows = st.integers(1, 10_000)
sizes = st.integers(1, 64)


@given(rows, sizes, st.integers(1, 8), st.floats(0.1, 5), st.booleans(), st.integers(1, 4))
def test_a_full_run_has_the_steps_that_transformers_gives_it(
    num_rows: int, batch: int, accumulation: int, epochs: float, drop_last: bool, processes: int
) -> None:
    """Counted with the Trainer's own loader and its own rule, and each process's share of the batches."""
    training = Training.model_validate(
        {
            "num_train_epochs": epochs,
            "per_device_train_batch_size": batch,
            "gradient_accumulation_steps": accumulation,
            "dataloader_drop_last": drop_last,
        }
    )
    whole = BatchSampler(range(num_rows), batch, drop_last)
    shard = BatchSamplerShard(whole, processes) if processes > 1 else whole
    loader = DataLoader(range(num_rows), batch_sampler=shard)  # type: ignore[arg-type]
    assume(len(loader) > 0)

    class Counting(Trainer):
        def __init__(self) -> None:  # the counting rule needs nothing of a real trainer
            pass

        def get_total_train_batch_size(self, args: Any) -> int:
            return batch * accumulation * processes

        def get_sp_size(self) -> int:
            return 1

    args = _arguments(TrainingArguments, num_train_epochs=epochs, gradient_accumulation_steps=accumulation)
    counted = Counting().set_initial_training_values(args, loader)[-1]
    assert full_run_steps(training, num_rows, processes) == counted


def _arguments(kind: Any, **values: Any) -> Any:
    """Return arguments without their slow checks of the device."""
    args = object.__new__(kind)
    for name, value in {"max_steps": -1, **values}.items():
        object.__setattr__(args, name, value)
    return args


@given(st.floats(0, 5000), st.integers(1, 100_000))
def test_a_warmup_has_the_steps_that_transformers_gives_it(value: float, max_steps: int) -> None:
    """1 and above are steps, below is a share, rounded up."""
    expected = _arguments(TrainingArguments, warmup_steps=value).get_warmup_steps(max_steps)
    assert warmup_steps(value, max_steps) == expected


def test_the_defaults_are_those_of_transformers() -> None:
    """What a sweep leaves out, the Trainer fills in; caveats must speak of the same values."""
    fields = TrainingArguments.__dataclass_fields__
    assert fields["optim"].default == DEFAULT_OPTIMIZER
    assert fields["lr_scheduler_type"].default == DEFAULT_SCHEDULER


@given(
    st.integers(1, 5000),
    st.lists(
        st.one_of(st.floats(0, 0.99), st.integers(1, 200).map(float)), min_size=1, max_size=4, unique=True
    ),
    st.one_of(st.just("auto"), st.integers(1, 5000)),
    st.floats(0, 0.9999),
)
def test_every_horizon_covers_the_warmup_and_twice_as_many_steps(
    max_steps: int, warmups: list[float], horizon: int | str, beta2: float
) -> None:
    """Whatever is asked for: a horizon that says something, within the full run, or a refusal."""
    sweep = sweep_of({"max_steps": max_steps, "adam_beta2": beta2}, {"warmup": warmups}, {"horizon": horizon})
    resolved = _resolved_or_refused(sweep)
    if isinstance(resolved, UserError):
        assert resolved.key[:2] in {("search", "warmup"), ("budget", "horizon")}
        assert resolved.hint
        return
    longest = max(resolved.warmups)
    assert longest < resolved.horizon <= max_steps
    assert resolved.horizon == max_steps or resolved.horizon >= 3 * longest
    assert len(set(resolved.warmups)) == len(warmups)
    assert resolved.covered_share is not None
    assert 0 < resolved.covered_share <= 1
    if horizon == "auto":
        memory = adam_memory(sweep) or 0
        at_peak = resolved.horizon - longest
        assert resolved.horizon == max_steps or at_peak >= max(2 * longest, min(memory, 200))
    else:
        assert resolved.horizon == horizon


def _resolved_or_refused(sweep: Sweep) -> Resolved | UserError:
    try:
        return resolve(sweep, 100)
    except UserError as error:
        return error


@given(st.integers(1, 3000), st.data())
def test_a_refused_horizon_names_the_number_that_is_accepted(max_steps: int, data: st.DataObject) -> None:
    """One correction is enough."""
    warmup = data.draw(st.integers(0, max_steps - 1))
    needed = needed_horizon(warmup, max_steps)
    assume(needed > 1)
    search = {"warmup": [float(warmup)]}
    with pytest.raises(UserError, match=f"at least {needed} are needed") as caught:
        resolve(sweep_of({"max_steps": max_steps}, search, {"horizon": needed - 1}), 100)
    assert caught.value.key == ("budget", "horizon")
    accepted = sweep_of({"max_steps": max_steps}, search, {"horizon": needed})
    assert resolve(accepted, 100).horizon == needed


ERRORS = [
    (
        {},
        {"warmup": [0, 100.0, 0.05]},
        {},
        ("search", "warmup", 2),
        "0.05 is 100 steps of the full run's 2000, the same as search.warmup[1]",
        "remove one of them",
    ),
    (
        {},
        {"warmup": [0, 3000.0]},
        {},
        ("search", "warmup", 1),
        "3000 is 3000 steps of warmup, the full run has 2000",
        "write fewer than 2000 steps, or a smaller share",
    ),
    (
        {},
        {"warmup": [0.0]},
        {"horizon": 2001},
        ("budget", "horizon"),
        "2001 steps, the full run has only 2000",
        "write 2000 or fewer, or auto",
    ),
    (
        {},
        {"warmup": [0, 0.05]},
        {"horizon": 120},
        ("budget", "horizon"),
        "120 steps are too short for a warmup of 100: at least 300 are needed",
        "write 300 or auto, or shorten the longest search.warmup to 40 steps",
    ),
]


@pytest.mark.parametrize(("training", "search", "budget", "key", "message", "hint"), ERRORS)
def test_what_does_not_fit_is_refused_at_its_key(
    training: dict[str, Any],
    search: dict[str, Any],
    budget: dict[str, Any],
    key: tuple[str, ...],
    message: str,
    hint: str,
) -> None:
    """The exact words, with the number that would fit."""
    with pytest.raises(UserError) as caught:
        resolve(sweep_of(training, search, budget), 100)
    assert (caught.value.key, caught.value.message, caught.value.hint) == (key, message, hint)


def test_contexts_are_all_combinations_in_the_order_of_the_sweep() -> None:
    """Precision, then warmup, then clip norm."""
    search = {"precision": ["bf16", "fp32"], "warmup": [0.0, 0.05], "max_grad_norm": [0.0, 1.0]}
    resolved = resolve(sweep_of(search=search), 100)
    assert resolved.warmups == (0, 100)
    assert resolved.contexts[:3] == (Context("bf16", 0, 0), Context("bf16", 0, 1), Context("bf16", 100, 0))
    assert len(resolved.contexts) == 8


def test_auto_takes_200_steps_at_the_peak_and_says_what_they_cannot_show() -> None:
    """Adam remembers a thousand steps: the shorter hold is named as such."""
    resolved = resolve(sweep_of(search={"warmup": [0.0, 50.0]}), 100)
    assert resolved.horizon == 250
    assert resolved.caveats == (
        "Trials spend 200 steps at or after their peak learning rate, fewer than the 1000 that Adam's second "
        "moment remembers (1/(1-beta2), beta2=0.999): a failure that builds up more slowly does not show.",
        "Trials of 250 steps that hold the peak learning rate cover about 47% of the exposure of the full "
        "run's 2000 steps with a linear schedule (assumed: failure slope of 8 logits per decade).",
    )


def test_a_short_memory_needs_no_caveat_about_it() -> None:
    """beta2 of 0.95 remembers 20 steps."""
    resolved = resolve(sweep_of({"adam_beta2": 0.95}, {"warmup": [0.0]}), 100)
    assert resolved.horizon == 20
    assert not any("second moment" in caveat for caveat in resolved.caveats)


def test_an_optimizer_without_second_moment_gets_no_caveat_about_it() -> None:
    """SGD has no beta2."""
    resolved = resolve(sweep_of({"optim": "sgd"}, {"warmup": [0.0]}), 100)
    assert resolved.horizon == 200
    assert not any("second moment" in caveat for caveat in resolved.caveats)


@pytest.mark.parametrize(("scheduler", "factor"), EXPOSURE_FACTOR.items())
def test_the_covered_share_is_the_exposure_of_the_held_peak(scheduler: str, factor: float) -> None:
    """(S-w)/(f(T-w)), with the factor of the full run's schedule."""
    sweep = sweep_of({"lr_scheduler_type": scheduler}, {"warmup": [100.0]}, {"horizon": 300})
    assert resolve(sweep, 100).covered_share == pytest.approx(200 / (factor * 1900))


def test_an_unknown_schedule_gets_no_share() -> None:
    """Nothing is claimed that was not computed."""
    resolved = resolve(sweep_of({"lr_scheduler_type": "cosine_with_restarts"}), 100)
    assert resolved.covered_share is None
    assert not any("exposure" in caveat for caveat in resolved.caveats)


def test_a_full_length_exact_trial_has_nothing_left_to_say() -> None:
    """It is the full run."""
    sweep = sweep_of(search={"warmup": [0.0]}, budget={"horizon": 2000, "schedule": "exact"})
    resolved = resolve(sweep, 100)
    assert (resolved.covered_share, resolved.caveats) == (1, ())


def test_an_exact_prefix_says_that_nothing_later_shows() -> None:
    """A prefix never sees the end of the run."""
    sweep = sweep_of(search={"warmup": [0.0]}, budget={"horizon": 1000, "schedule": "exact"})
    resolved = resolve(sweep, 100)
    assert (
        "Trials follow the first 1000 of the full run's 2000 steps: nothing later shows." in resolved.caveats
    )


def test_the_exposure_factors_are_the_integrals_they_claim_to_be() -> None:
    """The mean of (rate/peak)**(8/ln 10) over the steps after warmup."""
    exponent = 8 / math.log(10)
    points = [(i + 0.5) / 10_000 for i in range(10_000)]
    linear = sum((1 - x) ** exponent for x in points) / len(points)
    cosine = sum(((1 + math.cos(math.pi * x)) / 2) ** exponent for x in points) / len(points)
    assert EXPOSURE_FACTOR["linear"] == pytest.approx(linear, abs=0.005)
    assert EXPOSURE_FACTOR["cosine"] == pytest.approx(cosine, abs=0.005)
