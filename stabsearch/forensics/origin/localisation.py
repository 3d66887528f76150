"""Where the first number that was not finite came from: the answer, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stabsearch.forensics.origin.parts import GradientFacts, Origin, Phase, StepError
from stabsearch.forensics.origin.tensors import TensorFacts
from stabsearch.forensics.origin.words import sentence


@dataclass(frozen=True)
class Localisation:
    """Where the first number that was not finite came from in one training step."""

    phase: Phase
    loss: float | None
    """As back-propagated, before the loss scale; None when the forward raised."""
    loss_scale: float
    origin: Origin | None
    """None when nothing is bad, or nothing in the step is to blame."""
    bad_parameters: tuple[TensorFacts, ...]
    """Parameters that were not finite before the step."""
    bad_buffers: tuple[TensorFacts, ...]
    """Buffers with NaN or +inf before the step; -inf alone is a mask."""
    bad_inputs: tuple[TensorFacts, ...]
    """Tensors of the batch that were not finite, -inf alone included."""
    read: TensorFacts | None
    """What the first bad number was read from when it was there before; its name may be empty."""
    gradients: GradientFacts | None
    """None when nothing was back-propagated."""
    all_labels_ignored: bool
    """A cross-entropy had no label that counts."""
    is_benign_skip: bool
    """Only the loss scale overflows: the same step without it has finite gradients."""
    error: StepError | None
    note: str = ""
    """What could not be found out."""

    @property
    def op(self) -> str | None:
        """Return the operation that made the first bad number, e.g. ``aten.addmm``."""
        return self.origin.site.op if self.origin else None

    @property
    def module(self) -> str | None:
        """Return the module that made the first bad number."""
        return self.origin.site.module if self.origin else None

    @property
    def has_finite_loss(self) -> bool:
        """Return whether the forward gave a finite loss."""
        return self.loss is not None and math.isfinite(self.loss)

    @property
    def is_finite(self) -> bool:
        """Return whether nothing at all is wrong with the step."""
        return self.phase is Phase.NOWHERE and self.error is None

    @property
    def sentence(self) -> str:
        """Return what happened, one line for people."""
        return sentence(self)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; numbers that are not finite become ``nan``, ``inf`` or ``-inf``."""
        summary = {"sentence": self.sentence, "op": self.op, "module": self.module}
        return {**summary, **_encode(asdict(self))}


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    return value
