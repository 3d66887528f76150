"""The debugging ladder on real trials: one cause each, with the evidence for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from forensic_cases import case, poisoned_row, too_large_for_fp32
from trial_samples import (
    BuggyTrainer,
    Odd,
    RootTrainer,
    build_tiny,
    flips_once,
    no_dropout,
    too_large_for_fp16,
)

from stabsearch.config import QuickstartTask
from stabsearch.errors import ExitCode
from stabsearch.forensics.cures import is_odd
from stabsearch.forensics.diagnosis import Diagnosis
from stabsearch.forensics.finding import Finding, Severity
from stabsearch.forensics.ladder import Case, _Climb, diagnose
from stabsearch.records import Cause, Outcome
from stabsearch.task.quickstart import build as build_quickstart
from stabsearch.testing.records import record_of
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.run import run_trial


def quiet_odd(**changes: Any) -> Odd:
    return Odd(build_tiny(), **changes)


CASES = {
    "nan at an absurd rate": (lambda: case(learning_rate=1e20, max_grad_norm=0.0), Cause.LEARNING_RATE),
    "finite divergence": (
        lambda: case(learning_rate=3.0, max_grad_norm=0.0, horizon=30),
        Cause.LEARNING_RATE,
    ),
    "a poisoned row": (poisoned_row, Cause.DATA),
    "drift out of fp16": (
        lambda: case(precision="fp16", learning_rate=30.0, max_grad_norm=0.0, horizon=8),
        Cause.PRECISION_AFTER_DRIFT,
    ),
    "too large for fp16": (
        lambda: case(quiet_odd(change_model=too_large_for_fp16), precision="fp16"),
        Cause.PRECISION_AT_INIT,
    ),
    "too large for fp32": (lambda: case(quiet_odd(change_model=too_large_for_fp32)), Cause.INITIALISATION),
    "a loss without a slope": (lambda: case(quiet_odd(trainer_class=RootTrainer)), Cause.LOSS_MISMATCH),
    "no epsilon": (lambda: case(training={"adam_epsilon": 0.0}, horizon=10), Cause.OPTIMIZER_SETTINGS),
    "weight decay above two": (
        lambda: case(training={"weight_decay": 4e3}, horizon=30),
        Cause.OPTIMIZER_SETTINGS,
    ),
    "a bit that fell over": (
        lambda: case(quiet_odd(change_model=flips_once), horizon=8),
        Cause.HARDWARE_OR_NONDETERMINISM,
    ),
    "a sound trial": (case, None),
}  # fmt: skip


def rungs(found: Diagnosis) -> dict[str, list[bool | None]]:
    seen: dict[str, list[bool | None]] = {}
    for each in found.evidence:
        seen.setdefault(each.rung, []).append(each.is_good)
    return seen


@pytest.mark.parametrize("name", CASES)
def test_every_verdict(name: str) -> None:
    """Named by the rungs alone: the preflight is told to find nothing."""
    make, cause = CASES[name]
    found = diagnose(make(), findings=())
    assert found.cause is cause, found.to_json()
    assert found.sentence
    assert bool(found.advice) == (cause is not None)
    assert found.exit_code == (ExitCode.ANSWER if cause is None else ExitCode.AGAINST)


def test_a_poisoned_row_is_named_and_taken_out() -> None:
    """The last rung is the proof: the same trial without that row ends well."""
    found = diagnose(poisoned_row(bad=23), findings=())
    assert found.rows == (23,)
    assert rungs(found)["rows"] == [True]
    assert "23" in found.sentence
    assert any("23" in advice for advice in found.advice)


def test_the_bad_step_on_both_weights_in_three_precisions() -> None:
    """Initial and captured weights, in fp32, as planned and in bf16; bf16 is then the advice."""
    found = diagnose(case(precision="fp16", learning_rate=30.0, max_grad_norm=0.0, horizon=8), findings=())
    assert rungs(found)["replay"] == [True, True, True, True, False, True]
    assert "bf16" in found.advice[0]
    assert found.replay is not None
    assert found.replay["phase"] == "forward"


def test_an_error_of_the_preflight_ends_the_climb() -> None:
    """Nothing is trained where a rule is broken for certain."""
    error = Finding(
        "STAB-D002", Severity.ERROR, "12 labels are negative", "drop them", Cause.DATA, rows=(4, 9)
    )
    found = diagnose(case(learning_rate=1e20), findings=[error])
    assert (found.cause, found.rows, found.advice) == (Cause.DATA, (4, 9), ("drop them",))
    assert list(rungs(found)) == ["preflight"]
    assert "STAB-D002" in found.sentence


def test_the_ladder_looks_for_itself() -> None:
    """Without findings it runs the preflight on a Trainer of the case."""
    found = diagnose(case(training={"adam_epsilon": 0.0}))
    assert found.cause is Cause.OPTIMIZER_SETTINGS
    assert [finding.rule[:6] for finding in found.errors] == ["STAB-O"]


def test_useless_at_the_horizon_is_a_failure_too() -> None:
    """A loss that goes flat at a high rate is told by a gentle trial beside it."""
    larger = build_quickstart(QuickstartTask(num_rows=256, hidden_size=32))
    found = diagnose(case(larger, learning_rate=0.05, horizon=39), findings=())
    assert found.cause is Cause.LEARNING_RATE
    assert "flat" in found.symptom


def test_a_trial_that_crashes_for_no_reason_of_its_batch_stays_unknown() -> None:
    """A bug in the training code is not explained away."""
    found = diagnose(case(quiet_odd(trainer_class=BuggyTrainer)), findings=())
    assert (found.cause, found.exit_code) == (Cause.UNKNOWN, ExitCode.CANNOT_JUDGE)
    assert "my own bug" in found.sentence


def test_what_takes_too_long_is_not_tried() -> None:
    """The verdict then rests on the replays, and the evidence says so."""
    slow = case(learning_rate=1e20, max_grad_norm=0.0)
    found = diagnose(Case(slow.workload, slow.plan, slow.setup, time_limit_s=0.0), findings=())
    assert found.cause is Cause.LEARNING_RATE
    assert any("not tried" in each.seen for each in found.evidence)


def test_the_models_of_the_case_are_left_alone() -> None:
    """A diagnosis trains models of its own; the workload gives the same weights afterwards."""
    subject = poisoned_row()
    before = subject.workload.model(1).state_dict()
    diagnose(subject, findings=())
    after = subject.workload.model(1).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_dropout_is_no_obstacle() -> None:
    """Replays draw the same random numbers, with dropout or without."""
    still = diagnose(
        case(quiet_odd(change_model=no_dropout), learning_rate=1e20, max_grad_norm=0.0), findings=()
    )
    assert still.cause is Cause.LEARNING_RATE


def failed_elsewhere(subject: Case, **changes: Any) -> Case:
    """Return the case with a record of another machine, on which the trial is said to have failed."""
    record = replace(record_of(subject.plan, Outcome.NONFINITE), cause=Cause.LEARNING_RATE, **changes)
    return replace(subject, record=record)


def test_what_does_not_fail_here_is_cured_by_nothing() -> None:
    """Whatever is changed, a trial that is sound here ends well; the worker's word stands."""
    odd = case(training={"adam_beta2": 0.9})
    found = diagnose(failed_elsewhere(odd, first_bad_step=3), findings=())
    assert found.cause is Cause.LEARNING_RATE
    assert [each.seen.split(":")[0] for each in found.evidence if each.rung == "unchanged"] == [
        "not reproduced"
    ]
    assert {"learning rate", "optimizer", "weights"}.isdisjoint(rungs(found))


def test_a_trial_that_does_not_fail_twice_is_the_machines_fault() -> None:
    """On the same machine a trial repeats bit by bit: sound the second time, something fell over."""
    flipped: list[bool] = []

    def flip(model: Any) -> None:
        forwards: list[int] = []

        def poison(module: Any, inputs: Any) -> None:
            forwards.append(1)
            if len(forwards) == 3 and not flipped:
                flipped.append(True)
                with torch.no_grad():
                    module.weight[0, 0] = float("inf")

        model.classifier.register_forward_pre_hook(poison)

    found = diagnose(case(quiet_odd(change_model=flip), horizon=8), findings=())
    assert flipped
    assert found.cause is Cause.HARDWARE_OR_NONDETERMINISM
    assert "unchanged" in rungs(found)


def test_surviving_is_not_enough_for_a_cure() -> None:
    """A loss a thousand times its start is finite, and no way out."""
    hot = case(learning_rate=1e20, max_grad_norm=0.0, horizon=8)
    record = record_of(hot.plan)
    climb = _Climb(hot, (), Path("unused"))
    assert climb._ends_well(record)
    trace = replace(record.trace, losses=(*record.trace.losses[:-1], 1e3))
    assert not climb._ends_well(replace(record, trace=trace))


def test_what_a_gentle_rate_does_no_better_is_not_useless() -> None:
    """A loss that rose and stayed is a failure only beside a gentle trial that came further."""
    subject = case(learning_rate=1e-2)
    record = record_of(subject.plan)
    losses = record.trace.losses
    risen = replace(record, trace=replace(record.trace, losses=tuple(reversed(losses))))
    climb = _Climb(subject, (), Path("unused"))
    climb.__dict__["gentle"] = replace(risen, plan=replace(record.plan, number=1))
    assert climb._beside_gentle(risen).outcome is Outcome.STABLE
    climb.__dict__["gentle"] = replace(record, plan=replace(record.plan, number=1))
    assert climb._beside_gentle(risen).outcome is Outcome.COLLAPSED


def test_default_settings_are_not_odd_because_they_are_written_down() -> None:
    """An optimizer named by its default is the default."""
    subject = case()
    trainer = subject.workload.trainer(trial_arguments(subject.plan, subject.setup, "unused"), 1)
    assert not is_odd(trainer, {"optim": "adamw_torch_fused", "adam_beta1": 0.9, "adam_epsilon": 1e-8})
    assert is_odd(trainer, {"adam_beta1": 0.8})


def test_only_the_failed_trial_leaves_a_bundle(tmp_path: Path) -> None:
    """Changes that fail as well keep nothing: their batches are nobody's."""
    subject = case(learning_rate=1e20, max_grad_norm=0.0)
    kept = replace(subject.setup, bundle_dir=str(tmp_path / "bad"), max_bundle_bytes=10**9)
    found = diagnose(replace(subject, setup=kept), findings=())
    assert rungs(found)["clip"] == [False]
    assert [path.parent.name for path in (tmp_path / "bad").glob("*/bundle.json")] == ["0000"]
    assert found.bundle == str(tmp_path / "bad" / "0000")


def test_changed_trials_leave_no_bundles(tmp_path: Path) -> None:
    """Of a trial that kept none: what the ladder tries on it, and sees fail, keeps none under its number."""
    subject = case(learning_rate=1e20, max_grad_norm=0.0)
    record = run_trial(subject.plan, subject.workload, subject.setup)
    setup = replace(subject.setup, bundle_dir=str(tmp_path / "bad"), max_bundle_bytes=10**9)
    found = diagnose(replace(subject, setup=setup, record=record), findings=())
    assert rungs(found)["clip"] == [False]
    assert list(tmp_path.glob("bad/*/bundle.json")) == []


def test_a_bundle_that_is_gone_is_not_offered(tmp_path: Path) -> None:
    """The ladder goes on without it, and says so."""
    hot = failed_elsewhere(case(learning_rate=1e20, max_grad_norm=0.0), bundle="0007", first_bad_step=2)
    found = diagnose(replace(hot, bundle=tmp_path / "0007"), findings=())
    assert (found.cause, found.bundle) == (Cause.LEARNING_RATE, "")
    assert any("no bundle at" in each.seen for each in found.evidence)


def test_a_bundle_of_another_model_is_evidence_of_nothing(tmp_path: Path) -> None:
    """A sweep that was edited since: the stored step does not fit, and nothing crashes."""
    subject = case(learning_rate=1e20, max_grad_norm=0.0)
    kept = replace(subject.setup, bundle_dir=str(tmp_path), max_bundle_bytes=10**9)
    record = run_trial(subject.plan, subject.workload, kept)
    wider = build_quickstart(QuickstartTask(num_rows=64, num_classes=2, hidden_size=24, num_hidden_layers=1))
    other = Case(wider, subject.plan, subject.setup, record, tmp_path / record.bundle)
    found = diagnose(other, findings=())
    assert found.cause is Cause.LEARNING_RATE
    assert any("does not fit" in each.seen for each in found.evidence)
