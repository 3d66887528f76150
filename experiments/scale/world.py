"""Simulated trials: how a plan ends, how long it takes, and the record that its worker would send."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stabsearch.records import Cause, Context, Outcome, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.record import Effective

CHANCE = math.log(4)
START, LEARNED = 1.4, 0.3  # nats per example
SLOPE = 9.0  # logits per decade
THRESHOLD = -2.6  # log10 of the learning rate at which half of the trials of the plainest context fail
MOVED_BY = {"fp32": 0.0, "tf32": 0.0, "bf16": -0.2, "fp16": -0.6}
EPOCH_S = 1.7e9
NODES, WORKERS_PER_NODE = 125, 8
_EFFECTIVE = Effective(
    peak_learning_rate=1e-3, final_learning_rate=1e-3, max_grad_norm=1.0, autocast_dtype="float32",
    parameter_dtype="float32", loss_scaler=False, matmul_precision="ieee", device="cuda:0", batch_rows=16,
    optimizer="AdamW", betas=(0.9, 0.999), optimizer_dtype="float32", weight_decay=0.0, adam_epsilon=1e-8,
    gradient_accumulation_steps=1,
)  # fmt: skip
_MACHINE = {"device": "simulated", "python": "3.11", "torch": "2.13", "transformers": "5.24"}


@dataclass(frozen=True)
class World:
    """Failure probabilities that grow with the learning rate, in every context from a threshold of its own.

    Args:
        seed: same seed, same trials.
        median_s: seconds that a trial of a whole horizon takes, as a median; log-normal.
        spread: standard deviation of the logarithm of it.
        loss_share: share of starts whose worker goes away without a record.
    """

    seed: int = 0
    median_s: float = 60.0
    spread: float = 0.5
    loss_share: float = 0.01

    def failure_probability(self, plan: TrialPlan) -> float:
        """Return how probable it is that this plan breaks."""
        return 1 / (1 + math.exp(-SLOPE * (math.log10(plan.learning_rate) - threshold(plan.context))))

    def is_lost(self, plan: TrialPlan, attempt: int) -> bool:
        """Return whether the worker of this start goes away."""
        return bool(self._rng(plan, attempt).random() < self.loss_share)

    def duration_s(self, plan: TrialPlan, attempt: int) -> float:
        """Return how long the worker of a start is at it; broken trials end early, lost ones anywhere."""
        rng = self._rng(plan, 1000 + attempt)
        whole = self.median_s * math.exp(self.spread * rng.standard_normal())
        if self.is_lost(plan, attempt):
            return whole * float(rng.random())
        return whole * self._last_step(plan) / plan.horizon

    def record(self, plan: TrialPlan, started_s: float, ended_s: float, slot: int) -> TrialRecord:
        """Return what a worker sends of a plan: the same whenever and wherever it is run.

        Args:
            plan: what was run.
            started_s: when, on the virtual clock.
            ended_s: until when.
            slot: by which worker.
        """
        losses, norms = self._curves(plan)
        is_broken, steps = self._is_broken(plan), len(losses)
        return TrialRecord(
            plan,
            Outcome.NONFINITE if is_broken else Outcome.STABLE,
            cause=Cause.LEARNING_RATE if is_broken else None,
            first_bad_step=steps if is_broken else None,
            steps=steps,
            trace=StepTrace.thinned(losses, norms),
            chance_loss=CHANCE,
            clipped_share=float(np.mean(np.array(norms) > 1)),
            effective=_EFFECTIVE,
            initial_weights=f"{plan.model_seed:016x}",
            message=f"loss is not finite at step {steps}" if is_broken else f"finite for {steps} steps",
            startup_s=0.1,
            train_s=ended_s - started_s,
            started_at=EPOCH_S + started_s,
            machine={**_MACHINE, "host": f"node-{slot // WORKERS_PER_NODE % NODES}"},
            worker=f"node-{slot // WORKERS_PER_NODE % NODES}:{1000 + slot}",
        )

    def _is_broken(self, plan: TrialPlan) -> bool:
        return bool(self._rng(plan, 2000).random() < self.failure_probability(plan))

    def _last_step(self, plan: TrialPlan) -> int:
        """Return the step at which a plan ends; failures come early."""
        if not self._is_broken(plan):
            return plan.horizon
        share = min(0.05 + 0.3 * float(self._rng(plan, 3000).exponential()), 1.0)
        return max(2, round(share * plan.horizon))

    def _curves(self, plan: TrialPlan) -> tuple[list[float], list[float]]:
        """Return losses and gradient norms per step."""
        rng, steps = self._rng(plan, 4000), self._last_step(plan)
        step_N = np.arange(steps) / plan.horizon
        pace = 6.0 * min(1.0, (plan.learning_rate / 3e-4) ** 0.7)
        near = self.failure_probability(plan)  # survivors near the edge learn less
        loss_N = START + (LEARNED + 0.6 * near - START) * -np.expm1(-pace * step_N)
        loss_N = np.maximum(loss_N + 0.03 * rng.standard_normal(steps), 0.01)
        if self._is_broken(plan):
            loss_N[steps // 2 :] *= 1 + 3 * np.linspace(0, 1, steps - steps // 2)
            loss_N[-1] = math.nan
        norm_N = np.exp(0.3 * rng.standard_normal(steps))
        return loss_N.tolist(), norm_N.tolist()

    def _rng(self, plan: TrialPlan, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, plan.model_seed, plan.number, stream])


def threshold(context: Context) -> float:
    """Return the log10 learning rate at which half of a context's trials fail."""
    warmed, clipped = 0.3 * (context.warmup_steps > 0), 0.15 * (context.max_grad_norm > 0)
    return THRESHOLD + MOVED_BY.get(context.precision, 0.0) + warmed + clipped
