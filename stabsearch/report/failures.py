"""What failed and why: one row per outcome and cause, with the first bad batches that were kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stabsearch.records import Cause, Outcome, TrialRecord
from stabsearch.report.findings import Findings
from stabsearch.report.wording import CAUSES, NONE, counted, rate

FOLDER = "bad_batches"
"""Where first bad batches are, beside the report."""
MAX_LINKS = 4  # chosen: what fits beside a row; the table of trials names every bundle
HEADS = (
    "outcome",
    "cause",
    "#trials",
    "#learning rates",
    "#first bad step, median",
    "first bad batch",
    "for example",
)


@dataclass(frozen=True)
class Failures:
    """Trials that ended in one way for one reason."""

    outcome: Outcome
    cause: Cause
    trials: tuple[TrialRecord, ...]

    @property
    def cells(self) -> tuple[str | int, ...]:
        """Return the cells of its row up to the first bad batches, which each report links its own way."""
        return self.outcome.value, self.cause_words, len(self.trials), self.rates, self.bad_step

    @property
    def cause_words(self) -> str:
        """Return the cause as people say it."""
        return CAUSES[self.cause]

    @property
    def rates(self) -> str:
        """Return the learning rates from the lowest to the highest."""
        rates = sorted(trial.plan.learning_rate for trial in self.trials)
        return rate(rates[0]) if rates[0] == rates[-1] else f"{rate(rates[0])} to {rate(rates[-1])}"

    @property
    def bad_step(self) -> str:
        """Return the median of the first bad steps, a dash where none is known."""
        steps = [trial.first_bad_step for trial in self.trials if trial.first_bad_step is not None]
        return f"{median(steps):g}" if steps else NONE

    @property
    def example(self) -> str:
        """Return what the first of the trials said."""
        first = next((trial for trial in self.trials if trial.message), None)
        return f"trial {first.plan.number}: {first.message}" if first else ""

    @property
    def bundles(self) -> tuple[str, ...]:
        """Return the names of the bundles that hold these failures, each once."""
        return tuple(dict.fromkeys(trial.bundle for trial in self.trials if trial.bundle))


def failures_of(findings: Findings) -> list[Failures]:
    """Return what did not end well, the most frequent first."""
    groups: dict[tuple[Outcome, Cause], list[TrialRecord]] = {}
    for record in findings.counted:
        if record.cause is not None:
            groups.setdefault((record.outcome, record.cause), []).append(record)
    found = [Failures(outcome, cause, tuple(trials)) for (outcome, cause), trials in groups.items()]
    return sorted(found, key=lambda each: (not each.outcome.is_failure, -len(each.trials)))


def missing_text(findings: Findings) -> str:
    """Return which bundles are named but not there; empty when none is missing."""
    named = dict.fromkeys(record.bundle for record in findings.records if record.bundle)
    missing = [name for name in named if name not in findings.bundles]
    if not missing:
        return ""
    verb = "is" if len(missing) == 1 else "are"
    kept = counted(len(named), "first bad batch", "first bad batches")
    return f"{len(missing)} of {kept} {verb} not in {FOLDER}/."


def bundles_in(folder: Path) -> frozenset[str]:
    """Return the names of the bundles that a sweep's folder holds."""
    place = folder / FOLDER
    if not place.is_dir():
        return frozenset()
    return frozenset(path.name for path in place.iterdir() if path.is_dir() and not path.is_symlink())
