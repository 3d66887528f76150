"""From what the ladder saw to one cause; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stabsearch.records import Cause, Outcome, TrialRecord
from stabsearch.trial.attribution import name_cause as cause_of_replays

if TYPE_CHECKING:
    from stabsearch.forensics.finding import Finding
    from stabsearch.forensics.matrix import Matrix


@dataclass(frozen=True)
class Facts:
    """What the rungs of the ladder saw."""

    findings: Sequence[Finding] = ()
    record: TrialRecord | None = None
    """Of the trial; None when the preflight was enough."""
    matrix: Matrix | None = None
    cured: Mapping[str, bool] = field(default_factory=dict)
    """Change that was tried -> whether the trial then got well past its failure."""

    @property
    def errors(self) -> list[Finding]:
        """Return what the preflight calls certain to break, the machine aside."""
        return [finding for finding in self.findings if finding.is_fault]

    @property
    def rows(self) -> tuple[int, ...]:
        """Return the rows of the training data that are to blame; none where other rows break as well."""
        if self.record is not None:
            return () if self.cured.get("rows") is False else self.record.suspect_rows
        return next((finding.rows for finding in self.errors if finding.rows), ())

    def warns_of(self, cause: Cause) -> bool:
        """Return whether the preflight suspected this cause."""
        return any(finding.cause is cause for finding in self.findings)


def name_cause(facts: Facts) -> Cause | None:
    """Return the one cause that the facts point to; None when nothing is wrong.

    What is certain comes first: a rule that was broken, a batch that is bad whatever is done, a
    precision that overflows where fp32 does not. Among the settings the more particular comes first: an
    optimizer whose defaults cure the failure at the very same learning rate is to blame, not the rate.
    """
    if facts.errors:
        return facts.errors[0].cause
    record = facts.record
    if record is None or record.outcome is Outcome.STABLE:
        return None
    if not record.outcome.is_failure:  # data, loss, machine, crash: the worker's replays have said it
        return record.cause or Cause.UNKNOWN
    if facts.cured.get("unchanged"):
        return Cause.HARDWARE_OR_NONDETERMINISM
    replayed = _replayed(facts) or record.cause or Cause.UNKNOWN
    is_precision = replayed in {Cause.PRECISION_AT_INIT, Cause.PRECISION_AFTER_DRIFT}
    return replayed if is_precision else _of_settings(facts, replayed)


def _replayed(facts: Facts) -> Cause | None:
    matrix, record = facts.matrix, facts.record
    if matrix is None or record is None or record.outcome is Outcome.SCALE_FLOOR:
        return None  # a scale that never settles overflows with its scale only, and replays have none
    if matrix.is_elsewhere:
        return None  # what the worker saw on its own device stands
    planned = record.plan.precision
    return cause_of_replays(
        initial_fp32=matrix.is_finite("initial", "fp32"),
        initial_planned=matrix.is_finite("initial", planned),
        captured_fp32=matrix.is_finite("captured", "fp32"),
        captured_planned=matrix.is_finite("captured", planned),
    )


def _of_settings(facts: Facts, replayed: Cause) -> Cause:
    cured = facts.cured
    told = (
        (cured.get("optimizer options") or cured.get("optimizer"), Cause.OPTIMIZER_SETTINGS),
        (cured.get("weights") and facts.warns_of(Cause.INITIALISATION), Cause.INITIALISATION),
        (cured.get("learning rate"), Cause.LEARNING_RATE),
        (cured.get("weights"), Cause.INITIALISATION),
        (cured.get("clip"), Cause.LEARNING_RATE),
        ("learning rate" not in cured, replayed),  # nothing was tried: the replays stand alone
    )
    named = next((cause for is_so, cause in told if is_so), None)
    if named is not None:
        return named
    suspected = (Cause.OPTIMIZER_SETTINGS, Cause.INITIALISATION, Cause.LOSS_MISMATCH, Cause.DATA)
    return next((cause for cause in suspected if facts.warns_of(cause)), Cause.UNKNOWN)
