"""Workers that the source has nothing for yet: started, and kept, until it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stabsearch.driver.base import WorkOrder
from stabsearch.driver.environment import prepare
from stabsearch.driver.interrupts import Interrupts
from stabsearch.records import Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.testing.faulty_task import FaultyTask, build_faulty
from stabsearch.testing.scripted import ScriptedSource
from stabsearch.trial.setup import TrialSetup

pytestmark = pytest.mark.ray


class InGroups(ScriptedSource):
    """Hands out a group of plans when the one before is done, as a sweep does after its canary."""

    def __init__(self, *groups: list[TrialPlan]) -> None:
        super().__init__([plan for group in groups for plan in group])
        self._ends = [sum(map(len, groups[: i + 1])) for i in range(len(groups))]

    def next_plan(self) -> TrialPlan | None:
        out, done = sum(self.starts.values()), len(self.records)
        return None if out in self._ends and done < out else super().next_plan()


def plans(*numbers: int) -> list[TrialPlan]:
    return [TrialPlan(number, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", number, 0, 2) for number in numbers]


def test_no_worker_is_ended_where_the_source_waits(tmp_path: Path) -> None:
    """Three workers serve three groups; Tune alone would keep one of them from group to group."""
    prepare(is_local=True)
    from stabsearch.driver.ray_tune import RayTuneDriver

    task = FaultyTask(str(tmp_path))
    source = InGroups(plans(0), plans(1, 2, 3, 4, 5, 6), plans(7), plans(8, 9, 10, 11, 12, 13))
    order = WorkOrder(task, TrialSetup(max_steps=2), 60.0, build_faulty)
    RayTuneDriver(order, cpus_per_trial=0.25, concurrency=3).run(source)
    assert [record.outcome for record in source.records] == [Outcome.STABLE] * 14
    assert len({note["pid"] for note in task.notes("build")}) <= 3
    assert len({note["pid"] for note in task.notes("start")}) <= 3


@pytest.fixture
def feed_of() -> Any:
    prepare(is_local=True)
    from stabsearch.driver.feed import Feed

    return lambda source, slots, room=99: Feed(source, Interrupts(), slots, room)


def suggested(feed: Any, *trial_ids: str) -> list[Any]:
    """Return the number of the plan that each Tune trial is given, or what it is given instead."""
    given = [feed.suggest(trial_id) for trial_id in trial_ids]
    return [each["plan"] and each["plan"]["number"] if isinstance(each, dict) else each for each in given]


def ended(feed: Any, trial_id: str) -> None:
    feed.take(trial_id, TrialRecord(feed.in_flight[trial_id], Outcome.STABLE))


def test_every_slot_is_warmed_while_the_first_trial_runs(feed_of: Any) -> None:
    """An idle Tune trial is one without a plan."""
    feed = feed_of(InGroups(plans(0), plans(1, 2, 3, 4)), 3)
    assert suggested(feed, "a", "b", "c") == [0, None, None]
    assert feed.idle == {"b", "c"}
    assert feed.suggest("d") is None


def test_idle_trials_are_no_more_than_plans_that_may_come(feed_of: Any) -> None:
    """A sweep of two trials needs no third worker."""
    feed = feed_of(InGroups(plans(0), plans(1)), 3)
    assert suggested(feed, "a", "b") == [0, None]
    assert feed.suggest("c") is None


def test_idle_trials_are_no_more_than_ray_has_room_for(feed_of: Any) -> None:
    """Where the sweep allows more, they would take the place that a plan waits for."""
    feed = feed_of(InGroups(plans(0), plans(1, 2, 3, 4)), 8, room=2)
    assert suggested(feed, "a", "b") == [0, None]
    assert feed.suggest("c") is None


def test_a_sweep_that_is_over_does_not_wait_for_idle_workers(feed_of: Any) -> None:
    """One may still be starting, or never start."""
    from stabsearch.driver.feed import Halted

    source = InGroups(plans(0), plans(1))
    feed = feed_of(source, 2)
    suggested(feed, "a", "b")
    source._waiting.clear()
    feed.leave_if_asked()
    ended(feed, "a")
    assert feed.suggest("c") == "FINISHED"
    assert feed.is_over
    with pytest.raises(Halted):
        feed.leave_if_asked()


def test_one_idle_trial_ends_for_each_plan(feed_of: Any) -> None:
    """Tune keeps the worker of one trial that ended; that of a second one it would end."""
    feed = feed_of(InGroups(plans(0), plans(1, 2, 3)), 3)
    suggested(feed, "a", "b", "c")
    assert not feed.releases("b")
    ended(feed, "a")
    assert suggested(feed, "d") == [1]
    assert feed.releases("b")
    assert not feed.releases("c")
    assert suggested(feed, "e") == [2]
    assert feed.releases("c")
    assert suggested(feed, "f") == [3]


def test_idle_trials_end_with_the_sweep(feed_of: Any) -> None:
    """Nothing in flight and no plan: it is over."""
    source = InGroups(plans(0), plans(1))
    feed = feed_of(source, 2)
    suggested(feed, "a", "b")
    source._waiting.clear()
    ended(feed, "a")
    assert feed.releases("b")
    assert feed.suggest("c") == "FINISHED"


def test_a_worker_that_dies_idle_is_not_replaced(feed_of: Any) -> None:
    """What kills it before it has work would kill the next one, too."""
    feed = feed_of(InGroups(plans(0), plans(1, 2)), 2)
    suggested(feed, "a", "b")
    feed.on_trial_complete("b", error=True)
    assert feed.suggest("c") is None
    ended(feed, "a")
    assert suggested(feed, "d", "e") == [1, 2]
