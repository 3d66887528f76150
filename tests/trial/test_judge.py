"""What a trial's own numbers say, decided step by step."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stabsearch.records import Outcome, OutcomeRules
from stabsearch.trial.judge import FP16_INITIAL_SCALE, Finding, Judge

RULES = OutcomeRules()
HORIZON = 120
CHANCE = 1.0
CEILING = 2.0  # divergence_ratio times the chance loss
PATIENCE = 30  # a quarter of the horizon
MEMORY = 5  # steps the smoothed loss remembers

low = st.floats(0.01, 1.0)
high = st.floats(2.01, 1e30)


def judged(losses: list[float], horizon: int = HORIZON) -> Finding | None:
    """Return the first finding on a trial that starts at chance level."""
    judge = Judge(RULES, horizon, CHANCE)
    return next((found for loss in losses if (found := judge.see(loss))), None)


@given(st.lists(st.floats(0, 50), max_size=200), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_nothing_nonfinite_passes_as_fine(before: list[float], bad: float) -> None:
    """A loss that is no number is a finding, whatever came before."""
    judge = Judge(RULES, 1000, CHANCE)
    for loss in before:
        if judge.see(loss):
            return
    found = judge.see(bad)
    assert found is not None
    assert (found.outcome, found.step) == (Outcome.NONFINITE, len(before) + 1)


@given(
    st.lists(low, min_size=1, max_size=40),
    st.lists(high, min_size=1, max_size=PATIENCE - MEMORY),
    st.lists(low, min_size=PATIENCE, max_size=PATIENCE),
)
def test_a_bump_that_comes_back_is_a_catapult(
    before: list[float], bump: list[float], after: list[float]
) -> None:
    """A loss that returns before the patience is over has not diverged, however high it went."""
    assert judged([*before, *bump, *after]) is None


@given(st.lists(low, min_size=1, max_size=60), st.lists(st.floats(20, 1e30), min_size=60, max_size=60))
def test_a_loss_that_stays_up_has_diverged(before: list[float], after: list[float]) -> None:
    """A loss that stays far above its start is diverged, from where the stretch began."""
    found = judged([*before, *after])
    assert found is not None
    assert (found.outcome, found.step) == (Outcome.DIVERGED, len(before) + 1)


@given(st.lists(low, min_size=1, max_size=100), st.floats(2.01, 3))
def test_a_loss_just_above_the_ceiling_diverges_too(before: list[float], level: float) -> None:
    """The height does not matter, only that it stays: the smoothed loss catches up."""
    found = judged([*before, *[level] * 200], horizon=300)
    assert found is not None
    assert len(before) < found.step <= len(before) + 40


@given(st.lists(low, min_size=1, max_size=HORIZON))
def test_a_loss_below_the_ceiling_is_never_a_finding(losses: list[float]) -> None:
    """Nothing is found in a trial that never rose above twice its start."""
    assert judged(losses) is None


@given(st.lists(st.floats(0.01, 100), max_size=100), st.lists(st.floats(0.01, 100), max_size=100))
def test_the_decision_does_not_depend_on_what_comes_after(first: list[float], rest: list[float]) -> None:
    """What was found up to a step is the same whatever follows."""
    alone = judged(first, horizon=400)
    longer = judged([*first, *rest], horizon=400)
    assert alone is None or longer == alone


def test_a_trial_that_ends_high_has_diverged() -> None:
    """At the horizon ten high steps are enough: the loss had its chance to come back."""
    assert judged([1.0] * 105 + [50.0] * 14) is None
    found = judged([1.0] * 105 + [50.0] * 15)
    assert found is not None
    assert found.step == 106


def test_a_falling_loss_is_measured_from_its_start() -> None:
    """A trial that has learned and goes back to its first loss has not diverged."""
    assert judged([1.0] * 10 + [0.1] * 50 + [1.0] * 60) is None


@given(st.floats(-5, 0))
def test_losses_below_zero_are_no_divergence_by_themselves(level: float) -> None:
    """A quiet loss is quiet at any level, also where twice of it lies below it."""
    judge = Judge(RULES, HORIZON)
    assert all(judge.see(level) is None for _ in range(HORIZON))


@given(st.integers(0, 24))
def test_the_scale_floor_is_reached_by_skips_in_a_row(power: int) -> None:
    """A scale of 2**k may be halved k times and once more; the skip after that is the floor."""
    judge = Judge(RULES, 1000, CHANCE, initial_scale=2.0**power)
    found = [judge.see(1.0, skipped=True, loss_scale=max(2.0 ** (power - i), 1.0)) for i in range(power + 2)]
    assert all(finding is None for finding in found[:-1])
    assert found[-1] is not None
    assert (found[-1].outcome, found[-1].step) == (Outcome.SCALE_FLOOR, 1)


def test_a_scale_below_one_is_the_floor() -> None:
    """fp16 with a loss scale below 1 loses what it was meant to save."""
    judge = Judge(RULES, 1000, CHANCE)
    judge.see(1.0)
    found = judge.see(1.0, skipped=True, loss_scale=0.5)
    assert found is not None
    assert (found.outcome, found.step) == (Outcome.SCALE_FLOOR, 2)


@given(st.sets(st.integers(0, 199), max_size=60))
def test_single_skips_are_nothing(skipped: set[int]) -> None:
    """Skipped updates, never two in a row and never the most of them, are dynamic loss scaling."""
    lonely = {step for step in skipped if step - 1 not in skipped and step > 3}
    judge = Judge(RULES, 200, CHANCE)
    steps = [judge.see(1.0, skipped=i in lonely, loss_scale=FP16_INITIAL_SCALE) for i in range(200)]
    assert all(finding is None for finding in steps)


def test_more_skips_than_updates_is_the_floor() -> None:
    """A trial most of whose updates are skipped is not training, though no streak is long."""
    judge = Judge(RULES, 1000, CHANCE)
    found = [judge.see(1.0, skipped=i % 3 != 0, loss_scale=1024.0) for i in range(60)]
    first = next(i for i, finding in enumerate(found) if finding)
    assert first + 1 >= 40
    assert found[first].outcome is Outcome.SCALE_FLOOR  # type: ignore[union-attr]


def test_patience_grows_with_the_horizon() -> None:
    """A longer trial is given longer to come back; a short one never fewer than ten steps."""
    patience = [Judge(RULES, horizon).patience_steps for horizon in (10, 40, 120, 1000)]
    assert patience == [10, 10, 30, 250]
    assert all(a <= b for a, b in pairwise(patience))
