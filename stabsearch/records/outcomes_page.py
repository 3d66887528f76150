"""Outcomes, grades, causes, stages and thresholds as a page of the docs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from enum import StrEnum

from stabsearch.records.documented import markdown_table, texts_under_names
from stabsearch.records.outcome import Cause, Grade, Outcome, Stage
from stabsearch.records.rules import OutcomeRules

HEAD = """\
# Outcomes, grades and causes

Generated from the code by `make docs`.

Every trial gets exactly one outcome. It stands in the column `outcome` of `trials.csv` and
`trials.parquet`, and in MLflow as the tag `stabsearch.outcome` of the trial's run; `grade`, `cause` and
`stage` stand beside it, under these names. Only raw numbers decide: the loss of every micro-batch and the
gradient norm of every update, before the optimizer steps.

## Outcomes

What moves the frontier is what the hyperparameters did. An outcome that proves nothing is recorded under
its own name and left out of the fit, except for the share of its horizon that an interrupted trial was
alive.

"""
GRADES = """\
Of `stable` trials only. A degraded survivor stands just below where trials fail, and is fitted as that;
an objective for `FrontierSampler` returns 1.0 for clean, 0.5 for degraded and 0.0 for a failure. A
context in which no survivor has learned is not recommended.

"""
CAUSES = """\
What broke a trial, as far as the evidence at hand shows: [how it is found](forensics.md). A cause outside
of the settings makes the outcome `data_fault` or `crashed`. Where none could be found out, the cause is
`unknown` and the outcome stands.

"""
THRESHOLDS = """\
Each can be set in the sweep, in the section `outcomes`. Progress is how far the loss came down from where
it started; it is compared at the same step. As labels depend on other trials, they are decided again at
every fit.

"""


def outcomes_page() -> str:
    """Return docs/outcomes.md."""
    return "".join(
        [
            HEAD,
            markdown_table(("outcome", "what happened", "counts as"), _outcomes()),
            "\n## Grades\n\n" + GRADES,
            markdown_table(("grade", "is"), _names(Grade)),
            "\n## Causes\n\n" + CAUSES,
            markdown_table(("cause", "is", "a setting"), _causes()),
            "\n## Stages\n\n",
            markdown_table(("stage", "is"), _names(Stage)),
            "\n## Thresholds\n\n" + THRESHOLDS,
            markdown_table(("key", "default", "is"), _thresholds()),
        ]
    )


def _names(kind: type[StrEnum]) -> Iterable[tuple[str, str]]:
    texts = texts_under_names(kind)
    return ((f"`{each.value}`", texts[each.name]) for each in kind)


def _outcomes() -> Iterable[tuple[str, ...]]:
    return ((*cells, _counts(each)) for cells, each in zip(_names(Outcome), Outcome, strict=True))


def _counts(outcome: Outcome) -> str:
    if outcome.is_failure:
        return "evidence against"
    return "evidence for" if outcome.is_evidence else "nothing"


def _causes() -> Iterable[tuple[str, ...]]:
    return ((*cells, _is_of_settings(each)) for cells, each in zip(_names(Cause), Cause, strict=True))


def _is_of_settings(cause: Cause) -> str:
    if cause is Cause.UNKNOWN:
        return ""
    return "yes" if cause.is_of_settings else "no"


def _thresholds() -> Iterable[tuple[str, ...]]:
    texts = texts_under_names(OutcomeRules)
    return (
        (f"`outcomes.{name}`", f"`{value:g}`", texts[name]) for name, value in asdict(OutcomeRules()).items()
    )
