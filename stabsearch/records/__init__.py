"""Plans and records of trials: versioned plain data."""

from stabsearch.records.outcome import Cause, Grade, Outcome, Stage
from stabsearch.records.plan import Context, TrialPlan
from stabsearch.records.precision import NUMBER_FORMATS, PRECISIONS, Precision
from stabsearch.records.record import RECORD_VERSION, Effective, StepTrace, TrialRecord
from stabsearch.records.rules import OutcomeRules

__all__ = [
    "NUMBER_FORMATS",
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
