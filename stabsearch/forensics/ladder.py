"""The debugging ladder: from cheap to dear, each rung rules something out, until one cause is left."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.capture.bundle import Bundle, read_bundle
from stabsearch.capture.micro_batch import MicroBatch, RngState
from stabsearch.errors import UserError
from stabsearch.forensics.advice import advice_for, sentence_for, symptom_of
from stabsearch.forensics.cures import GENTLE_LEARNING_RATE, Cure, cures, is_odd
from stabsearch.forensics.diagnosis import Diagnosis, Evidence
from stabsearch.forensics.finding import Finding, Severity
from stabsearch.forensics.matrix import Matrix, replay_matrix
from stabsearch.forensics.naming import Facts, name_cause
from stabsearch.forensics.preflight import check_trainer
from stabsearch.frontier.labels import relabel
from stabsearch.records import Cause, Outcome, TrialRecord
from stabsearch.task.base import surroundings_of
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.machine import machine
from stabsearch.trial.rerun import Rerun
from stabsearch.trial.run import run_trial
from stabsearch.trial.temporary import temporary_folder

if TYPE_CHECKING:
    from stabsearch.records import TrialPlan
    from stabsearch.task.base import Workload
    from stabsearch.trial.setup import TrialSetup

ENOUGH = 2  # times the step at which it failed: a cure has to get well past it
SHARE_PER_CURE = 0.35  # of the time limit; chosen: two changes can be tried, and the rest is for replays
BUNDLE_BYTES = 64 * 2**30  # a bundle in a temporary folder is bounded by the disk alone


@dataclass(frozen=True)
class Case:
    """A trial that failed, or that is suspected to."""

    workload: Workload
    plan: TrialPlan
    setup: TrialSetup
    record: TrialRecord | None = None
    """What came of the trial; None: the ladder runs it."""
    bundle: Path | None = None
    """Its bad batch, where one was kept."""
    time_limit_s: float = 45.0
    """Seconds after which no further cure is tried."""


def diagnose(case: Case, findings: Sequence[Finding] | None = None) -> Diagnosis:
    """Return the cause of a trial's failure, with evidence and advice.

    The rungs: preflight; the first batch on the CPU in fp32; the trial itself; its bad step on {initial,
    captured} weights x {fp32, the trial's precision, bf16}; then one change at a time: a gentle learning
    rate, clipping, without the suspect rows, the default optimizer, new weights.

    Args:
        case: the trial.
        findings: of the preflight; None: the ladder looks itself.
    """
    with surroundings_of(case.workload), temporary_folder() as folder:
        return _Climb(case, findings, folder).diagnosis()


def from_findings(findings: Sequence[Finding]) -> Diagnosis:
    """Return what the preflight alone says, when it says that training must break."""
    facts = Facts(findings=findings)
    cause = name_cause(facts)
    return Diagnosis(
        cause=cause,
        sentence=sentence_for(cause, facts, None),
        symptom=symptom_of(cause, facts),
        advice=advice_for(cause, facts, None),
        evidence=tuple(
            Evidence("preflight", each.rule, each.message, not each.is_error) for each in findings
        ),
        rows=facts.rows,
        findings=tuple(findings),
    )


@dataclass
class _Climb:
    """One way up; rungs that are not needed are never climbed."""

    case: Case
    given: Sequence[Finding] | None
    folder: Path
    evidence: list[Evidence] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    step_s: float = 0.0
    """Seconds of one optimizer step on this machine, as the first batch showed."""

    def diagnosis(self) -> Diagnosis:
        """Return the verdict of the first rung that gives one."""
        errors = [finding for finding in self.findings if finding.is_fault]
        self._note_preflight(errors)
        if errors:
            return self._concluded(Facts(findings=self.findings))
        self._first_batch()
        record = self.record
        self._note_trial(record)
        if record.outcome is Outcome.STABLE:
            return self._concluded(Facts(findings=self.findings, record=record))
        matrix = self._matrix()
        facts = Facts(findings=self.findings, record=record, matrix=matrix)
        if name_cause(facts) is not Cause.PRECISION_AT_INIT:  # no update has happened that could be gentler
            facts = replace(facts, cured=self._cures(record))
        return self._concluded(facts)

    def _concluded(self, facts: Facts) -> Diagnosis:
        cause = name_cause(facts)
        is_kept = facts.record is not None and bool(self.case.setup.bundle_dir or self.case.bundle)
        return Diagnosis(
            cause=cause,
            sentence=sentence_for(cause, facts, self.case.plan),
            symptom=symptom_of(cause, facts),
            advice=advice_for(cause, facts, self.case.plan),
            evidence=tuple(self.evidence),
            rows=facts.rows,
            findings=tuple(self.findings),
            bundle=str(self.place) if is_kept and self.bundle else "",
            replay=facts.matrix.origin.to_json() if facts.matrix and facts.matrix.origin else None,
        )

    @cached_property
    def setup(self) -> TrialSetup:
        """Return the trial's setup with a place for its bad batch."""
        if self.case.setup.bundle_dir:
            return self.case.setup
        return replace(self.case.setup, bundle_dir=str(self.folder), max_bundle_bytes=BUNDLE_BYTES)

    @property
    def unkept(self) -> TrialSetup:
        """Return the trial's setup for trials that are changed: their bad batches are nobody's."""
        return replace(self.case.setup, bundle_dir="")

    @cached_property
    def trainer(self) -> Any:
        """Return a Trainer of the case that nothing is trained with."""
        arguments = trial_arguments(self.case.plan, self.case.setup, str(self.folder))
        return self.case.workload.trainer(arguments, self.case.plan.model_seed)

    @cached_property
    def findings(self) -> list[Finding]:
        """Return what the preflight says."""
        if self.given is not None:
            return list(self.given)
        return check_trainer(self.trainer, (self.case.plan.precision,))

    @cached_property
    def record(self) -> TrialRecord:
        """Return what came of the trial; where it ended well, a gentle one beside it says how well."""
        if self.case.record is not None:
            return self.case.record
        record = run_trial(self.case.plan, self.case.workload, self.setup)
        is_gentle = self.case.plan.learning_rate <= GENTLE_LEARNING_RATE
        return record if is_gentle else self._beside_gentle(record)

    def _beside_gentle(self, record: TrialRecord) -> TrialRecord:
        """Return a finished trial's record relabelled beside a gentle one: ending useless is a failure."""
        if record.outcome is not Outcome.STABLE or not self.gentle.trace.tail_loss < record.trace.tail_loss:
            return record  # a gentle rate that comes no further shows nothing against this one
        return relabel([record, self.gentle], self.case.setup.rules)[0]

    @cached_property
    def gentle(self) -> TrialRecord:
        """Return the same trial at a gentle learning rate."""
        cure = next(cures(self.case.workload, self.case.plan, self.unkept, (), False))
        plan = replace(cure.plan, number=self.case.plan.number + 1)
        return run_trial(plan, self.case.workload, self.case.setup)

    @property
    def place(self) -> Path | None:
        """Return the folder of the trial's bad batch."""
        if self.case.bundle is not None:
            return self.case.bundle
        return Path(self.setup.bundle_dir) / self.record.bundle if self.record.bundle else None

    @cached_property
    def bundle(self) -> Bundle | None:
        """Return the trial's bad batch."""
        try:
            return read_bundle(self.place) if self.place else None
        except UserError as error:
            self.evidence.append(Evidence("replay", "the stored bad batch", error.message, None))
            return None

    def _note_preflight(self, errors: Sequence[Finding]) -> None:
        warnings = [finding for finding in self.findings if finding.severity is Severity.WARNING]
        shown = [*errors, *warnings]
        if not shown:
            self.evidence.append(Evidence("preflight", "every rule", "nothing found", True))
        for finding in shown:
            self.evidence.append(Evidence("preflight", finding.rule, finding.message, not finding.is_error))

    def _first_batch(self) -> None:
        trainer = self.trainer
        try:
            inputs = next(iter(trainer.get_train_dataloader()))
        except Exception as error:  # noqa: BLE001 - what reading a batch raises is evidence
            self._note(
                "first batch",
                "the first batch as the collator makes it",
                f"{type(error).__name__}: {error}",
                False,
            )
            return
        micro_batch = MicroBatch(dict(inputs), RngState.now())
        model = self.case.workload.model(self.case.plan.model_seed).to(trainer.args.device)
        began = time.monotonic()
        seen = Rerun(trainer, (micro_batch,)).seen(model, "fp32")
        training = self.case.setup.training_of(self.case.plan)
        self.step_s = (time.monotonic() - began) * training.get("gradient_accumulation_steps", 1)
        numbers = (
            f"loss {seen.losses[0]:.4g}, gradient norm {seen.grad_norm:.4g}" if seen.losses else "no loss"
        )
        self._note(
            "first batch", "one batch on the initial weights, fp32", seen.error or numbers, seen.is_finite
        )

    def _note_trial(self, record: TrialRecord) -> None:
        plan = record.plan
        tried = f"learning rate {plan.learning_rate:.2g}, {plan.context.label}, {plan.horizon} steps"
        is_good = record.outcome is Outcome.STABLE
        self._note("trial", tried, f"{record.outcome.value}: {record.message}", is_good)

    def _matrix(self) -> Matrix | None:
        """Return the replays of the bad step; None when no bad batch was kept, as for finite divergence."""
        bundle = self.bundle
        if bundle is None or bundle.manifest.unstorable:
            return None
        try:
            matrix = replay_matrix(bundle, self.case.workload, self.case.plan, self.case.setup)
        except (KeyError, ValueError, UserError) as error:
            self._note("replay", "the stored bad batch", f"does not fit this sweep: {error}", None)
            return None
        for (weights, precision), seen in matrix.cells.items():
            is_good = matrix.is_finite(weights, precision)
            loss = ", ".join(f"{loss:.4g}" for loss in seen.losses[-1:])
            text = seen.error or ("finite" if is_good else "not finite") + (f", loss {loss}" if loss else "")
            self._note("replay", f"the bad step on the {weights} weights, {precision}", text, is_good)
        if matrix.origin is not None:
            self._note("origin", "the first operation that is not finite", matrix.origin.sentence, None)
        return matrix

    def _cures(self, record: TrialRecord) -> dict[str, bool]:
        """Return which changes let the trial get well past the step at which it failed."""
        plan = self._cut(record)
        is_odd_optimizer = is_odd(self.trainer, self.case.setup.training_of(plan))
        tried: dict[str, bool] = {}
        for cure in cures(self.case.workload, plan, self.unkept, record.suspect_rows, is_odd_optimizer):
            if self._is_needless(cure, record, tried):
                continue
            if not self._has_time(plan.horizon, record):
                self._note(cure.name, cure.tried, f"not tried: {plan.horizon} steps take too long", None)
                continue
            if not self._fails_again:
                # whatever is changed, it would seem to help; on the same machine a trial repeats bit by bit
                return {"unchanged": True} if self._ran_here else {}
            seen = self._run(cure.plan, cure.workload, cure.setup, record)
            if seen.is_evidence or seen.outcome is Outcome.DATA_FAULT:
                tried[cure.name] = self._ends_well(seen)
            self._note(cure.name, cure.tried, f"{seen.outcome.value}: {seen.message}", tried.get(cure.name))
        return tried

    @cached_property
    def _fails_again(self) -> bool:
        """Return whether the trial fails once more, unchanged, on this machine."""
        record = self.record
        seen = self._run(self._cut(record), self.case.workload, self.unkept, record)
        if not self._ends_well(seen):
            return True
        self._note("unchanged", "the same trial once more, here", f"not reproduced: {seen.message}", None)
        return False

    @property
    def _ran_here(self) -> bool:
        """Return whether the failed trial ran on this machine's CPU, with these versions."""
        effective = self.record.effective
        return self.record.machine == machine() and effective is not None and effective.device == "cpu"

    def _ends_well(self, record: TrialRecord) -> bool:
        """Return whether a trial survived, and its loss is not far above where it started."""
        losses = record.trace.losses
        if record.outcome is not Outcome.STABLE or not losses:
            return False
        level = max(filter(math.isfinite, (losses[0], record.chance_loss)), default=losses[0])
        return losses[-1] <= level + (self.case.setup.rules.divergence_ratio - 1) * abs(level)

    def _run(
        self, plan: TrialPlan, workload: Workload, setup: TrialSetup, record: TrialRecord
    ) -> TrialRecord:
        """Return what comes of a trial, judged as the failed one was."""
        seen = run_trial(plan, workload, setup)
        return self._beside_gentle(seen) if record.outcome is Outcome.COLLAPSED else seen

    def _has_time(self, num_steps: int, record: TrialRecord) -> bool:
        """Return whether a change can be tried before the time is up, at the pace of this machine."""
        pace_s = self.step_s or record.train_s / max(record.steps, 1)
        left_s = self.case.time_limit_s - (time.monotonic() - self.began)
        return pace_s * num_steps < min(left_s, SHARE_PER_CURE * self.case.time_limit_s)

    def _is_needless(self, cure: Cure, record: TrialRecord, tried: dict[str, bool]) -> bool:
        """Return whether a change can tell nothing more: the batch itself is bad, or it is cured already."""
        if record.suspect_rows:
            return cure.name != "rows"
        if not record.outcome.is_failure:
            return not (record.cause is Cause.INITIALISATION and cure.name == "weights")
        has_warning = any(finding.cause.value == "initialisation" for finding in self.findings)
        return cure.name == "weights" and tried.get("learning rate", False) and not has_warning

    def _cut(self, record: TrialRecord) -> TrialPlan:
        """Return the plan with a horizon well past the failure, and short."""
        needed = ENOUGH * (record.first_bad_step or record.plan.horizon)
        if record.outcome is not Outcome.NONFINITE:
            needed = max(needed, record.steps + 1)  # a stretch of high losses takes its time
        return replace(record.plan, horizon=max(2, min(needed, record.plan.horizon)))

    def _note(self, rung: str, tried: str, seen: str, is_good: bool | None) -> None:
        self.evidence.append(Evidence(rung, tried, seen, is_good))
