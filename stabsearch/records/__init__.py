"""Plans and records of trials: versioned plain data."""

from stabsearch.records.outcome import Cause, Grade, Outcome, Stage
from stabsearch.records.plan import PRECISIONS, Context, Precision, TrialPlan
from stabsearch.records.record import RECORD_VERSION, Effective, StepTrace, TrialRecord
from stabsearch.records.rules import OutcomeRules

__all__ = [
    "PRECISIONS",
    "RECORD_VERSION",
    "Cause",
    "Context",
    "Effective",
    "Grade",
    "Outcome",
    "OutcomeRules",
    "Precision",
    "Stage",
    "StepTrace",
    "TrialPlan",
    "TrialRecord",
]
