"""Preconditioned sharpness of a workload: a bracket for the learning rate, never evidence."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed

from stabsearch.records import Stage, TrialPlan
from stabsearch.records.sharpness import Sharpness, as_sharpness
from stabsearch.task.base import surroundings_of
from stabsearch.trial.accumulation import LossReference
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.hessian import Hessian
from stabsearch.trial.instrument import Guard, TrainingBroke
from stabsearch.trial.precision import matmul_precision
from stabsearch.trial.temporary import temporary_folder

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.guard import GuardLog
    from stabsearch.trial.setup import TrialSetup

GENTLE_LEARNING_RATE = 2e-5  # the usual fine-tuning rate of BERT-like models (Devlin et al. 2019)
NUM_PRODUCTS = 20  # chosen: measured, 10 fall up to 6 % short, and 40 find no more


def measure_sharpness(
    workload: Workload, setup: TrialSetup, *, num_steps: int, seed: int,
    learning_rate: float = GENTLE_LEARNING_RATE, num_products: int = NUM_PRODUCTS,
) -> Sharpness:  # fmt: skip
    """Return the sharpness at the start and after some gentle steps; what went wrong is its message.

    Model, batches and optimizer are a trial's, in fp32 and without clipping, which would scale the
    preconditioner. Curvature is taken on the batch of the coming update, without dropout.

    Args:
        workload: what is trained.
        setup: what all trials have in common.
        num_steps: optimizer steps between the two measurements, 1 or more: the warmup, or a handful.
        seed: of model, data order and the first vector.
        learning_rate: of these steps, all the same.
        num_products: Hessian-vector products per measurement, at most.
    """
    assert num_steps >= 1, "the second measurement comes after a step"
    # a vehicle for the arguments that trials get; it never becomes a record
    plan = TrialPlan(0, Stage.CANARY, learning_rate, 0, 0.0, "fp32", seed, seed, horizon=num_steps + 1)
    meter = _Meter(plan, num_products, setup.accumulation == "fix")
    torch.set_num_threads(setup.num_threads)
    try:
        with (
            surroundings_of(workload),
            matmul_precision("fp32"),
            temporary_folder() as folder,
        ):
            arguments = trial_arguments(plan, replace(setup, schedule="hold"), str(folder))
            meter.train(workload.trainer(arguments, seed))
    except (RuntimeError, TrainingBroke, _NotAdam) as error:  # no double backward, out of memory
        meter.found.clear()
        meter.message = str(error).partition("\n")[0]
    return meter.result


class _NotAdam(Exception):  # noqa: N818 - becomes a message, never leaves this module
    """The optimizer has no second moments of Adam's kind."""


class _Measured(Exception):  # noqa: N818 - unwinds the Trainer's loop, never leaves this module
    """Everything is measured."""


@dataclass
class _Meter:
    """Takes the sharpness before the first and before the last update of a short training."""

    plan: TrialPlan
    num_products: int
    mends: bool
    """Of a loss that accumulation multiplies: it is divided, as trials do."""
    found: list[float] = field(default_factory=list)
    """Largest eigenvalue before the first update, then before the last one."""
    beta1: float = math.nan
    message: str = ""

    @property
    def result(self) -> Sharpness:
        """Return what was measured, as far as it came."""
        start, after = [*map(as_sharpness, self.found), None, None][:2]
        missing = "" if start and after else "curvature is not positive, or not finite"
        return Sharpness(
            start, after, self.beta1, self.plan.horizon - 1, self.plan.learning_rate,
            self.num_products, self.message or missing,
        )  # fmt: skip

    def train(self, trainer: Any) -> None:
        """Train and measure; whatever goes wrong is raised."""
        # in the plain form, for the gradients and the optimizer of the very update are asked
        guard = Guard(
            trainer, lambda log: self._look(trainer, guard, log),
            LossReference(trainer, mends=self.mends), form="plain",
        )  # fmt: skip
        set_seed(self.plan.model_seed)
        with contextlib.suppress(_Measured):
            trainer.train()

    def _look(self, trainer: Any, guard: Guard, log: GuardLog) -> None:
        step = len(log.losses)
        if step in {1, self.plan.horizon}:
            preconditioner = _preconditioner(trainer.optimizer)
            self.beta1 = float(trainer.optimizer.param_groups[0]["betas"][0])
            hessian = Hessian(trainer, guard.batches, is_sum=log.losses_are_means)
            self.found.append(hessian.sharpness(preconditioner, self.num_products, self.plan.model_seed))
        if step >= self.plan.horizon:
            raise _Measured


def _preconditioner(optimizer: Any) -> dict[torch.Tensor, torch.Tensor]:
    """Return P = sqrt(v_hat) + eps per parameter, as the coming update will have it."""
    return {
        weight: _second_moment(optimizer.state.get(weight, {}), weight.grad, group).sqrt() + group["eps"]
        for group in optimizer.param_groups
        for weight in group["params"]
        if weight.grad is not None
    }


def _second_moment(state: dict[str, Any], grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
    """Return the bias-corrected v_hat with this gradient taken in."""
    if len(group.get("betas", ())) != 2 or (state and "exp_avg_sq" not in state):
        raise _NotAdam("the optimizer is not Adam, and nothing is known of its threshold")
    beta2 = group["betas"][1]
    past: torch.Tensor = state.get("exp_avg_sq", torch.zeros_like(grad))
    updates = int(state.get("step", 0)) + 1
    v_hat: torch.Tensor = (beta2 * past + (1 - beta2) * grad**2) / (1 - beta2**updates)
    return v_hat
