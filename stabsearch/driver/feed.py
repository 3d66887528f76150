"""What Ray Tune does next, and with which worker: the source's plans, handed to Tune as it asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from ray import cloudpickle, tune
from ray.exceptions import ActorUnavailableError, RayActorError
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from stabsearch.driver.base import TrialSource
from stabsearch.driver.interrupts import Interrupts
from stabsearch.errors import UserError
from stabsearch.records import TrialPlan, TrialRecord

Found = TypeVar("Found")
WENT_AWAY = "the worker went away without a record"


def is_of_node(error: BaseException | None) -> bool:
    """Return whether a worker went with its node, as far as Ray can tell.

    A node that is cut off or killed is first only not to be reached; that its workers died is said later.
    """
    if not isinstance(error, RayActorError):
        return False
    return error.preempted or isinstance(error, ActorUnavailableError) or "its node has died" in str(error)


def _error_of(trial: Any) -> BaseException | None:
    """Return what Tune has just noted: its own way to it looks where that is put at the end only."""
    noted = trial.pickled_error_file
    if noted is None or not Path(noted).exists():
        return None
    error: BaseException = cloudpickle.loads(Path(noted).read_bytes())
    return error


class Halted(BaseException):
    """Tune is to be left at once, past every ``except Exception`` of its own."""


class Feed(Searcher):  # type: ignore[misc]
    """Hands the source's plans to Tune, and Tune's failures to the source.

    Where the source waits for what is in flight (a canary, the end of a search), the other workers get
    idle trials: they start, and build their workload, meanwhile. Left without any trial, all workers but
    one would be ended by Tune, to be started again soon after.

    Args:
        source: says what runs next.
        stop: whether a signal came.
        slots: trials at a time, as the sweep allows.
        room: trials at a time, as Ray has room for now.
    """

    def __init__(self, source: TrialSource, stop: Interrupts, slots: int, room: int) -> None:
        super().__init__(metric=None, mode=None)
        self._source, self._stop, self.slots, self._room = source, stop, slots, min(slots, room)
        self.in_flight: dict[str, TrialPlan] = {}
        self.idle: set[str] = set()
        """Tune trials without a plan."""
        self.error: BaseException | None = None
        self._ready: TrialPlan | None = None
        self._is_finished = False
        self._may_idle = True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of a new Tune trial: a plan, or none for an idle one."""
        plan = self._next()
        if plan is not None:
            self._ready = None
            self.in_flight[trial_id] = plan
            return {"plan": asdict(plan)}
        if self._may_idle and len(self.idle) < self._most_idle():
            self.idle.add(trial_id)
            return {"plan": None}
        # FINISHED is for ever: a plan that is lost later could not come back
        self._is_finished = not self.in_flight
        return Searcher.FINISHED if self._is_finished else None

    def releases(self, trial_id: str) -> bool:
        """Return whether an idle trial is to end: a plan wants its worker, or none will."""
        if self._ready is not None:
            return False  # another one has ended for this plan
        if self._next() is None and len(self.idle) <= self._most_idle():
            return False
        self.idle.discard(trial_id)
        return True

    def _next(self) -> TrialPlan | None:
        """Return the source's next plan, which stays until it is given to a Tune trial."""
        if self._ready is None:
            self._ready = self._guarded(self._source.next_plan)
        return self._ready

    def _most_idle(self) -> int:
        """Return how many workers may soon have something to do, beside those that have."""
        if not self.in_flight:
            return 0
        return min(self._guarded(self._source.most_left) or 0, self._room - len(self.in_flight))

    @property
    def is_over(self) -> bool:
        """Return whether the source has no more, whatever idle workers are at."""
        return self._is_finished and self.error is None and not self._stop.is_asked

    def take(self, trial_id: str, record: TrialRecord) -> None:
        """Hand over the record of a Tune trial."""
        if self.in_flight.pop(trial_id, None):
            self._guarded(lambda: self._source.finished(record))

    def lose(self, trial_id: str, reason: str, *, by_node: bool = False) -> None:
        """Tell that a Tune trial ended without a record."""
        if trial_id in self.idle:  # its worker went away before it had work: that of the next plan may stay
            self.idle.discard(trial_id)
            self._may_idle = False
        plan = self.in_flight.pop(trial_id, None)
        if plan is not None:
            self._guarded(lambda: self._source.lost(plan, reason, by_node=by_node))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take note of the end of a Tune trial; one whose record was taken before is known already."""
        self.lose(trial_id, WENT_AWAY)

    def leave_if_asked(self) -> None:
        """Leave Tune when a signal came, the source failed, or only idle trials are left.

        Called between Tune's own steps.
        """
        if self._stop.is_asked or self.error is not None or (self.is_over and self.idle):
            raise Halted

    def abandon(self, error: UserError) -> None:
        """Leave Tune as soon as it can be left, for this reason: called by another thread."""
        self.error = self.error or error

    def _guarded(self, call: Callable[[], Found]) -> Found | None:
        """Keep the first error of the source: raised inside Tune's loop it would be wrapped or lost."""
        if self.error is not None or self._stop.is_asked:
            return None
        try:
            return call()
        except BaseException as error:  # noqa: BLE001 - carried out of Tune's loop, raised by run()
            self.error = error
            return None

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the study is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: the study is the truth."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Nothing, ()


class _Nothing:
    """What Tune's periodic snapshot of the feed and its callback becomes."""


class Watch(tune.Callback):  # type: ignore[misc]
    """Takes records out of Tune's results before Tune stores them, and ends the loop when asked."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Take the record, or the reason why there is none, out of a result."""
        payload = result.pop("record", None)
        if payload is not None:
            self._feed.take(trial.trial_id, TrialRecord.from_json(payload))
        elif "lost" in result:
            self._feed.lose(trial.trial_id, result["lost"])

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Leave Tune between two of its steps."""
        self._feed.leave_if_asked()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Nothing, ()


class NewestFirst(FIFOScheduler):  # type: ignore[misc]
    """Gives a freed worker to the newest waiting trial, and ends idle trials.

    First-in-first-out names the trial whose own worker is still starting, cancels that start, and
    with short trials a replaced worker or a new node never gets any work.
    """

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Tell why a worker went away; Tune asks the scheduler first, then tells the feed the bare fact."""
        by_node = is_of_node(_error_of(trial))
        self._feed.lose(trial.trial_id, "its node went away" if by_node else WENT_AWAY, by_node=by_node)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether a Tune trial goes on: an idle one does until a plan wants its worker."""
        is_over = trial.trial_id in self._feed.idle and self._feed.releases(trial.trial_id)
        return str(FIFOScheduler.STOP if is_over else FIFOScheduler.CONTINUE)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Nothing, ()

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Return the newest trial that waits for a worker, None without one."""
        waiting = [trial for trial in tune_controller.get_live_trials() if trial.status == "PENDING"]
        return waiting[-1] if waiting else None
