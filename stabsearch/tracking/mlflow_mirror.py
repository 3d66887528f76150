"""The mirror in MLflow: one run per sweep, one child run per trial."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stabsearch.tracking.attempt import within
from stabsearch.tracking.base import Delivery
from stabsearch.tracking.children import Children
from stabsearch.tracking.courier import FIRST_PAUSE_S, Courier
from stabsearch.tracking.environment import REQUEST_TIMEOUT_S
from stabsearch.tracking.experiment import connect, find_experiment
from stabsearch.tracking.layout import child_run
from stabsearch.tracking.model_card import model_card
from stabsearch.tracking.note import PICTURE
from stabsearch.tracking.own_store import make_whole
from stabsearch.tracking.parent import ARTIFACTS, Parent
from stabsearch.tracking.reason import is_passing, reason
from stabsearch.tracking.registry import register_frontier
from stabsearch.tracking.store import (
    DATABASE_NAME,
    artifact_location,
    is_server,
    refuse_unusable,
    run_url,
    store_uri,
    unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlflow import MlflowClient

    from stabsearch.config import Sweep
    from stabsearch.frontier import Frontier
    from stabsearch.frontier.answer import Answer
    from stabsearch.records import TrialRecord
    from stabsearch.tracking.base import Look, RunStatus

FLUSH_S = 60.0  # chosen: 700 trials' worth of a local server's time
INTERRUPTED_FLUSH_S = 15.0  # chosen: who pressed Ctrl-C wants the prompt back; a resume sends the rest
PROGRESS_S = 15.0  # chosen: nobody reloads a page more often
_CHECK_PAUSES_S = (0.5, 1.0)  # chosen: a busy server drops one request, one that is away is known in 2 s
_DATABASE_TIMEOUT_S = 60.0  # chosen: the first contact creates MLflow's tables


@dataclass(frozen=True)
class _Opened:
    """The sweep's place in the store, as long as it is not in doubt."""

    client: MlflowClient
    experiment_id: str
    parent: Parent
    children: Children


class MlflowMirror:
    """Shows a sweep in MLflow; everything towards MLflow happens in one background thread.

    Args:
        sweep: the sweep that is shown.
        sweep_id: identity of the sweep, by which its runs are found again; no quotes in it.
        folder: the sweep's folder, home of the default store and of the files shown.
        flush_s: seconds that ``close`` waits at most.
        stall_s: seconds that it waits for the next single thing to arrive.
        first_pause_s: seconds until something that failed is tried again, doubling.
    """

    is_watched = True

    def __init__(
        self,
        sweep: Sweep,
        sweep_id: str,
        folder: Path,
        *,
        flush_s: float = FLUSH_S,
        stall_s: float = math.inf,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._sweep = sweep
        self._sweep_id = sweep_id
        self._folder = folder
        self._flush_s, self._stall_s = flush_s, stall_s
        self._uri = store_uri(sweep.tracking.uri, folder)
        self._opened: _Opened | None = None
        self._place = ("", "")
        self._next_look = -math.inf
        self._look: Look | None = None
        self._delivered: set[int] = set()
        self._courier = Courier(self._forget, first_pause_s)

    def check(self) -> None:
        """Return when the store named in the sweep answers, or need not; three attempts, 10 s in all at most.

        Raises:
            UserError: it does not, at ``tracking.uri``. The sweep's own database needs no check, nor does a
                store that is not ``tracking.required``.
        """
        if self._sweep.tracking.uri is None:
            return
        refuse_unusable(self._sweep.tracking.uri)
        if not self._sweep.tracking.required:
            return
        timeout_s = REQUEST_TIMEOUT_S if is_server(self._uri) else _DATABASE_TIMEOUT_S
        try:
            within(timeout_s, partial(_contact, self._uri))
        except Exception as error:
            raise unreachable(self._uri, reason(error)) from error

    def open(self) -> None:
        """Start the background thread; it makes the run of the sweep, or goes on with it."""
        self._courier.start()
        self._courier.send("the sweep's run", self._begin)

    def record(self, record: TrialRecord) -> None:
        """Take one finished trial; returns at once and never raises."""
        self._courier.send(f"trial {record.plan.number}", partial(self._deliver, record))

    def progress(self, look: Look) -> None:
        """Show how far the sweep is, every 15 s at most; waits for nothing."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + PROGRESS_S
        is_waiting, self._look = self._look is not None, look
        if not is_waiting:  # else the step that waits shows the latest
            self._courier.send("the progress", self._show_progress)

    def _show_progress(self) -> None:
        """Show the latest; one that does not arrive is not tried again, for another comes soon."""
        look, self._look = self._look, None
        if look is not None:
            self._parent.progress(look)

    def close(
        self,
        records: Sequence[TrialRecord],
        answer: Answer | None,
        frontier: Frontier | None,
        status: RunStatus,
        *,
        next_step: str = "",
        sentence: str = "",
    ) -> Delivery:
        """Return what arrived, after ``flush_s`` at most (15 s when interrupted); never raises.

        Every record is compared with what the store really holds, and what differs is put right.
        """
        self._courier.send("the trials", self._forget)
        for record in records:
            self.record(record)
        numbers = [record.plan.number for record in records]
        self._courier.send("the trials", lambda: self._place_of_sweep().children.end_strays(numbers))
        describe = partial(self._describe, answer, frontier, records, next_step=next_step, sentence=sentence)
        self._courier.send("the answer", describe)
        self._courier.send("the end", lambda: self._parent.end(status))
        # After the end, because an artifact store that is down must not leave the run RUNNING.
        for name in ARTIFACTS:
            self._courier.send(name, partial(self._upload, name))
        if frontier is not None and status == "FINISHED":
            self._courier.send("the frontier model", partial(self._register, answer, frontier, records))
        is_done = self._courier.finish(self._patience(status), self._stall_s)
        return self._delivery(numbers, is_done)

    def _patience(self, status: RunStatus) -> float:
        is_hurried = status == "KILLED" and math.isfinite(self._flush_s)
        return min(self._flush_s, INTERRUPTED_FLUSH_S) if is_hurried else self._flush_s

    def _delivery(self, numbers: Sequence[int], is_done: bool) -> Delivery:
        delivered = len(self._delivered.intersection(numbers))
        experiment_id, run_id = self._place
        return Delivery(
            delivered=delivered,
            missing=len(numbers) - delivered,
            problem=self._problem(is_done),
            url=run_url(self._uri, experiment_id, run_id),
            run_id=run_id or None,
        )

    def _problem(self, is_done: bool) -> str:
        if not is_done:
            return self._courier.problem or "there was not enough time"
        first_with = {why: name for name, why in reversed(self._courier.refused.items())}
        return "; ".join([f"{name}: {why}" for why, name in first_with.items()][-3:])

    # From here on: the background thread only.

    def _begin(self) -> None:
        """Make the sweep's run visible before the first trial has ended."""
        self._parent.begin()
        self._parent.show_view()

    @property
    def _parent(self) -> Parent:
        return self._place_of_sweep().parent

    def _place_of_sweep(self) -> _Opened:
        """Return the sweep's place in the store, looked up anew when it is in doubt."""
        if self._opened is None:
            self._opened = self._look_up()
        return self._opened

    def _look_up(self) -> _Opened:
        if self._sweep.tracking.uri is None:
            make_whole(self._folder / DATABASE_NAME)
        client = connect(self._uri)
        location = artifact_location(self._uri, self._folder)
        experiment_id = find_experiment(client, self._sweep.tracking.experiment, location)
        parent = Parent(client, experiment_id, self._sweep, self._sweep_id)
        self._place = (experiment_id, parent.run_id)
        children = Children(client, experiment_id, parent.run_id, self._sweep_id)
        return _Opened(client, experiment_id, parent, children)

    def _forget(self) -> None:
        """Doubt everything: after a failure, nobody knows what arrived."""
        self._opened = None

    def _deliver(self, record: TrialRecord) -> None:
        self._place_of_sweep().children.deliver(child_run(record, self._sweep.training, self._sweep_id))
        self._delivered.add(record.plan.number)

    def _describe(
        self,
        answer: Answer | None,
        frontier: Frontier | None,
        records: Sequence[TrialRecord],
        **said: str,
    ) -> None:
        files = {name for name in ARTIFACTS if (self._folder / name).is_file()}
        files |= {PICTURE} if "frontier.png" in files else set()
        self._parent.describe(answer, frontier, records, files=files, **said)

    def _upload(self, name: str) -> None:
        self._parent.upload(self._folder / name)

    def _register(self, answer: Answer | None, frontier: Frontier, records: Sequence[TrialRecord]) -> None:
        place = self._place_of_sweep()
        register_frontier(
            place.client,
            f"{self._sweep.name}-frontier",
            frontier.to_json(),
            experiment_id=place.experiment_id,
            run_id=place.parent.run_id,
            sweep_id=self._sweep_id,
            card=model_card(self._sweep, answer, frontier, records),
            verdict=answer.verdict if answer else None,
        )


def _contact(uri: str) -> None:
    """Return once the store has answered a question; tries again after a failure that may pass."""
    pauses_s = iter(_CHECK_PAUSES_S)
    while True:
        try:
            connect(uri).search_experiments(max_results=1)
        except Exception as error:
            pause_s = next(pauses_s, None)
            if pause_s is None or not is_passing(error):
                raise
            time.sleep(pause_s)
        else:
            return
