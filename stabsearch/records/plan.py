"""What one trial is to do: plain data, fully resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS, IN_CONTEXT, Value, number
from stabsearch.records.precision import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stabsearch.records.outcome import Stage
    from stabsearch.records.precision import Precision


class Context(NamedTuple):
    """Everything searched but the learning rate; a frontier has one point per context."""

    precision: str
    warmup_steps: int
    """Optimizer steps of the full run."""
    max_grad_norm: float
    """Global L2 norm that gradients are clipped to; 0: no clipping."""
    weight_decay: float | None = None
    """None, here and below: not searched, and what the sweep's section ``training`` says."""
    adam_beta1: float | None = None
    adam_beta2: float | None = None
    adam_epsilon: float | None = None
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None

    @property
    def label(self) -> str:
        """Return the context as tables and pictures show it.

        >>> Context("bf16", 100, 0.0).label
        'bf16 · warmup 100 · no clip'
        >>> Context("fp32", 0, 1.0, adam_beta2=0.98).label
        'fp32 · warmup 0 · clip 1 · b2 0.98'
        """
        return self.label_of(self._fields)

    def label_of(self, names: Iterable[str]) -> str:
        """Return what the context says of some hyperparameters."""
        settings = self.settings
        return " · ".join(HYPERPARAMETERS[name].label(settings[name]) for name in names if name in settings)

    @property
    def settings(self) -> dict[str, Value]:
        """Return the value of everything that is searched, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def further(self) -> dict[str, Value]:
        """Return what is searched beside precision, warmup and clip norm, as TrainingArguments."""
        return {row.name: value for row in FURTHER if (value := getattr(self, row.name)) is not None}

    @property
    def order(self) -> tuple[Any, ...]:
        """Return a sort key: precision from exact to coarse, then warmup, clip norm, and so on.

        >>> Context("fp32", 9, 1.0).order < Context("bf16", 0, 1.0).order < Context("bf16", 0, 1.0, 0.1).order
        True
        """
        names: tuple[str, ...] = PRECISIONS
        rank = names.index(self.precision) if self.precision in names else len(names)
        others = (getattr(self, row.name) for row in IN_CONTEXT if row.name != "precision")
        return rank, self.precision, *((value is not None, value or 0) for value in others)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Context:
        """Return the context of some settings by name; a learning rate among them is passed over."""
        return cls(**{name: settings[name] for name in cls._fields if name in settings})


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
    weight_decay: float | None = None
    """None, here and below: not searched, and what the sweep's section ``training`` says."""
    adam_beta1: float | None = None
    adam_beta2: float | None = None
    adam_epsilon: float | None = None
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None

    @property
    def context(self) -> Context:
        """Return the context this trial is evidence for."""
        return Context(*(getattr(self, name) for name in Context._fields))

    @property
    def arguments(self) -> dict[str, Value]:
        """Return what is searched, by its field of TrainingArguments; but for the precision."""
        settings: dict[str, Value] = {"learning_rate": self.learning_rate, **self.context.settings}
        del settings["precision"]
        return settings

    @property
    def run_name(self) -> str:
        """Return a readable name: ``lr3e-4_w100_c1_bf16_s0``, of a ramp ``lr1e-5to1e0_w0_c1_bf16_s1``.

        What is searched beside these stands before the trial's number: ``_wd0.1_b2-0.98_s0``.
        """
        start = "" if self.ramp_from is None else f"{_short(self.ramp_from)}to"
        rate = f"{start}{_short(self.learning_rate)}"
        further = "".join(f"_{_named(name, value)}" for name, value in self.context.further.items())
        base = f"lr{rate}_w{self.warmup_steps}_c{self.max_grad_norm:g}_{self.precision}"
        return f"{base}{further}_s{self.number}"


def _short(rate: float) -> str:
    mantissa, exponent = f"{rate:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _named(name: str, value: Value) -> str:
    short = HYPERPARAMETERS[name].short
    return f"{short}{'-' if short[-1].isdigit() else ''}{number(value)}"
