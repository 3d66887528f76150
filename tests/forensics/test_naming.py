"""From what the ladder saw to one cause: what is certain first, a particular setting before the rate."""

from dataclasses import replace
from typing import Any

import pytest

from stabsearch.forensics.finding import Finding, Severity
from stabsearch.forensics.matrix import Matrix
from stabsearch.forensics.naming import Facts, name_cause
from stabsearch.records import Cause, Outcome, Stage, TrialPlan
from stabsearch.testing.records import record_of
from stabsearch.trial.rerun import Seen

PLAN = TrialPlan(0, Stage.SEARCH, 1e-2, 0, 1.0, "fp16", 1, 2, horizon=12)
GOOD, BAD = Seen(losses=(1.0,)), Seen(losses=(float("nan"),))


def failed(outcome: Outcome = Outcome.NONFINITE, **changes: Any) -> Any:
    return replace(record_of(PLAN, outcome), **changes)


def finding(cause: Cause, severity: Severity, rule: str = "STAB-D001", **more: Any) -> Finding:
    return Finding(rule, severity, "seen", "fix", cause, **more)


def matrix(
    initial_fp32: bool = True, initial: bool = True, captured_fp32: bool = True, captured: bool = True
) -> Matrix:
    cells = {("initial", "fp32"): initial_fp32, ("initial", "fp16"): initial,
             ("captured", "fp32"): captured_fp32, ("captured", "fp16"): captured}  # fmt: skip
    return Matrix({place: GOOD if is_good else BAD for place, is_good in cells.items()}, with_gradients=False)


def test_a_broken_rule_is_the_cause() -> None:
    """Whatever else was seen: what a rule calls certain comes first, and its rows are to blame."""
    facts = Facts([finding(Cause.LOSS_MISMATCH, Severity.ERROR, rows=(3, 5))], cured={"learning rate": True})
    assert name_cause(facts) is Cause.LOSS_MISMATCH
    assert facts.rows == (3, 5)


def test_a_fault_of_the_machine_is_no_fault_of_the_training() -> None:
    """A full disk does not explain a NaN."""
    full = finding(Cause.UNKNOWN, Severity.ERROR, rule="STAB-E001")
    assert (
        name_cause(Facts([full], failed(), matrix(captured_fp32=False, captured=False))) is not Cause.UNKNOWN
    )


def test_a_warning_alone_is_no_cause() -> None:
    """A trial that ended well needs no explanation."""
    warned = finding(Cause.INITIALISATION, Severity.WARNING)
    assert name_cause(Facts([warned], record_of(PLAN))) is None


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Outcome.DATA_FAULT, Cause.DATA),
        (Outcome.DATA_FAULT, Cause.LOSS_MISMATCH),
        (Outcome.CRASHED, Cause.HARDWARE_OR_NONDETERMINISM),
        (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED),
        (Outcome.OOM, Cause.UNKNOWN),
    ],
)
def test_what_is_no_evidence_keeps_the_cause_of_its_worker(outcome: Outcome, cause: Cause) -> None:
    """No change of a hyperparameter can say more about it."""
    assert name_cause(Facts(record=failed(outcome, cause=cause), cured={"learning rate": True})) is cause


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (matrix(initial=False, captured=False), Cause.PRECISION_AT_INIT),
        (matrix(captured=False), Cause.PRECISION_AFTER_DRIFT),
        (matrix(captured_fp32=False, captured=False), Cause.LEARNING_RATE),
    ],
)
def test_replays_tell_precision_from_learning_rate(seen: Matrix, cause: Cause) -> None:
    """A gentle rate cures the drift as well; it is the precision that cannot hold it."""
    assert name_cause(Facts(record=failed(), matrix=seen, cured={"learning rate": True})) is cause


BROKEN = matrix(captured_fp32=False, captured=False)


@pytest.mark.parametrize(
    ("cured", "warned", "cause"),
    [
        ({"learning rate": True}, None, Cause.LEARNING_RATE),
        ({"learning rate": True, "optimizer": True}, None, Cause.OPTIMIZER_SETTINGS),
        ({"learning rate": True, "weights": True}, None, Cause.LEARNING_RATE),
        ({"learning rate": True, "weights": True}, Cause.INITIALISATION, Cause.INITIALISATION),
        ({"learning rate": False, "weights": True}, None, Cause.INITIALISATION),
        ({"learning rate": False, "clip": True, "weights": False}, None, Cause.LEARNING_RATE),
        ({"learning rate": False, "weights": False}, None, Cause.UNKNOWN),
        ({"learning rate": False, "weights": False}, Cause.OPTIMIZER_SETTINGS, Cause.OPTIMIZER_SETTINGS),
        ({}, None, Cause.LEARNING_RATE),
    ],
)
def test_the_cure_names_the_setting(cured: dict[str, bool], warned: Cause | None, cause: Cause) -> None:
    """The optimizer's defaults before the rate; new weights only where the rate is not it."""
    findings = [finding(warned, Severity.WARNING)] if warned else []
    assert name_cause(Facts(findings, failed(), BROKEN, cured)) is cause


def test_a_scale_at_its_floor_is_not_replayed_without_its_scale() -> None:
    """Every cell is finite without the scale; the worker's word stands."""
    record = failed(Outcome.SCALE_FLOOR, cause=Cause.PRECISION_AFTER_DRIFT)
    assert name_cause(Facts(record=record, matrix=matrix())) is Cause.PRECISION_AFTER_DRIFT


def test_another_kind_of_device_overflows_elsewhere() -> None:
    """A step that broke on a GPU is replayed on a CPU as evidence only; what the worker saw stands."""
    record = failed(cause=Cause.LEARNING_RATE)
    here = matrix(initial=False, captured_fp32=False, captured=False)
    assert name_cause(Facts(record=record, matrix=here)) is Cause.PRECISION_AT_INIT
    assert name_cause(Facts(record=record, matrix=replace(here, is_elsewhere=True))) is Cause.LEARNING_RATE


def test_rows_are_not_blamed_where_others_break_as_well() -> None:
    """The trial without them failed too: it is the collator, or the loss."""
    record = failed(Outcome.DATA_FAULT, cause=Cause.DATA, suspect_rows=(4, 9))
    assert Facts(record=record).rows == (4, 9)
    assert Facts(record=record, cured={"rows": True}).rows == (4, 9)
    assert Facts(record=record, cured={"rows": False}).rows == ()
