"""The same seed gives the same weights, for as long as a worker lives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import ref

from stabsearch.errors import UserError

if TYPE_CHECKING:
    from stabsearch.records import TrialPlan
    from stabsearch.task.base import Workload


@dataclass(frozen=True)
class _Seen:
    workload: ref[Workload]
    digests: dict[tuple[int, str], str] = field(default_factory=dict)
    """Model seed and precision -> digest of the first weights: user code may load another dtype for each."""


_latest: list[_Seen] = []
"""Of the workload that this process trains on."""


def check_same_seed(workload: Workload, plan: TrialPlan, initial_weights: str) -> None:
    """Raise when a model seed gives other weights than it gave before in this process.

    Args:
        workload: that made the model.
        plan: of the trial.
        initial_weights: their digest.

    Raises:
        UserError: something of an earlier trial is left in this process.
    """
    if not _latest or _latest[0].workload() is not workload:
        _latest[:] = [_Seen(ref(workload))]
    known = _latest[0].digests.setdefault((plan.model_seed, plan.precision), initial_weights)
    if known != initial_weights:
        raise UserError(
            f"model seed {plan.model_seed} gave other first weights than before in this worker",
            "what makes the model keeps something of an earlier trial, or draws from a generator of its own",
            key=("task",),
        )
