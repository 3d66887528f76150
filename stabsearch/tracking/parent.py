"""The run of the sweep itself: found again, opened, given the answer, ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Param, RunTag

from stabsearch.config.address import without_password
from stabsearch.tracking.experiment import tagged_runs
from stabsearch.tracking.layout import SOURCE_TAG, SWEEP_TAG, UID_TAG, VERSION_TAG, as_text, full_run_params
from stabsearch.tracking.note import sweep_note
from stabsearch.trial.temporary import temporary_folder
from stabsearch.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow import MlflowClient

    from stabsearch.config import Sweep
    from stabsearch.frontier import Frontier
    from stabsearch.frontier.answer import Answer
    from stabsearch.records import TrialRecord

ARTIFACTS = (
    "sweep.resolved.yaml", "trials.csv", "trials.parquet", "frontier.json", "frontier.csv",
    "frontier.png", "report.html", "report.md", "recommended.json",
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

    def describe(
        self, answer: Answer | None, frontier: Frontier | None, records: Sequence[TrialRecord]
    ) -> None:
        """Show the answer: verdict and recommended settings as tags, the rest as a note."""
        wanted = {**answer_tags(answer), **sweep_note(answer, frontier, records)}
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
        if path.suffix != ".yaml":
            self._client.log_artifact(self.run_id, str(path))
            return
        with temporary_folder() as scratch:
            copy = scratch / path.name
            copy.write_text(without_password(path.read_text(encoding="utf-8")), encoding="utf-8")
            self._client.log_artifact(self.run_id, str(copy))

    def end(self, status: str) -> None:
        """Give the run its final status, now."""
        self._client.set_terminated(self.run_id, status)


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
