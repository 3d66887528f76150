"""What is kept from one trial to the next changes no answer."""

from __future__ import annotations

import gc
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.frontier.fit import fit, fit_records
from stabsearch.frontier.kept import Kept
from stabsearch.frontier.labels import relabel
from stabsearch.frontier.trials import context_trials, record_trials
from stabsearch.records import Context, Grade, Outcome, OutcomeRules, Stage, TrialPlan, TrialRecord
from stabsearch.records.frame import trials_frame
from stabsearch.testing.records import record_of

CONTEXTS = [Context("fp32", 0, 1.0), Context("bf16", 3, 0.0)]
ELSEWHERE = Context("fp16", 0, 1.0)
RANGE = (1e-6, 1.0)
RULES = OutcomeRules()


class Thing:
    """Something that can be kept."""


def plan_of(number: int, context: Context, log_rate: float, stage: Stage, horizon: int) -> TrialPlan:
    settings = {**context.settings, "learning_rate": 10.0**log_rate}
    start = 1e-6 if stage is Stage.RAMP else None
    return TrialPlan(number, stage, model_seed=1, data_seed=2, horizon=horizon, ramp_from=start, **settings)


@st.composite
def records(draw: st.DrawFn) -> list[TrialRecord]:
    """Return trials of every kind, bridge trials and ramps among them, some interrupted half way."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        context = draw(st.sampled_from([*CONTEXTS, ELSEWHERE]))
        stage, horizon = draw(st.sampled_from([Stage.SEARCH, Stage.CONFIRM, Stage.RAMP])), 12
        if stage is Stage.CONFIRM:
            horizon = draw(st.sampled_from([12, 48]))
        outcome = draw(st.sampled_from(Outcome))
        record = record_of(plan_of(number, context, draw(st.floats(-6, 0)), stage, horizon), outcome)
        if outcome is Outcome.STABLE:
            record = replace(record, grade=draw(st.sampled_from([None, *Grade])))
        if outcome is Outcome.INTERRUPTED:
            record = replace(record, steps=draw(st.integers(0, horizon)))
        found.append(record)
    return found


def test_a_thing_is_looked_at_once_and_forgotten_with_its_end() -> None:
    """Two things that are equal are two things; nothing is kept of what is gone."""
    seen: list[Thing] = []
    kept: Kept[Thing, int] = Kept(lambda thing: seen.append(thing) or len(seen))
    one, other = Thing(), Thing()
    assert kept.of([one, other, one]) == [1, 2, 1]
    assert kept(other) == 2
    assert len(kept._found) == 2
    seen.clear()
    del one
    gc.collect()
    assert list(kept._found.values()) == [2]


@given(records())
def test_records_show_what_their_table_shows(found: list[TrialRecord]) -> None:
    """The short way from records to evidence is the way of the public table of trials."""
    inside = [record for record in found if record.plan.context in CONTEXTS]
    assert record_trials(found, CONTEXTS) == context_trials(trials_frame(inside), CONTEXTS)


@given(records())
def test_the_frontier_of_records_is_that_of_their_table(found: list[TrialRecord]) -> None:
    """And it is the same frontier, posterior and all, when nothing has changed since."""
    inside = [record for record in found if record.plan.context in CONTEXTS]
    frontier = fit_records(found, 0.1, RANGE, 0.9, CONTEXTS)
    assert frontier == fit(trials_frame(inside), 0.1, RANGE, 0.9, CONTEXTS)
    assert frontier is fit_records(list(found), 0.1, RANGE, 0.9, CONTEXTS)


@given(records())
def test_labels_are_those_of_records_that_were_never_seen(found: list[TrialRecord]) -> None:
    """Whatever was labelled before, and among whom: copies of the records get the same labels."""
    for end in range(len(found)):
        relabel(found[:end], RULES)
    labelled = relabel(relabel(found, RULES), RULES)
    copies = relabel([TrialRecord.from_json(record.to_json()) for record in found], RULES)
    assert [record.to_json() for record in labelled] == [record.to_json() for record in copies]


def test_a_better_trial_takes_the_label_of_an_earlier_one_back() -> None:
    """Labels follow the peers of now: what was kept of a trial is never its label."""
    slow = record_of(plan_of(0, CONTEXTS[0], -2, Stage.SEARCH, 12), Outcome.COLLAPSED)
    alone = relabel([slow], RULES)[0]
    beside = relabel([slow, record_of(plan_of(1, CONTEXTS[0], -3, Stage.SEARCH, 12))], RULES)[0]
    again = relabel([slow], RULES)[0]
    assert math.isfinite(slow.trace.losses[-1])
    assert alone == again
    assert beside.outcome is Outcome.COLLAPSED
    assert beside.message != alone.message


def test_labels_that_stand_while_others_come_are_those_of_all_at_once() -> None:
    """As a study does it: the labelled records of before, and the next one as its worker told it."""
    rng = np.random.default_rng(0)
    raw: list[TrialRecord] = []
    labelled: list[TrialRecord] = []
    changes = 0
    for number in range(40):
        record = record_of(plan_of(number, CONTEXTS[0], float(rng.uniform(-5, -1)), Stage.SEARCH, 12))
        losses = tuple(np.linspace(1.4, float(rng.uniform(0.2, 1.6)), 12).tolist())
        raw.append(replace(record, trace=replace(record.trace, losses=losses)))
        before, labelled = labelled, relabel([*labelled, raw[-1]], RULES)
        changes += sum(a.grade is not b.grade for a, b in zip(before, labelled, strict=False))
        fresh = [TrialRecord.from_json(each.to_json()) for each in raw]
        assert [each.to_json() for each in labelled] == [each.to_json() for each in relabel(fresh, RULES)]
    assert changes > 0


def test_two_threads_with_other_records_do_not_disturb_each_other() -> None:
    """Who looks at a running sweep from beside it asks for the frontier of its trials at the same time."""
    trials = [
        record_of(plan_of(number, CONTEXTS[number % 2], -6 + number / 20, Stage.SEARCH, 12), Outcome.STABLE)
        for number in range(100)
    ]
    shares = [trials[:30], trials[20:]]
    wanted = [context_trials(trials_frame(share), CONTEXTS) for share in shares]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            asked = [
                pool.submit(
                    lambda share=share: (
                        [record_trials(share[:end], CONTEXTS) for end in range(30)]
                        + [record_trials(share, CONTEXTS)]
                    )
                )
                for share in shares * 20
            ]
            assert [each.result()[-1] for each in asked] == wanted * 20
    finally:
        sys.setswitchinterval(before)
