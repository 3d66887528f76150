"""Trials through Ray Tune, on this machine or a cluster; the only place that knows Ray.

Ray reads its environment when it is imported: ``environment.prepare`` comes before this module.

One Tune trial is one plan: its single ``step()`` returns the record with ``done=True``, so that a
diverged trial is a successful result. Retries, resume and stopping are decided by the source:
Tune's own recovery repeats finished trials and marks a trial as failed when an idle cached worker
dies (both seen in Ray 2.60).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from stabsearch.driver.base import TrialSource, WorkerLost, WorkOrder
from stabsearch.driver.environment import cores, worker_variables
from stabsearch.driver.interrupts import Interrupts, kept_handlers, undisturbed
from stabsearch.driver.worker import make_worker
from stabsearch.errors import UserError
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.records.record import plan_from_json

Found = TypeVar("Found")
HUNG = 75  # EX_TEMPFAIL: the worker ends itself, the plan is tried again
IDLE_S = 0.1  # chosen: how long a worker without a plan sleeps before it asks, at least
ASKS_PER_S = 20.0  # chosen: of all such workers together, so that asking costs the driver little


class RayTuneDriver:
    """Runs trials on warm Ray workers.

    Args:
        order: what every worker needs.
        address: ``local`` for a private Ray on this machine, or a cluster's address.
        cpus_per_trial, gpus_per_trial: resources of one trial.
        concurrency: trials at a time; None: as many as the resources hold.
    """

    def __init__(
        self, order: WorkOrder, *, address: str = "local", cpus_per_trial: float = 1.0,
        gpus_per_trial: float = 0.0, concurrency: int | None = None,
    ) -> None:  # fmt: skip
        self._order = order
        self._address = address
        self._resources = {"cpu": cpus_per_trial, **({"gpu": gpus_per_trial} if gpus_per_trial else {})}
        self._concurrency = concurrency

    def run(self, source: TrialSource) -> None:
        """Run every plan of the source; a worker that dies is reported as lost and replaced.

        Raises:
            KeyboardInterrupt: a signal came, and trials were in flight; they have no record.
            UserError: Ray cannot be reached, or has no room for a single trial.
        """
        with (
            kept_handlers(),
            _started(self._address, self._order.setup.num_threads),
            _scratch() as folder,
            Interrupts() as stop,
        ):
            feed = _Feed(source, stop, self._concurrency or self._slots(), room=self._slots())
            is_whole = self._fit(feed, folder)
        if not is_whole:
            raise feed.error or KeyboardInterrupt

    def _fit(self, feed: _Feed, folder: Path) -> bool:
        """Return whether Tune went on to the end of what the source had."""
        try:
            self._tuner(feed, folder).fit()
            feed.leave_if_asked()
        except _Halted:
            return feed.is_over
        return True

    def _tuner(self, feed: _Feed, folder: Path) -> tune.Tuner:
        idle_s = max(IDLE_S, feed.slots / ASKS_PER_S)
        with warnings.catch_warnings():
            # nobody writes to what is sent: models are copies of it
            warnings.filterwarnings("ignore", "Zero-copy tensor serialization")
            trainable = tune.with_parameters(_Worker, order=self._order, idle_s=idle_s)
        return tune.Tuner(
            tune.with_resources(trainable, self._resources),
            tune_config=tune.TuneConfig(
                search_alg=feed, scheduler=_NewestFirst(feed), num_samples=-1, reuse_actors=True,
                max_concurrent_trials=feed.slots, trial_dirname_creator=_short_name,
                trial_name_creator=_short_name,
            ),
            run_config=tune.RunConfig(
                name="tune", storage_path=str(folder), verbose=0, callbacks=[_Watch(feed)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )  # fmt: skip

    def _slots(self) -> int:
        """Return how many trials have room at a time; each is on one node, with all it needs."""
        nodes = [_offered(node) for node in ray.nodes() if node["Alive"]]
        slots = sum(min(int(node[kind] / need) for kind, need in self._resources.items()) for node in nodes)
        if slots < 1:
            largest = {kind: max((node[kind] for node in nodes), default=0.0) for kind in self._resources}
            raise UserError(
                f"no room for a single trial: it needs {self._resources} on one node, Ray has {largest}",
                "lower resources.cpus_per_trial, gpus_per_trial or processes_per_trial", key=("resources",),
            )  # fmt: skip
        return slots


def _offered(node: dict[str, Any]) -> dict[str, float]:
    has = node["Resources"]
    return {"cpu": has.get("CPU", 0.0), "gpu": has.get("GPU", 0.0)}


class _Halted(BaseException):
    """Tune is to be left at once, past every ``except Exception`` of its own."""


class _Worker(tune.Trainable):  # type: ignore[misc]
    """A warm process: the workload stays, the plan changes."""

    def setup(self, config: dict[str, Any], order: WorkOrder, idle_s: float) -> None:
        self._order, self._idle_s, self._worker = order, idle_s, make_worker(order)

    def step(self) -> dict[str, Any]:
        if self.config["plan"] is None:
            with _watchdog(self._order):
                self._worker.warm_up()
            time.sleep(self._idle_s)
            return {"done": False}
        plan = plan_from_json(self.config["plan"])
        try:
            with _watchdog(self._order):
                record = self._worker.work(plan)
        except WorkerLost as lost:
            return {"done": True, "lost": str(lost)}
        return {"done": True, "record": record.to_json()}

    def cleanup(self) -> None:
        self._worker.close()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        return True


@contextmanager
def _watchdog(order: WorkOrder) -> Iterator[None]:
    """End this process when a trial in it hangs: Tune has no trial timeout, and cannot interrupt a step.

    A trial of several processes is watched over by the worker that started them.
    """
    if order.setup.num_processes > 1:
        yield
        return
    watchdog = threading.Timer(order.timeout_s, os._exit, args=(HUNG,))
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


class _Feed(Searcher):  # type: ignore[misc]
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

    def lose(self, trial_id: str, reason: str) -> None:
        """Tell that a Tune trial ended without a record."""
        if trial_id in self.idle:  # its worker went away before it had work: that of the next plan may stay
            self.idle.discard(trial_id)
            self._may_idle = False
        plan = self.in_flight.pop(trial_id, None)
        if plan is not None:
            self._guarded(lambda: self._source.lost(plan, reason))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self.lose(trial_id, "the worker went away without a record")

    def leave_if_asked(self) -> None:
        """Leave Tune when a signal came, the source failed, or only idle trials are left.

        Called between Tune's own steps.
        """
        if self._stop.is_asked or self.error is not None or (self.is_over and self.idle):
            raise _Halted

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


class _Watch(tune.Callback):  # type: ignore[misc]
    """Takes records out of Tune's results before Tune stores them, and ends the loop when asked."""

    def __init__(self, feed: _Feed) -> None:
        self._feed = feed

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        payload = result.pop("record", None)
        if payload is not None:
            self._feed.take(trial.trial_id, TrialRecord.from_json(payload))
        elif "lost" in result:
            self._feed.lose(trial.trial_id, result["lost"])

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        self._feed.leave_if_asked()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Nothing, ()


class _NewestFirst(FIFOScheduler):  # type: ignore[misc]
    """Gives a freed worker to the newest waiting trial, and ends idle trials.

    First-in-first-out names the trial whose own worker is still starting, cancels that start, and
    with short trials a replaced worker or a new node never gets any work.
    """

    def __init__(self, feed: _Feed) -> None:
        super().__init__()
        self._feed = feed

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        is_over = trial.trial_id in self._feed.idle and self._feed.releases(trial.trial_id)
        return str(FIFOScheduler.STOP if is_over else FIFOScheduler.CONTINUE)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Nothing, ()

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        waiting = [trial for trial in tune_controller.get_live_trials() if trial.status == "PENDING"]
        return waiting[-1] if waiting else None


def _short_name(trial: Any) -> str:
    return str(trial.trial_id)


@contextmanager
def _started(address: str, num_threads: int) -> Iterator[None]:
    """Connect to Ray for the time of a sweep; a private Ray ends with it."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    logging.getLogger("ray").setLevel(logging.ERROR)
    _connect(address, worker_variables(num_threads))
    try:
        yield
    finally:
        with undisturbed():  # half shut down, Ray would leave processes behind
            ray.shutdown(wait_for_processes=True)


def _connect(address: str, variables: dict[str, str]) -> None:
    """Join the cluster, or start a private Ray.

    Workers of a private Ray inherit their variables: a ``runtime_env`` would cost some seconds, in which a
    process of its own prepares it and the workers that Ray has started already go unused.

    Args:
        address: ``local``, or the cluster's.
        variables: environment of every worker.

    Raises:
        UserError: no cluster there, or Ray does not start on this machine.
    """
    is_own = address == "local"
    own = {"num_cpus": cores(), "include_dashboard": False} if is_own else {}
    try:
        with _inherited(variables if is_own else {}):
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
                runtime_env={} if is_own else {"env_vars": variables},
                **own,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _not_connected(address, str(error).splitlines()[0]) from None


@contextmanager
def _inherited(variables: dict[str, str]) -> Iterator[None]:
    """Have processes that are started meanwhile see these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _not_connected(address: str, reason: str) -> UserError:
    key = ("resources", "address")
    if address == "local":
        hint = "look into the session's logs in Ray's temporary folder, or set resources.driver: inline"
        return UserError(f"Ray does not start on this machine: {reason}", hint, key=key)
    return UserError(f"no Ray cluster at {address!r}: {reason}", "start one, or use address: local", key=key)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for what Tune insists on writing."""
    folder = Path(tempfile.mkdtemp(prefix="stabsearch-tune-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
