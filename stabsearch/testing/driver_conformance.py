"""What every driver owes its source, as tests: one plan, one record, whatever happens to workers."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from stabsearch.driver.base import Driver, WorkOrder
from stabsearch.records import Outcome, Stage, TrialPlan
from stabsearch.testing.faulty_task import Fault, FaultyTask, build_faulty
from stabsearch.testing.scripted import ScriptedSource
from stabsearch.trial.setup import TrialSetup

HORIZON = 2
GOOD = (0, 1, 3, 5, 6, 8)
RAISES, EXITS, IS_KILLED, HANGS = 2, 4, 7, 9


@dataclass(frozen=True)
class Drive:
    """What one run over good and bad trials left behind."""

    source: ScriptedSource
    task: FaultyTask
    order: WorkOrder
    plans: list[TrialPlan]
    printed: str
    """What came on stdout and stderr meanwhile."""

    def outcomes(self, number: int) -> list[Outcome]:
        """Return the outcomes that were told for one trial."""
        return [record.outcome for record in self.source.records if record.plan.number == number]


class DriverConformance(ABC):
    """Derive a test class from it, and say how the driver is made.

    All tests look at one run, because starting workers is what costs.
    """

    faults: ClassVar[tuple[tuple[int, Fault], ...]] = ((RAISES, "raise"),)
    """Trials that go wrong, and how."""
    timeout_s: float = 45.0
    """Time limit of a trial; a worker that starts and imports torch must stay below it."""

    @abstractmethod
    def make_driver(self, order: WorkOrder) -> Driver:
        """Return the driver to be tested."""

    @pytest.fixture(scope="class")
    def drive(self, tmp_path_factory: pytest.TempPathFactory) -> Drive:
        """Return what the run left behind."""
        return self._drive(tmp_path_factory.mktemp("workers"))

    def _drive(self, folder: Path) -> Drive:
        task = FaultyTask(str(folder), self.faults, failing_builds=1)
        order = WorkOrder(task, TrialSetup(max_steps=HORIZON), self.timeout_s, build_faulty)
        plans = [_plan(number) for number in range(12)]
        source = ScriptedSource(plans, attempts=6)
        screen = io.StringIO()
        with redirect_stdout(screen), redirect_stderr(screen):
            self.make_driver(order).run(source)
        return Drive(source, task, order, plans, screen.getvalue())

    def test_every_plan_gives_exactly_one_record(self, drive: Drive) -> None:
        """Whatever happened to its workers, no plan is left without a record, none has two."""
        told = Counter(record.plan.number for record in drive.source.records)
        assert told == {plan.number: 1 for plan in drive.plans}
        assert drive.source.given_up == []

    def test_a_record_is_that_of_its_plan(self, drive: Drive) -> None:
        """A plan comes back from its worker exactly as it went."""
        assert {record.plan for record in drive.source.records} == set(drive.plans)

    def test_a_workload_that_cannot_be_built_is_a_crash_and_the_next_trial_tries_again(
        self, drive: Drive
    ) -> None:
        """Exactly the one trial whose build failed has crashed of it."""
        crashed = [r for r in drive.source.records if "cannot be built" in r.message]
        assert [record.outcome for record in crashed] == [Outcome.CRASHED]

    def test_a_trial_that_raises_is_a_record(self, drive: Drive) -> None:
        """Its message says what was raised and where; it is not started again."""
        assert drive.outcomes(RAISES) == [Outcome.CRASHED]
        message = self._message(drive, RAISES)
        met_the_failing_build = "cannot be built" in message
        assert met_the_failing_build or "RuntimeError: the trial raised (faulty_task.py:" in message

    def test_good_trials_are_not_disturbed_by_bad_ones(self, drive: Drive) -> None:
        """Trials beside and after the bad ones reach their horizon."""
        failing = [r.plan.number for r in drive.source.records if "cannot be built" in r.message]
        outcomes = {n: drive.outcomes(n) for n in GOOD if n not in failing}
        assert set(map(tuple, outcomes.values())) == {(Outcome.STABLE,)}

    def test_a_worker_serves_many_trials_on_one_workload(self, drive: Drive) -> None:
        """The workload is built once per process, and there are fewer processes than trials."""
        builds = Counter(note["pid"] for note in drive.task.notes("build"))
        starts = Counter(note["pid"] for note in drive.task.notes("start"))
        assert set(builds.values()) == {1}
        assert max(starts.values()) > 1
        assert len(starts) < len(drive.plans)

    def test_trials_run_with_the_stated_number_of_threads(self, drive: Drive) -> None:
        """More threads than cores make every trial slower, and another number gives other digits."""
        assert {note["threads"]["torch"] for note in drive.task.notes("start")} == {
            drive.order.setup.num_threads
        }

    def test_the_terminal_is_left_alone(self, drive: Drive) -> None:
        """Stdout belongs to the answer and stderr to the view, also while workers die."""
        assert drive.printed == ""

    def _message(self, drive: Drive, number: int) -> str:
        return next(record.message for record in drive.source.records if record.plan.number == number)


class WorkerConformance(DriverConformance):
    """For a driver whose trials run in processes of their own, which it replaces when they die."""

    faults = ((RAISES, "raise"), (EXITS, "exit"), (IS_KILLED, "kill"), (HANGS, "hang"))

    @pytest.mark.parametrize("number", [EXITS, IS_KILLED, HANGS])
    def test_a_trial_whose_worker_went_away_is_started_again(self, drive: Drive, number: int) -> None:
        """Ended, killed or hung past its limit: it is lost once, and its next start gives the record."""
        assert drive.source.starts[number] >= 2
        assert drive.source.by_node[number] == 0
        assert drive.outcomes(number) == [Outcome.STABLE]


def _plan(number: int) -> TrialPlan:
    return TrialPlan(number, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", number, 0, HORIZON)
