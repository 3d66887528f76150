"""What one trial is to do: plain data, fully resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from stabsearch.records.outcome import Stage

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Context(NamedTuple):
    """Everything searched but the learning rate; a frontier has one point per context."""

    precision: str
    warmup_steps: int
    """Optimizer steps of the full run."""
    max_grad_norm: float
    """Global L2 norm that gradients are clipped to; 0: no clipping."""

    @property
    def label(self) -> str:
        """Return the context as tables and pictures show it.

        >>> Context("bf16", 100, 0.0).label
        'bf16 · warmup 100 · no clip'
        """
        clip = f"clip {self.max_grad_norm:g}" if self.max_grad_norm else "no clip"
        return f"{self.precision} · warmup {self.warmup_steps} · {clip}"


@dataclass(frozen=True)
class TrialPlan:
    """One trial, fully resolved; running it again on the same machine gives the same numbers."""

    number: int
    """Trial number in the study, from 0."""
    stage: Stage
    learning_rate: float
    """Peak learning rate, per optimizer step; where a ramp ends."""
    warmup_steps: int
    """Optimizer steps of linear warmup, absolute, as in the full run."""
    max_grad_norm: float
    """Global L2 norm that gradients are clipped to; 0: no clipping."""
    precision: Precision
    model_seed: int
    """Seeds the new weights and the dropout."""
    data_seed: int
    """Seeds the order of the training rows."""
    horizon: int
    """Optimizer steps after which the trial stops by itself."""
    ramp_from: float | None = None
    """Learning rate of a ramp's first step; None: the trial is no ramp."""
    confirms: float | None = None
    """Lower learning rate that a stressed confirmation trial vouches for; None: its own."""

    @property
    def context(self) -> Context:
        """Return the context this trial is evidence for."""
        return Context(self.precision, self.warmup_steps, self.max_grad_norm)

    @property
    def run_name(self) -> str:
        """Return a readable name: ``lr3e-4_w100_c1_bf16_s0``, of a ramp ``lr1e-5to1e0_w0_c1_bf16_s1``."""
        start = "" if self.ramp_from is None else f"{_short(self.ramp_from)}to"
        rate = f"{start}{_short(self.learning_rate)}"
        return f"lr{rate}_w{self.warmup_steps}_c{self.max_grad_norm:g}_{self.precision}_s{self.number}"


def _short(rate: float) -> str:
    mantissa, exponent = f"{rate:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
