"""Simulated trials with every way to end, built on those of the scale experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from experiments.sample_sweep.kinds import KINDS, Kind
from experiments.scale.world import CHANCE, START, World
from stabsearch.records import Cause, Outcome, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.record import Effective

FIRST_SCALE = 65536.0  # torch.amp.GradScaler's default
ENDINGS = ((Outcome.NONFINITE, 0.5), (Outcome.DIVERGED, 0.3), (Outcome.COLLAPSED, 0.2))
SILENT = (Outcome.OOM, Outcome.CRASHED, Outcome.LOST)
MESSAGES = {
    Outcome.DIVERGED: "loss 5.8 stayed above 2.0 times its start for 50 steps",
    Outcome.COLLAPSED: "loss 1.39 is no better than chance",
    Outcome.SCALE_FLOOR: "loss scale 0.5 after 17 skipped updates in a row",
    Outcome.OOM: "CUDA out of memory: tried to allocate 1.2 GiB",
    Outcome.CRASHED: "ValueError: Expected input batch_size (16) to match target batch_size (15)",
    Outcome.LOST: "the worker went away without a record",
}


@dataclass(frozen=True)
class SampleWorld(World):
    """Trials that break in every way there is; see ``Kind``."""

    kind: Kind = KINDS["confirmed"]

    def failure_probability(self, plan: TrialPlan) -> float:
        """Return how probable it is that this plan breaks."""
        if plan.stage is Stage.CANARY:
            return float(self.kind.breaks_all)
        if plan.stage is Stage.CONFIRM and self.kind.confirms:
            return 0.0
        decades = 10.0**self.kind.moved_by
        return super().failure_probability(replace(plan, learning_rate=plan.learning_rate / decades))

    def record(self, plan: TrialPlan, started_s: float, ended_s: float, slot: int) -> TrialRecord:
        """Return what a worker sends of a plan: the same whenever and wherever it is run."""
        outcome = self._outcome(plan)
        record = super().record(plan, started_s, ended_s, slot)
        if outcome is not Outcome.STABLE:
            record = self._broken(record, outcome) if outcome.is_failure else self._silent(record, outcome)
        elif plan.stage is not Stage.RAMP:
            gap = float(self._rng(plan, 8000).normal(1.08, 0.03))  # held-out rows are a little harder
            record = replace(record, eval_loss=gap * record.trace.tail_loss)
        record = self._scaled(record) if plan.precision == "fp16" and record.trace.steps else record
        return self._worded(_as_planned(record))

    def _outcome(self, plan: TrialPlan) -> Outcome:
        rng = self._rng(plan, 5000)
        if plan.stage is Stage.SEARCH and rng.random() < self.kind.silent_share:
            return SILENT[int(rng.integers(len(SILENT)))]
        if not self._is_broken(plan):
            return Outcome.STABLE
        if plan.precision == "fp16" and rng.random() < 0.3:
            return Outcome.SCALE_FLOOR
        outcomes, shares = zip(*ENDINGS, strict=True)
        return outcomes[int(rng.choice(len(outcomes), p=shares))]

    def _broken(self, record: TrialRecord, outcome: Outcome) -> TrialRecord:
        """Return a record that broke in this way, with a curve that shows it."""
        plan, rng = record.plan, self._rng(record.plan, 6000)
        is_early = outcome in {Outcome.NONFINITE, Outcome.SCALE_FLOOR}
        steps = record.steps if is_early else plan.horizon
        if outcome is Outcome.DIVERGED:
            steps = min(max(record.steps, plan.horizon // 3), plan.horizon)
        losses = self._losses(outcome, steps, rng)
        norms = (record.clipped_share + np.exp(0.6 * rng.standard_normal(steps))).tolist()
        causes = [Cause.LEARNING_RATE, Cause.OPTIMIZER_SETTINGS]
        if plan.precision in {"fp16", "bf16"}:
            causes.append(Cause.PRECISION_AFTER_DRIFT)
        first_bad = steps if is_early else None if outcome is Outcome.COLLAPSED else steps // 2
        is_kept = outcome is Outcome.NONFINITE and plan.number % 3 == 0
        return replace(
            record,
            outcome=outcome,
            cause=causes[int(rng.integers(len(causes)))],
            first_bad_step=first_bad,
            steps=steps,
            trace=StepTrace.thinned(losses, norms),
            clipped_share=float(np.mean(np.array(norms) > plan.max_grad_norm)),
            message=MESSAGES.get(outcome, f"loss is nan at optimizer step {steps} (micro-batch {steps})"),
            bundle=f"trial-{plan.number:05d}" if is_kept else "",
        )

    def _losses(self, outcome: Outcome, steps: int, rng: np.random.Generator) -> list[float]:
        share_N = np.linspace(0, 1, steps)
        if outcome is Outcome.COLLAPSED:
            loss_N = START + 0.5 * np.sin(math.pi * np.minimum(3 * share_N, 1)) * (CHANCE - START + 0.8)
            loss_N += (CHANCE + 0.1 - loss_N) * share_N
        else:
            peak = 6.5 if outcome is Outcome.DIVERGED else 3.0
            loss_N = START - 0.5 * np.sin(math.pi * share_N) + (peak - START) * share_N**2
        loss_N = loss_N * np.exp(0.05 * rng.standard_normal(steps))
        if outcome is Outcome.DIVERGED:
            loss_N[steps // 2 :] = np.maximum(loss_N[steps // 2 :], 3.2)
        losses: list[float] = loss_N.tolist()
        return [*losses[:-1], math.nan] if outcome is Outcome.NONFINITE else losses

    def _silent(self, record: TrialRecord, outcome: Outcome) -> TrialRecord:
        has_begun = outcome is Outcome.LOST
        return replace(
            record,
            outcome=outcome,
            cause=Cause.UNKNOWN,
            grade=None,
            first_bad_step=None,
            steps=record.steps if has_begun else 0,
            trace=record.trace if has_begun else StepTrace(),
            clipped_share=math.nan,
            effective=None,
            message=MESSAGES[outcome],
        )

    def _scaled(self, record: TrialRecord) -> TrialRecord:
        """Return a record with the loss scales of torch's scaler: halved at each skipped update."""
        rng, steps = self._rng(record.plan, 7000), record.steps
        is_floor = record.outcome is Outcome.SCALE_FLOOR
        begin = max(steps - 17, 0) if is_floor else steps
        skips = set(
            rng.choice(max(begin, 1), size=min(int(rng.integers(1, 6)), max(begin, 1)), replace=False)
        )
        skips |= set(range(begin, steps))
        scales, scale = [], FIRST_SCALE
        for step in range(steps):
            scales.append(scale)
            scale = scale / 2 if step in skips else scale
        trace = StepTrace.thinned(
            list(record.trace.losses), list(record.trace.grad_norms), loss_scales=scales
        )
        return replace(record, trace=trace, skipped_steps=len(skips))

    def _worded(self, record: TrialRecord) -> TrialRecord:
        text = self.kind.text
        if not text:
            return record
        machine = {**record.machine, "host": text, f"label {text}": text}
        return replace(record, message=f"{record.message} {text}", machine=machine)


def _as_planned(record: TrialRecord) -> TrialRecord:
    """Return the record with settings that are read back as they were planned."""
    effective: Effective | None = record.effective
    if effective is None:
        return record
    plan = record.plan
    seen = replace(
        effective, peak_learning_rate=plan.learning_rate, final_learning_rate=plan.learning_rate,
        max_grad_norm=plan.max_grad_norm, loss_scaler=plan.precision == "fp16",
        autocast_dtype={"bf16": "bfloat16", "fp16": "float16"}.get(plan.precision, "float32"),
    )  # fmt: skip
    return replace(record, effective=seen)
