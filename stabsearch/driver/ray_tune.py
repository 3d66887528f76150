"""Trials through Ray Tune, on this machine or a cluster.

Ray reads its environment when it is imported: ``environment.prepare`` comes before this module, and before
``driver.connection``, ``driver.feed`` and ``driver.lifeline``, which it is made of.

One Tune trial is one plan: its single ``step()`` returns the record with ``done=True``, so that a
diverged trial is a successful result. Retries, resume and stopping are decided by the source:
Tune's own recovery repeats finished trials and marks a trial as failed when an idle cached worker
dies (both seen in Ray 2.60).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ray import tune

from stabsearch.driver.base import TrialSource, WorkerLost, WorkOrder
from stabsearch.driver.board import Board
from stabsearch.driver.connection import started
from stabsearch.driver.feed import Feed, Halted, NewestFirst, Watch
from stabsearch.driver.interrupts import Interrupts, kept_handlers
from stabsearch.driver.lifeline import watched
from stabsearch.driver.room import no_room, slots, wait_for_room
from stabsearch.driver.telling import OnProgress
from stabsearch.driver.worker import make_worker
from stabsearch.records.record import plan_from_json

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
        on_progress: told how far running trials are; None: nobody looks.
    """

    def __init__(
        self, order: WorkOrder, *, address: str = "local", cpus_per_trial: float = 1.0,
        gpus_per_trial: float = 0.0, concurrency: int | None = None, on_progress: OnProgress | None = None,
    ) -> None:  # fmt: skip
        self._order, self._on_progress = order, on_progress
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
            _scratch() as folder,
            started(self._address, self._order.setup.num_threads, folder),
            Interrupts() as stop,
        ):
            room = self._room(stop)
            feed = Feed(source, stop, self._concurrency or room, room=room)
            with watched(self._address == "local", feed.abandon):
                is_whole = self._fit(feed, folder)
        if not is_whole:
            raise feed.error or KeyboardInterrupt

    def _fit(self, feed: Feed, folder: Path) -> bool:
        """Return whether Tune went on to the end of what the source had."""
        board = Board(feed.slots) if self._on_progress else None
        with board.read_for(feed, self._on_progress) if board and self._on_progress else nullcontext():
            try:
                self._tuner(feed, folder, board).fit()
                feed.leave_if_asked()
            except Halted:
                return feed.is_over
        return True

    def _tuner(self, feed: Feed, folder: Path, board: Board | None) -> tune.Tuner:
        idle_s = max(IDLE_S, feed.slots / ASKS_PER_S)
        with warnings.catch_warnings():
            # nobody writes to what is sent: models are copies of it
            warnings.filterwarnings("ignore", "Zero-copy tensor serialization")
            trainable = tune.with_parameters(_Worker, order=self._order, idle_s=idle_s, board=board)
        return tune.Tuner(
            tune.with_resources(trainable, self._resources),
            tune_config=tune.TuneConfig(
                search_alg=feed, scheduler=NewestFirst(feed), num_samples=-1, reuse_actors=True,
                max_concurrent_trials=feed.slots, trial_dirname_creator=_short_name,
                trial_name_creator=_short_name,
            ),
            run_config=tune.RunConfig(
                name="tune", storage_path=str(folder), verbose=0, callbacks=[Watch(feed)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )  # fmt: skip

    def _room(self, stop: Interrupts) -> int:
        """Return how many trials have room at a time; nodes of a cluster may still be on their way."""
        room = slots(self._resources)
        if room < 1 and self._address == "local":
            raise no_room(self._resources)
        return room or wait_for_room(self._resources, lambda: stop.is_asked)


class _Worker(tune.Trainable):  # type: ignore[misc]
    """A warm process: the workload stays, the plan changes."""

    def setup(self, config: dict[str, Any], order: WorkOrder, idle_s: float, board: Board | None) -> None:
        self._order, self._idle_s, self._worker = order, idle_s, make_worker(order)
        self._telling = board.telling_from(self._worker) if board else None

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
        if self._telling:
            self._telling.stop()
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


def _short_name(trial: Any) -> str:
    return str(trial.trial_id)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for what Ray and Tune insist on writing."""
    folder = Path(tempfile.mkdtemp(prefix="r"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
