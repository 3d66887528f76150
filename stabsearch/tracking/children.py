"""The trials' runs of one sweep: made once, completed, corrected."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow.entities import Metric, Param, RunTag

from stabsearch.tracking.experiment import tagged_runs
from stabsearch.tracking.layout import LABEL_TAGS, NUMBER_TAG, PARENT_TAG, SWEEP_TAG, ChildRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlflow import MlflowClient
    from mlflow.entities import Run

_ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})


@dataclass
class StoredRun:
    """What the store holds of one trial."""

    run_id: str
    status: str
    started_ms: int
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> StoredRun:
        """Return the plain form of MLflow's own object."""
        data, info = run.data, run.info
        return cls(
            info.run_id, info.status, info.start_time, dict(data.tags), dict(data.metrics), dict(data.params)
        )

    @property
    def is_ended(self) -> bool:
        """True when it got its final status, which is always told last."""
        return self.status in _ENDED


class Children:
    """The runs below one parent, as the store has them.

    Args:
        client: of the store.
        experiment_id: where the runs are.
        parent_id: run of the sweep.
        sweep_id: identity of the sweep; runs that carry it belong here, whoever made them.

    Raises, like every method: whatever MLflow raises. What is stored is then unknown, and a new
    object looks again.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, parent_id: str, sweep_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_id = parent_id
        found = [run for run in tagged_runs(client, experiment_id, SWEEP_TAG, sweep_id) if _number(run) >= 0]
        self._by_number = self._without_duplicates(found)

    def deliver(self, wanted: ChildRun) -> None:
        """Make the store show this trial, whatever it shows now; doing it twice changes nothing."""
        stored = self._by_number.get(wanted.number)
        if stored is not None and _is_another_attempt(stored, wanted):
            self._client.delete_run(self._by_number.pop(wanted.number).run_id)
            stored = None
        stored = stored or self._create(wanted)
        if stored.is_ended:
            self._correct(stored, wanted)
        else:
            self._fill(stored, wanted)
            self._end(stored, wanted)

    def end_strays(self, known_numbers: Iterable[int]) -> None:
        """End every run left RUNNING whose trial the study does not know as finished."""
        for number in self._by_number.keys() - set(known_numbers):
            stored = self._by_number[number]
            if not stored.is_ended:
                self._client.set_terminated(stored.run_id, "KILLED")
                stored.status = "KILLED"

    def _without_duplicates(self, runs: Iterable[Run]) -> dict[int, StoredRun]:
        """Return one run per trial, an ended one if there is one, and delete the others."""
        by_number: dict[int, list[StoredRun]] = defaultdict(list)
        for run in runs:
            by_number[_number(run)].append(StoredRun.of(run))
        kept = {}
        for number, stored in by_number.items():
            first, *others = sorted(stored, key=lambda run: (not run.is_ended, run.started_ms, run.run_id))
            for other in others:
                self._client.delete_run(other.run_id)
            kept[number] = first
        return kept

    def _create(self, wanted: ChildRun) -> StoredRun:
        tags = {**wanted.tags, PARENT_TAG: self._parent_id}
        run = self._client.create_run(self._experiment_id, wanted.started_ms, tags, wanted.name)
        self._by_number[wanted.number] = stored = StoredRun.of(run)
        return stored

    def _fill(self, stored: StoredRun, wanted: ChildRun) -> None:
        """Tell everything of a run that was only made so far."""
        # A param that is there cannot be changed; telling it again differently would be an error.
        params = {key: value for key, value in wanted.params.items() if key not in stored.params}
        metrics = [
            Metric(point.key, point.value, stored.started_ms + point.offset_ms, point.step)
            for point in wanted.points
        ]
        self._log(stored, metrics, params, {**wanted.tags, PARENT_TAG: self._parent_id})

    def _end(self, stored: StoredRun, wanted: ChildRun) -> None:
        self._client.set_terminated(
            stored.run_id, wanted.status, end_time=stored.started_ms + wanted.duration_ms
        )
        stored.status = wanted.status

    def _correct(self, stored: StoredRun, wanted: ChildRun) -> None:
        """Bring an ended run up to a label that changed afterwards, or to a new parent."""
        due = {**wanted.labels, PARENT_TAG: self._parent_id}
        due = {key: value for key, value in due.items() if stored.tags.get(key) != value}
        gone = [key for key in LABEL_TAGS if key in stored.tags and key not in wanted.labels]
        for key in gone:
            self._client.delete_tag(stored.run_id, key)
            del stored.tags[key]
        is_relabelled = bool(gone or due.keys() & set(LABEL_TAGS))
        self._log(stored, _changed_metrics(stored, wanted) if is_relabelled else [], {}, due)
        if stored.status != wanted.status:
            self._end(stored, wanted)

    def _log(
        self,
        stored: StoredRun,
        metrics: list[Metric],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        self._client.log_batch(
            stored.run_id,
            metrics=metrics,
            params=[Param(key, value) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
            synchronous=True,
        )
        stored.params.update(params)
        stored.tags.update(tags)
        stored.metrics.update({metric.key: metric.value for metric in metrics})


def _changed_metrics(stored: StoredRun, wanted: ChildRun) -> list[Metric]:
    """Return new values under the present time: of equal steps MLflow shows the latest."""
    now_ms = round(time.time() * 1000)
    return [
        Metric(key, point.value, now_ms, point.step)
        for key, point in wanted.summary.items()
        if stored.metrics.get(key) != point.value
    ]


def _is_another_attempt(stored: StoredRun, wanted: ChildRun) -> bool:
    """True when the stored run shows an earlier start of the same trial, e.g. an interrupted one."""
    return wanted.started_ms is not None and stored.started_ms != wanted.started_ms


def _number(run: Run) -> int:
    """Return the trial's number, -1 for the run of the sweep."""
    return int(run.data.tags.get(NUMBER_TAG, "-1"))
