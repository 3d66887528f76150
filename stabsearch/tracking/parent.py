"""The run of the sweep itself: found again, opened, given the answer, ended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Param, RunTag

from stabsearch.config.address import without_password
from stabsearch.tracking.experiment import tagged_runs
from stabsearch.tracking.layout import SOURCE_TAG, SWEEP_TAG, UID_TAG, VERSION_TAG, as_text, full_run_params
from stabsearch.tracking.note import PICTURE, Place, sweep_note
from stabsearch.tracking.picture import write_preview
from stabsearch.tracking.saved_view import KIND_TAG, saved_view
from stabsearch.trial.temporary import temporary_folder
from stabsearch.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlflow import MlflowClient

    from stabsearch.config import Sweep
    from stabsearch.frontier import Frontier
    from stabsearch.frontier.answer import Answer
    from stabsearch.records import TrialRecord
    from stabsearch.tracking.base import Look

ARTIFACTS = (
    "sweep.resolved.yaml", "trials.csv", "trials.parquet", "frontier.json", "frontier.csv",
    "frontier.png", "report.html", "report.md", "recommended.json",
    "drift.md", "drift.json",
)  # fmt: skip
"""Files of the sweep's folder that are shown with it, those that exist."""

_RECOMMENDED = "stabsearch.recommended."
_VERDICT = "stabsearch.verdict"
_PRIVATE = {"tracking", "study"}  # addresses, with passwords in them


class Parent:
    """The run of one sweep.

    Args:
        client: of the store.
        experiment_id: where it is, or is made.
        sweep: the sweep it shows.
        sweep_id: identity of the sweep, by which the run is found again.

    Raises, like every method: whatever MLflow raises.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, sweep: Sweep, sweep_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._sweep = sweep
        self._sweep_id = sweep_id
        runs = list(tagged_runs(client, experiment_id, UID_TAG, sweep_id))
        for run in runs[1:]:  # left by a request whose reply was lost
            client.delete_run(run.info.run_id)
        run = runs[0] if runs else client.create_run(experiment_id, None, _tags(sweep_id), sweep.name)
        self.run_id: str = run.info.run_id
        # A param cannot be changed later, so those of the first start stay.
        params = {key: value for key, value in sweep_params(sweep).items() if key not in run.data.params}
        client.log_batch(self.run_id, params=[Param(*item) for item in params.items()], synchronous=True)

    def begin(self) -> None:
        """Show the run as RUNNING, also when an earlier start of the sweep ended it."""
        self._client.update_run(self.run_id, status="RUNNING")

    def progress(self, seen: Look) -> None:
        """Show how far the sweep is, and what it would say if it ended now, as a note."""
        note = sweep_note(
            self._place(()), seen.answer, seen.frontier, seen.records, budget=self._sweep.budget.trials
        )
        self._client.log_batch(self.run_id, tags=[RunTag(*tag) for tag in note.items()], synchronous=True)

    def show_view(self) -> None:
        """Make the page of runs show this sweep's trials well: columns, filter, charts."""
        varied = ("precision", "warmup_steps", "max_grad_norm", *self._sweep.search.further)
        tags = saved_view(self._sweep.name, self._sweep_id, varied, round(time.time() * 1000))
        stored = self._client.get_experiment(self._experiment_id).tags
        for key, value in {**KIND_TAG, **tags}.items():
            if key not in stored:  # people may have changed it
                self._client.set_experiment_tag(self._experiment_id, key, value)

    def _place(self, files: Iterable[str]) -> Place:
        return Place(self._experiment_id, self.run_id, self._sweep_id, frozenset(files))

    def describe(
        self,
        answer: Answer | None,
        frontier: Frontier | None,
        records: Sequence[TrialRecord],
        *,
        next_step: str = "",
        sentence: str = "",
        files: Iterable[str] = (),
    ) -> None:
        """Show the answer: verdict and recommended settings as tags, the rest as a note with links."""
        note = sweep_note(
            self._place(files), answer, frontier, records, next_step=next_step, sentence=sentence
        )
        wanted = {**answer_tags(answer), **note}
        stored = self._client.get_run(self.run_id).data.tags
        for key in stored:
            if key.startswith(_RECOMMENDED) and key not in wanted:
                self._client.delete_tag(self.run_id, key)
        tags = [RunTag(key, value) for key, value in wanted.items()]
        self._client.log_batch(self.run_id, tags=tags, synchronous=True)

    def upload(self, path: Path) -> None:
        """Show a file of the sweep's, if there is one; the sweep's own goes out without passwords."""
        if not path.is_file():
            return
        with temporary_folder() as scratch:
            for shown in _shown(path, scratch):
                self._client.log_artifact(self.run_id, str(shown))

    def end(self, status: str) -> None:
        """Give the run its final status, now."""
        self._client.set_terminated(self.run_id, status)


def _shown(path: Path, scratch: Path) -> list[Path]:
    """Return what is uploaded of a file: a copy without passwords, a picture also in small, or the file."""
    if path.suffix == ".yaml":
        copy = scratch / path.name
        copy.write_text(without_password(path.read_text(encoding="utf-8")), encoding="utf-8")
        return [copy]
    if path.name == "frontier.png":
        write_preview(path, scratch / PICTURE)
        return [path, scratch / PICTURE]
    return [path]


def _tags(sweep_id: str) -> dict[str, str]:
    return {
        UID_TAG: sweep_id,
        SWEEP_TAG: sweep_id,
        VERSION_TAG: __version__,
        SOURCE_TAG: "stabsearch",
    }


def sweep_params(sweep: Sweep) -> dict[str, str]:
    """Return the sweep as flat params: training arguments under their own names, the rest dotted."""
    parts = sweep.model_dump(mode="json", exclude={"training", *_PRIVATE})
    fixed = {k: v for k, v in full_run_params(sweep.training).items() if k not in sweep.search.further}
    return {**fixed, **_flat(parts)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as ``search.learning_rate.low``; those not set are left out."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        elif value is not None:
            flat[f"{prefix}{key}"] = as_text(value)
    return flat


def answer_tags(answer: Answer | None) -> dict[str, str]:
    """Return the verdict and the recommended settings, under Hugging Face's names."""
    if answer is None:
        return {}
    tags = {_VERDICT: answer.verdict.value}
    if (best := answer.recommendation) is not None:
        values = {
            "learning_rate": best.learning_rate,
            **best.context.settings,
            "failure_probability": best.failure_probability,
            "probability_low": best.probability_low,
            "probability_high": best.probability_high,
        }
        tags.update({f"{_RECOMMENDED}{key}": str(value) for key, value in values.items()})
    return tags
