"""The guard's memory: whatever comes, the first bad number and its step are right."""

import math

from hypothesis import given
from hypothesis import strategies as st

from stabsearch.trial.guard import GuardLog

finite = st.floats(-1e30, 1e30)
bad = st.sampled_from([math.nan, math.inf, -math.inf])


def log_of(steps: list[list[float]], norm: float = 1.0) -> GuardLog:
    log = GuardLog()
    for micro_losses in steps:
        for loss in micro_losses:
            assert log.micro_loss(loss) is None
        assert log.update(norm, 1e-3) is None
    return log


@given(st.lists(st.lists(finite, min_size=1, max_size=3), max_size=8), st.lists(finite, max_size=2), bad)
def test_reports_the_first_bad_loss(steps: list[list[float]], window: list[float], value: float) -> None:
    """Whatever came before, the step and micro-batch of the first bad loss are reported."""
    log = log_of(steps)
    for loss in window:
        log.micro_loss(loss)
    found = log.micro_loss(value)
    assert found is not None
    assert found == log.bad
    assert (found.kind, found.step) == ("loss", len(steps) + 1)
    assert found.micro_batch == sum(map(len, steps)) + len(window) + 1


@given(st.lists(st.lists(finite, min_size=1, max_size=3), max_size=8), finite, bad)
def test_reports_the_first_bad_gradient(steps: list[list[float]], loss: float, norm: float) -> None:
    """A gradient norm that is no number is reported with the step whose update never happened."""
    log = log_of(steps)
    log.micro_loss(loss)
    found = log.update(norm, 1e-3)
    assert found is not None
    assert (found.kind, found.step) == ("gradient", len(steps) + 1)


@given(st.lists(finite, min_size=1, max_size=6), bad)
def test_a_skipped_update_is_no_bad_number(losses: list[float], norm: float) -> None:
    """A gradient that the loss scaler skips is normal, and counted."""
    log = GuardLog()
    for loss in losses:
        log.micro_loss(loss)
        assert log.update(norm, 1e-3, skipped=True, loss_scale=2.0) is None
    assert log.bad is None
    assert log.skipped == [True] * len(losses)


@given(st.lists(st.lists(finite, min_size=1, max_size=4), min_size=1, max_size=8))
def test_every_list_has_one_entry_per_step(steps: list[list[float]]) -> None:
    """Losses, norms, rates, skips and scales are kept side by side; shares are added up."""
    log = log_of(steps)
    assert log.losses == [sum(window) for window in steps]
    assert {len(log.grad_norms), len(log.learning_rates), len(log.skipped), len(log.loss_scales)} == {
        len(steps)
    }
    assert log.trace().steps == tuple(range(1, len(steps) + 1))


def test_means_are_averaged() -> None:
    """Where each micro-batch's loss is a mean, the step's loss is the mean of them."""
    log = GuardLog(losses_are_means=True)
    log.micro_loss(1.0)
    log.micro_loss(2.0)
    log.update(1.0, 1e-3)
    assert log.losses == [1.5]


def test_a_sum_that_overflows_is_a_bad_loss() -> None:
    """Finite micro-batches whose sum is infinite do not pass as fine."""
    log = GuardLog()
    log.micro_loss(1e308)
    log.micro_loss(1e308)
    found = log.update(1.0, 1e-3)
    assert found is not None
    assert (found.kind, found.step) == ("loss", 1)


def test_a_resumed_training_counts_on() -> None:
    """Steps are those of the whole training, also when this process began in the middle."""
    log = GuardLog(steps_before=100)
    assert log.step == 101
    found = log.micro_loss(math.nan)
    assert found is not None
    assert found.message == "loss is nan at optimizer step 101 (micro-batch 1)"


@given(st.lists(finite, min_size=1, max_size=4), bad, bad)
def test_a_training_that_goes_on_is_judged_afresh(losses: list[float], value: float, norm: float) -> None:
    """Where bad updates are left out, the good ones after them are good, and the next bad one is told."""
    log = GuardLog()
    assert log.micro_loss(value) is not None
    for loss in losses:
        assert log.micro_loss(loss) is None
        assert log.update(1.0, 1e-3) is None
    log.micro_loss(0.0)
    found = log.update(norm, 1e-3)
    assert found is not None
    assert found.step == len(losses) + 2


def test_loss_scales_are_kept_where_a_scaler_was_at_work() -> None:
    """One per update, as the update met it; a run without a scaler keeps none."""
    log, plain = GuardLog(), GuardLog()
    for scale, is_skipped in ((65536.0, True), (32768.0, False)):
        log.micro_loss(1.0)
        log.update(math.inf if is_skipped else 1.0, 1e-3, is_skipped, scale)
        plain.micro_loss(1.0)
        plain.update(1.0, 1e-3)
    assert log.trace().loss_scales == (65536.0, 32768.0)
    assert plain.trace().loss_scales == ()
