"""What a sweep found, and its files."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.config import Sweep
from stabsearch.errors import ExitCode
from stabsearch.frontier.answer import Answer
from stabsearch.frontier.conclude import conclude
from stabsearch.frontier.stopping import why_ended
from stabsearch.records.frame import trials_frame
from stabsearch.search.campaign import fitted, hints_of, stopping_of
from stabsearch.sweep.prepared import Prepared

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from stabsearch.frontier import Frontier
    from stabsearch.records import TrialRecord
    from stabsearch.report.findings import Findings
    from stabsearch.sweep.disk import DiskUse
    from stabsearch.tracking import Delivery


@dataclass(frozen=True, repr=False)
class SweepResult:
    """What a sweep found."""

    findings: Findings
    """Everything the reports show."""
    trials: pd.DataFrame
    """One row per trial, the columns of ``trials.csv``."""
    frontier: pd.DataFrame
    """One row per context, the columns of ``frontier.csv``."""
    recommended: dict[str, Any] | None
    """TrainingArguments fields of the recommended configuration, None when there is none."""
    folder: Path
    """Where the files are."""
    delivery: Delivery | None = None
    """What reached MLflow; None when reports were only rebuilt."""
    disk: DiskUse | None = None
    """What the sweep takes on disk, as it was run; None when it was only read."""

    @property
    def answer(self) -> Answer:
        """Return the answer in words and numbers."""
        return self.findings.answer

    @property
    def diagnosis(self) -> Mapping[str, Any] | None:
        """Return why nothing safe was found, as ``diagnosis.json`` holds it; None: nothing to explain."""
        return self.findings.diagnosis

    def explained(self, diagnosis: Mapping[str, Any] | None) -> SweepResult:
        """Return the same result with its cause."""
        return replace(self, findings=replace(self.findings, diagnosis=diagnosis))

    def answered(self, answer: Answer) -> SweepResult:
        """Return the same result with another answer: a configuration that somebody else would choose."""
        from stabsearch.report.recommended import recommended_arguments

        best = answer.recommendation
        arguments = recommended_arguments(self.sweep, best, answer.max_steps) if best else None
        return replace(self, findings=replace(self.findings, answer=answer), recommended=arguments)

    @property
    def sweep(self) -> Sweep:
        """Return what was asked for."""
        return self.findings.sweep

    @property
    def next_step(self) -> str:
        """Return what the reader should do now, in one or two sentences."""
        from stabsearch.report.wording import next_step

        return next_step(self.sweep, self.answer, self.findings.records)

    @property
    def exit_code(self) -> ExitCode:
        """Return what ``stabsearch run`` exits with."""
        return self.answer.verdict.exit_code

    def plot(self) -> Figure:
        """Return the frontier's picture, as ``frontier.png`` shows it, to be changed or saved.

        A figure of its own, outside of pyplot's global state.
        """
        from stabsearch.report.notebook import showing_itself
        from stabsearch.report.plot import frontier_figure

        return showing_itself(frontier_figure(self.findings))

    def __repr__(self) -> str:
        """Return the answer on one line: all trials would fill a screen."""
        return f"<SweepResult {self.sweep.name}, {self.answer.verdict}: {self.answer.sentence}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from stabsearch.report.notebook import result_html

        return result_html(self.findings)


def result_of(
    prepared: Prepared,
    records: Sequence[TrialRecord],
    folder: Path,
    *,
    command: str,
    versions: Mapping[str, str],
    run_as: Prepared | None = None,
) -> SweepResult:
    """Return what the records of a sweep come to.

    Args:
        prepared: what is asked.
        records: every finished trial, labelled.
        folder: of the sweep.
        command: what was typed.
        versions: of the libraries that ran the trials.
        run_as: what the trials were run for, when something else is asked now.
    """
    from stabsearch.report.findings import Findings

    frontier, answer = answer_of(prepared, records)
    answer = replace(answer, ended=_why_ended(run_as or prepared, records))
    findings = Findings.of(prepared.sweep, records, frontier, answer, command=command, versions=versions)
    return SweepResult(findings, trials_frame(records), frontier.table, None, folder).answered(answer)


def answer_of(prepared: Prepared, records: Sequence[TrialRecord]) -> tuple[Frontier, Answer]:
    """Return the frontier that the records of a sweep show, and the answer that they allow."""
    hints = hints_of(prepared.sweep, prepared.hints, records)
    frontier = fitted(prepared.sweep, prepared.resolved.contexts, records, hints)
    return frontier, conclude(records, frontier, prepared.terms)


def _why_ended(prepared: Prepared, records: Sequence[TrialRecord]) -> str:
    """Return why the search ended, by what it was run for."""
    sweep, contexts = prepared.sweep, prepared.resolved.contexts
    stopping = stopping_of(sweep, prepared.stages)
    hints = hints_of(sweep, prepared.hints, records)
    return why_ended(records, contexts, stopping, partial(fitted, sweep, contexts, hints=hints))


def write(result: SweepResult) -> None:
    """Write every report file of a result."""
    from stabsearch.report.files import write_reports

    found = result.findings
    write_reports(
        result.folder,
        found.sweep,
        found.records,
        found.frontier,
        found.answer,
        command=found.command,
        versions=found.versions,
        diagnosis=found.diagnosis,
    )


def installed_versions() -> dict[str, str]:
    """Return the versions of everything that decides a result."""
    names = ("stabsearch", "torch", "transformers", "accelerate", "optuna", "ray", "mlflow", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
