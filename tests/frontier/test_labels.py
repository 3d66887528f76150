"""Labels that depend on other trials: collapsed, degraded, untrained, clean.

``real_trials.json`` holds 15 trials of 60 steps (fp32, clip 1, no warmup, learning rates from 1e-6
to 10, own seeds each) of the quickstart task with 2 classes and 512 rows, on a BERT of width 32.
"""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.frontier.labels import _LATEST, relabel
from stabsearch.records import Cause, Grade, Outcome, OutcomeRules, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.ramp import as_ramp

RULES = OutcomeRules()
CHANCE = 1.0
STEPS = 40

Label = tuple[Outcome, Grade | None]
CLEAN: Label = (Outcome.STABLE, Grade.CLEAN)
DEGRADED: Label = (Outcome.STABLE, Grade.DEGRADED)
UNTRAINED: Label = (Outcome.STABLE, Grade.UNTRAINED)
COLLAPSED: Label = (Outcome.COLLAPSED, None)


def line(start: float, end: float, steps: int = STEPS) -> list[float]:
    """Return losses that go evenly from one level to another."""
    return [start + (end - start) * i / (steps - 1) for i in range(steps)]


def falling(end: float) -> list[float]:
    """Return losses that start at chance and reach ``end`` after a quarter."""
    return [*line(CHANCE, end, STEPS // 4), *[end] * (STEPS - STEPS // 4)]


def trial(
    number: int, learning_rate: float, losses: list[float], outcome: Outcome = Outcome.STABLE
) -> TrialRecord:
    plan = TrialPlan(number, Stage.SEARCH, learning_rate, 0, 1.0, "fp32", number, number, len(losses))
    trace = StepTrace.thinned(losses, [1.0] * len(losses))
    return TrialRecord(plan, outcome, steps=len(losses), trace=trace, chance_loss=CHANCE)


def labels(*records: TrialRecord) -> list[Label]:
    return [(record.outcome, record.grade) for record in relabel(records, RULES)]


LEARNER = trial(0, 1e-3, falling(0.1))


def test_a_learner_is_clean() -> None:
    """The trial that learned most is what the others are measured by."""
    assert labels(LEARNER) == [CLEAN]
    assert labels(LEARNER, trial(1, 2e-3, falling(0.12))) == [CLEAN, CLEAN]


def test_stuck_at_chance_while_a_gentler_trial_learned() -> None:
    """A higher learning rate that learned nothing has collapsed."""
    found = relabel([LEARNER, trial(1, 1e-2, [CHANCE] * STEPS)], RULES)[1]
    assert (found.outcome, found.grade, found.cause) == (Outcome.COLLAPSED, None, Cause.LEARNING_RATE)
    assert found.first_bad_step == 1
    assert found.message == "0% of the best trial's progress at the same step"


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_that_jumps_from_batch_to_batch_has_not_come_back_up(seed: int) -> None:
    """A gentle trial of a regression: its squared errors scatter widely, and go nowhere."""
    rng = Random(seed)
    noisy = [abs(rng.gauss(CHANCE, 0.6)) for _ in range(STEPS)]
    learner = [max(loss - 0.6, 0.05) for loss in (rng.gauss(CHANCE, 0.2) for _ in range(STEPS))]
    assert labels(trial(0, 1e-5, noisy), trial(1, 1e-3, [CHANCE, *learner[1:]]))[0] == UNTRAINED


def test_a_loss_that_jumps_and_comes_back_up_has_collapsed() -> None:
    """Far beyond its jumps: the noise is no excuse."""
    rng = Random(0)
    down_and_up = [*[0.3] * (STEPS // 2), *[CHANCE] * (STEPS // 2)]
    noisy = [CHANCE, *(loss + rng.gauss(0.0, 0.1) for loss in down_and_up[1:])]
    assert labels(trial(0, 1e-5, noisy), trial(1, 1e-3, falling(0.1)))[0] == COLLAPSED


def test_late_learners_are_untrained_where_an_early_one_was_lucky() -> None:
    """At a rate at which two of five learned in time, the others are slow; a higher rate shows no excuse."""
    good = [trial(i, 1e-2 * (1 + i / 100), falling(0.1)) for i in range(8)]
    lucky = [trial(10 + i, 1e-3, falling(0.1)) for i in range(2)]
    late = [trial(20 + i, 1e-3, line(CHANCE, 0.95)) for i in range(3)]
    stuck = trial(30, 1e-1, [CHANCE] * STEPS)
    found = labels(*good, *lucky, *late, stuck)
    assert found[:10] == [CLEAN] * 10
    assert found[10:] == [*[UNTRAINED] * 3, COLLAPSED]


def test_frequencies_alone_are_no_progress_of_a_language_model() -> None:
    """It starts at the logarithm of its vocabulary, far above the loss of guessing tokens by frequency."""
    start, chance, best = 7.6, 5.6, 4.6
    way_down = [(1e-3, best), (1e-2, chance), (1e-5, 6.6), (2e-3, 4.65)]
    found = labels(*(replace(trial(i, rate, [*line(start, end, 10), *[end] * 30]), chance_loss=chance)
                     for i, (rate, end) in enumerate(way_down)))  # fmt: skip
    assert found == [CLEAN, COLLAPSED, UNTRAINED, CLEAN]


def test_a_slow_trial_is_untrained_and_never_collapsed() -> None:
    """A loss that creeps down because of a low learning rate proves no instability."""
    assert labels(LEARNER, trial(1, 1e-5, line(CHANCE, 0.97)), trial(2, 1e-6, [CHANCE] * STEPS)) == [
        CLEAN,
        UNTRAINED,
        UNTRAINED,
    ]


def test_a_slow_warmup_counts_as_a_smaller_dose() -> None:
    """With the same peak, a trial that warmed up for most of its steps had less time to learn."""
    plan = TrialPlan(1, Stage.SEARCH, 1e-3, STEPS, 1.0, "fp32", 1, 1, STEPS)
    slow = TrialRecord(plan, Outcome.STABLE, steps=STEPS, trace=trial(1, 1e-3, line(CHANCE, 0.9)).trace,
                       chance_loss=CHANCE)  # fmt: skip
    assert labels(LEARNER, slow) == [CLEAN, UNTRAINED]


def test_a_loss_that_came_back_up_has_collapsed_at_any_rate() -> None:
    """Learned and lost again is no slowness, however low the learning rate."""
    lost = [*line(CHANCE, 0.2, 20), *line(0.2, CHANCE, 5), *[CHANCE] * 15]
    assert labels(LEARNER, trial(1, 1e-5, lost)) == [CLEAN, COLLAPSED]


def test_a_loss_that_rose_and_stayed_useless_has_collapsed() -> None:
    """Damage of its own counts without any comparison of doses."""
    risen = [*line(CHANCE, 2.0, 10), *line(2.0, CHANCE, 10), *[CHANCE] * 20]
    found = relabel([LEARNER, trial(1, 1e-5, risen)], RULES)[1]
    assert found.outcome is Outcome.COLLAPSED
    assert found.first_bad_step == 10


def test_less_learned_than_a_gentler_trial_is_degraded() -> None:
    """Past the best learning rate a trial still learns, but less."""
    assert labels(LEARNER, trial(1, 1e-2, falling(0.3))) == [CLEAN, DEGRADED]


def test_less_learned_at_a_lower_rate_is_still_clean() -> None:
    """On the way up to the best learning rate nothing is degraded: it is only slower."""
    assert labels(LEARNER, trial(1, 1e-4, falling(0.3))) == [CLEAN, CLEAN]


def test_when_nobody_learned_nobody_collapsed() -> None:
    """Without a learner there is nothing to fall behind."""
    flat = [trial(i, 10.0**-i, [CHANCE + 0.01 * (-1) ** s for s in range(STEPS)]) for i in range(5)]
    assert labels(*flat) == [UNTRAINED] * 5


def test_when_nobody_learned_damage_still_counts() -> None:
    """A loss that rose and ended no better than chance has collapsed on its own."""
    risen = [*line(CHANCE, 3.0, 20), *line(3.0, CHANCE, 20)]
    assert labels(trial(0, 1e-5, [CHANCE] * STEPS), trial(1, 1e-1, risen)) == [UNTRAINED, COLLAPSED]


def test_trials_are_compared_at_the_same_step_only() -> None:
    """A longer trial that learned says nothing about what a short one should have reached."""
    long_learner = trial(1, 1e-4, falling(0.1) * 2)
    assert labels(trial(0, 1e-3, [CHANCE] * STEPS), long_learner) == [UNTRAINED, CLEAN]


def test_other_outcomes_stay_as_they_are() -> None:
    """What a trial showed by itself is not up for debate, and is nobody's yardstick."""
    kept = [outcome for outcome in Outcome if outcome not in {Outcome.STABLE, Outcome.COLLAPSED}]
    records = [trial(i + 1, 1e-3, falling(0.01), outcome) for i, outcome in enumerate(kept)]
    relabelled = relabel([LEARNER, *records], RULES)
    assert relabelled[1:] == records
    assert relabelled[0].grade is Grade.CLEAN


def test_a_label_is_taken_back_when_the_evidence_changes() -> None:
    """A trial called collapsed among learners is merely untrained among trials that learned nothing."""
    collapsed = relabel([LEARNER, trial(1, 1e-2, [CHANCE] * STEPS)], RULES)[1]
    assert collapsed.outcome is Outcome.COLLAPSED
    alone = relabel([collapsed], RULES)[0]
    assert (alone.outcome, alone.grade) == UNTRAINED
    assert (alone.cause, alone.first_bad_step) == (None, None)
    assert alone.message == f"finite for {STEPS} steps"


def test_a_ramp_is_neither_labelled_nor_a_yardstick() -> None:
    """It learned at rates that its plan does not name: no trial can be compared with it."""
    useless, best = (
        replace(record, plan=as_ramp(record.plan, 1e-5, 1.0))
        for record in (trial(7, 1.0, [CHANCE] * STEPS), trial(8, 1.0, falling(0.001)))
    )
    found = relabel([LEARNER, useless, trial(1, 1e-2, falling(0.12)), best], RULES)
    assert (found[1], found[3]) == (useless, best)
    assert [record.grade for record in found] == [Grade.CLEAN, None, Grade.CLEAN, None]
    assert relabel([best], RULES) == [best]


def test_no_records_and_unknown_chance() -> None:
    """Nothing in, nothing out; without a chance level the start is what is measured from."""
    assert relabel([], RULES) == []
    nameless = [trial(0, 1e-3, falling(0.1)), trial(1, 1e-2, [CHANCE] * STEPS)]
    unknown = [TrialRecord(r.plan, r.outcome, steps=r.steps, trace=r.trace) for r in nameless]
    assert math.isnan(unknown[0].chance_loss)
    assert labels(*unknown) == [CLEAN, COLLAPSED]


curves = st.lists(st.floats(0.01, 3), min_size=12, max_size=12)
groups = st.lists(
    st.tuples(st.floats(1e-6, 1), curves, st.sampled_from([Outcome.STABLE, Outcome.DIVERGED])),
    min_size=1,
    max_size=6,
)


@given(groups, st.randoms(use_true_random=False))
def test_neither_the_order_nor_a_second_time_matters(
    drawn: list[tuple[float, list[float], Outcome]], random: Random
) -> None:
    """Records in any order get the same labels, and labels that were given change nothing."""
    records = [trial(i, rate, losses, outcome) for i, (rate, losses, outcome) in enumerate(drawn)]
    once = relabel(records, RULES)
    shuffled = list(records)
    random.shuffle(shuffled)
    assert sorted(relabel(shuffled, RULES), key=lambda r: r.plan.number) == once
    assert relabel(once, RULES) == once


@given(groups)
def test_every_finished_trial_gets_a_whole_label(drawn: list[tuple[float, list[float], Outcome]]) -> None:
    """Stable has a grade and no cause; collapsed has a cause, a step and no grade."""
    records = [trial(i, rate, losses, outcome) for i, (rate, losses, outcome) in enumerate(drawn)]
    for record in relabel(records, RULES):
        is_stable = record.outcome is Outcome.STABLE
        assert (record.grade is not None) == is_stable
        if record.outcome is Outcome.COLLAPSED:
            assert record.cause is Cause.LEARNING_RATE
            assert record.first_bad_step is not None


@pytest.fixture(scope="module")
def real_trials() -> list[TrialRecord]:
    """Return trials that were really run, by rising learning rate."""
    text = (Path(__file__).parent / "real_trials.json").read_text()
    return [TrialRecord.from_json(data) for data in json.loads(text)]


def test_real_trials_get_worse_with_the_learning_rate(real_trials: list[TrialRecord]) -> None:
    """From untrained over clean to degraded, collapsed and diverged, and never back."""
    order: list[Label] = [UNTRAINED, CLEAN, DEGRADED, COLLAPSED, (Outcome.DIVERGED, None)]
    found = [order.index(label) for label in labels(*real_trials)]
    assert all(a <= b for a, b in pairwise(found))
    assert set(found) == set(range(5))


def test_real_trials_fail_from_one_rate_on(real_trials: list[TrialRecord]) -> None:
    """A hundredth is degraded, three hundredths have collapsed."""
    failed = [r.plan.learning_rate for r in relabel(real_trials, RULES) if r.outcome.is_failure]
    assert min(failed) == pytest.approx(0.0316, rel=0.01)


def test_each_thread_remembers_its_own_records() -> None:
    """Who looks on from beside a running sweep has other records in hand."""
    records = [LEARNER, trial(1, 1e-2, [CHANCE] * STEPS)]
    here = relabel(records, RULES)
    assert here is not None
    seen: list[object] = []
    looker = Thread(target=lambda: (relabel([LEARNER], RULES), seen.append(_LATEST._decided)))
    looker.start()
    looker.join()
    assert len(seen[0]) == 1  # type: ignore[arg-type]
    assert len(_LATEST._decided) == 2
