"""A bad step on initial and captured weights, in fp32, the trial's precision and bf16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.bundle import Bundle
from stabsearch.capture.weights import load_weights
from stabsearch.forensics.localise import Localisation, localise
from stabsearch.forensics.replay import step_of
from stabsearch.records.record import plan_from_json
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.rerun import Rerun, Seen
from stabsearch.trial.temporary import temporary_folder

if TYPE_CHECKING:
    from stabsearch.records import Precision, TrialPlan
    from stabsearch.task.base import Workload
    from stabsearch.trial.setup import TrialSetup


@dataclass(frozen=True)
class Matrix:
    """The replays of one bad step."""

    cells: Mapping[tuple[str, Precision], Seen]
    """(weights, precision) -> what was seen; weights are ``initial`` or ``captured``."""
    with_gradients: bool
    """Whether gradients count: the step's losses were finite."""
    is_elsewhere: bool = False
    """True when the step broke on another kind of device: its numbers overflow elsewhere."""
    origin: Localisation | None = None
    """Where the first non-finite number comes from, in the first cell that is bad."""

    def is_finite(self, weights: str, precision: Precision) -> bool:
        """Return whether a cell stayed finite."""
        seen = self.cells[weights, precision]
        return seen.is_finite if self.with_gradients else seen.are_losses_finite


def replay_matrix(bundle: Bundle, workload: Workload, plan: TrialPlan, setup: TrialSetup) -> Matrix:
    """Return what a bundle's step gives on both weights and in all precisions of interest.

    Model and Trainer come from the workload, so that classes need not be importable.
    """
    if bundle.manifest.plan is not None:  # of its kind, but perhaps of another trial: its seeds count
        plan = plan_from_json(bundle.manifest.plan)
    precisions: list[Precision] = list(dict.fromkeys(("fp32", plan.precision, "bf16")))
    with_gradients = bundle.manifest.bad.kind != "loss"
    with temporary_folder() as folder:
        trainer = workload.trainer(trial_arguments(plan, setup, str(folder)), plan.model_seed)
        trainer.current_gradient_accumulation_steps = bundle.manifest.trainer.accumulation
        trainer.loss_is_scaled_for_ga = bundle.manifest.trainer.loss_is_scaled_for_ga
        window = bundle.window() if with_gradients else bundle.window()[-1:]
        models = {"initial": workload.model(plan.model_seed), "captured": _captured(bundle, workload, plan)}
        device = trainer.args.device
        rerun = Rerun(trainer, window, with_gradients)
        cells = {
            (name, precision): rerun.seen(model.to(device), precision)
            for name, model in models.items()
            for precision in precisions
        }
        found = Matrix(cells, with_gradients)
        bad = next(((n, p) for n, p in cells if not found.is_finite(n, p)), None)
        origin = _origin(trainer, models[bad[0]], window[-1], bad[1]) if bad else None
    is_elsewhere = bundle.manifest.numerics.device != device.type
    return Matrix(cells, with_gradients, is_elsewhere, origin)


def _captured(bundle: Bundle, workload: Workload, plan: TrialPlan) -> Any:
    model = workload.model(plan.model_seed)
    load_weights(model, bundle.weights(), bundle.manifest.aliases)
    return model


def _origin(trainer: Any, model: torch.nn.Module, micro_batch: Any, precision: Any) -> Localisation:
    with step_of(trainer, model, micro_batch, precision) as step:
        return localise(model, step, inputs=micro_batch.inputs)
