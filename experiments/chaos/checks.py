"""What is left of a sweep: every count here has to be zero."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from experiments.chaos.story import Story
from stabsearch.records import TrialRecord
from stabsearch.trial.temporary import remove_abandoned

LAST_PROCESSES_S = 90.0
PARENT, NUMBER = "mlflow.parentRunId", "stabsearch.number"


@dataclass(frozen=True)
class Damage:
    """What went wrong with a sweep, by kind."""

    lost: int = 0
    """Trials of the budget without a record."""
    given_up: int = 0
    """Trials recorded as lost, though each was worth another start."""
    duplicated: int = 0
    """Trials with a second record, in the study or in trials.csv, and runs too many in MLflow."""
    zombies: int = 0
    """Trials that the study has as running, and runs that MLflow has as running."""
    mis_tagged: int = 0
    """Runs whose tags, status or parent differ from the study's record."""
    over_budget: int = 0
    """Trials beyond the budget."""
    left_files: int = 0
    """Temporary folders that the next run would not remove either."""

    def __add__(self, other: Damage) -> Damage:
        """Return the sum."""
        mine, theirs = asdict(self), asdict(other)
        return Damage(**{field.name: mine[field.name] + theirs[field.name] for field in fields(self)})

    @property
    def is_none(self) -> bool:
        """True when nothing went wrong."""
        return not any(asdict(self).values())


def damage_of(story: Story, store: str, temporary: Path) -> Damage:
    """Return what went wrong with a sweep that has ended and was delivered.

    Args:
        story: of the sweep.
        store: of MLflow.
        temporary: home of temporary files of all runs.
    """
    import csv

    from stabsearch.search.stored import read_study, records_in, unfinished_in

    study = read_study(story.folder)
    records = records_in(study)
    with (story.folder / "trials.csv").open() as file:
        table = list(csv.DictReader(file))
    rows = Counter(int(row["number"]) for row in table)
    outcomes = {int(row["number"]): row["outcome"] for row in table}
    told = Counter(record.plan.number for record in records)
    open_trials = [trial for trial in study.trials if not trial.state.is_finished()]
    runs = _runs(store, study.user_attrs["stabsearch.sweep_id"])
    parents = [run for run in runs if PARENT not in run.data.tags]
    children = [run for run in runs if PARENT in run.data.tags]
    shown = Counter(int(run.data.tags[NUMBER]) for run in children)
    return Damage(
        lost=max(0, story.trials - len(told)) + len(unfinished_in(study)) + len(told.keys() ^ rows.keys())
        + len(told.keys() - shown.keys()),
        given_up=sum(record.outcome.value == "lost" for record in records),
        duplicated=sum(count - 1 for each in (told, rows, shown) for count in each.values())
        + max(0, len(parents) - 1),
        zombies=len(open_trials) + sum(run.info.status == "RUNNING" for run in runs),
        mis_tagged=_mis_tagged(records, outcomes, children, parents),
        over_budget=max(0, len(told) - story.trials),
        left_files=_left_in(temporary),
    )  # fmt: skip


def _left_in(temporary: Path) -> int:
    """Return how many temporary folders stay; a killed Ray's last processes write on for a minute."""
    until = time.monotonic() + LAST_PROCESSES_S
    while (left := len(list(temporary.glob("stabsearch-*")))) and time.monotonic() < until:
        time.sleep(1.0)
        remove_abandoned(temporary)
    return left


def _runs(store: str, sweep_id: str) -> list[Any]:
    client = MlflowClient(store)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    wanted = f"tags.`stabsearch.sweep_id` = '{sweep_id}'"
    return list(client.search_runs(experiments, filter_string=wanted, max_results=1000))


def _mis_tagged(
    records: list[TrialRecord], outcomes: dict[int, str], children: list[Any], parents: list[Any]
) -> int:
    """Return how many runs say something else than the study."""
    by_number = {record.plan.number: record for record in records}
    ids = {run.info.run_id for run in parents}
    wrong = sum(run.info.status != "FINISHED" for run in parents)
    for run in children:
        record = by_number.get(int(run.data.tags[NUMBER]))
        if record is None or not (
            run.data.tags[PARENT] in ids
            and run.data.tags["stabsearch.outcome"] == outcomes.get(record.plan.number)
            and run.info.status == "FINISHED"
            and float(run.data.params["learning_rate"]) == record.plan.learning_rate
            and run.data.params["precision"] == record.plan.precision
        ):
            wrong += 1
    return wrong
