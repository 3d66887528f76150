"""What one trial showed, and its exact JSON form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stabsearch.records.outcome import Cause, Grade, Outcome, Stage
from stabsearch.records.plan import TrialPlan

RECORD_VERSION = 5
READABLE_VERSIONS = frozenset({1, 2, 3, 4, RECORD_VERSION})
"""Version 1 knew no ramps and no stress: its plans hold no ``ramp_from`` and no ``confirms``. Version 2 knew
no bundles and no suspect rows, version 3 no further axes and no processes, version 4 no loss
scales and no evaluation."""
MAX_TRACE_POINTS = 1024  # chosen: a trial's record stays under 50 KB at any horizon


@dataclass(frozen=True)
class Effective:
    """Settings read back from the live trainer, never copied from the plan."""

    peak_learning_rate: float
    """Largest learning rate any optimizer step was given."""
    final_learning_rate: float
    """Learning rate of the last optimizer step."""
    max_grad_norm: float
    """Norm really passed to clipping; 0: gradients were not clipped."""
    autocast_dtype: str
    """Dtype inside the model's forward, e.g. ``bfloat16``; ``float32``: no autocast."""
    parameter_dtype: str
    """Dtype of the trained parameters, several joined by ``+``."""
    loss_scaler: bool
    """True when a gradient scaler was active."""
    matmul_precision: str
    """fp32 matrix product setting in force: ``ieee`` or ``tf32``."""
    device: str
    batch_rows: int
    """Rows per micro-batch."""
    optimizer: str
    """Class name of the optimizer."""
    betas: tuple[float, ...] = ()
    """Adam's betas, empty for another optimizer."""
    loss_multiple: int = 1
    """How many times the loss per example was back-propagated: the micro-batches of an update, where neither
    model nor Trainer divides (huggingface/transformers issue 47688)."""
    is_loss_divided: bool = False
    """True when the Trainer was told to divide where it would not have."""
    frozen_dtype: str = ""
    """Dtype of the parameters that are not trained; empty where there are none."""
    optimizer_dtype: str = ""
    """Dtype of the optimizer's moments; empty before the first update, and for an optimizer without."""
    weight_decay: float = math.nan
    """Largest weight decay of any group of parameters; NaN where the optimizer has none."""
    adam_epsilon: float = math.nan
    """Adam's epsilon, NaN for another optimizer."""
    num_processes: int = 1
    """Processes that trained together, each on rows of its own."""
    is_sharded: bool = False
    """True when each of them held a part of the weights only (FSDP)."""
    gradient_accumulation_steps: int = 0
    """Micro-batches that the optimizer's steps were made of; 0: not known."""
    gradient_checkpointing: bool = False
    """True when activations were computed again in the backward pass."""
    guard: str = "plain"
    """Form of the guard: ``plain`` looks at each micro-batch, ``frozen`` leaves the device alone."""

    @property
    def adam_beta1(self) -> float:
        """Return the decay of the mean gradient, NaN for an optimizer without."""
        return self.betas[0] if self.betas else math.nan

    @property
    def adam_beta2(self) -> float:
        """Return the decay of the mean squared gradient, NaN for an optimizer without."""
        return self.betas[1] if len(self.betas) > 1 else math.nan


@dataclass(frozen=True)
class StepTrace:
    """Per-step numbers of one trial, thinned evenly when the horizon is long; all same length, or empty."""

    steps: tuple[int, ...] = ()
    """Optimizer steps, 1-based, ascending; the last step is always kept."""
    losses: tuple[float, ...] = ()
    """Raw training loss, nats per example, mean over the step's micro-batches."""
    grad_norms: tuple[float, ...] = ()
    """Global L2 gradient norm before clipping; NaN where it was never computed."""
    loss_scales: tuple[float, ...] = ()
    """fp16 loss scale that each update met, NaN where a bad loss came first; empty without a scaler."""

    @property
    def tail_loss(self) -> float:
        """Return the mean loss over the last quarter, nats per example; NaN without losses."""
        last = self.losses[-max(1, len(self.losses) // 4) :]
        return sum(last) / len(last) if last else math.nan

    @classmethod
    def thinned(
        cls,
        losses: list[float],
        grad_norms: list[float],
        max_points: int = MAX_TRACE_POINTS,
        loss_scales: Sequence[float] = (),
    ) -> StepTrace:
        """Return the trace of steps 1..n with at most ``max_points`` points and the last."""
        stride = max(1, math.ceil(len(losses) / max_points))
        kept = sorted({*range(0, len(losses), stride), *([len(losses) - 1] if losses else [])})
        return cls(
            tuple(i + 1 for i in kept),
            tuple(losses[i] for i in kept),
            tuple(grad_norms[i] for i in kept),
            tuple(loss_scales[i] for i in kept) if loss_scales else (),
        )

    def until(self, step: int) -> StepTrace:
        """Return the trace as it stood after a step."""
        kept = sum(each <= step for each in self.steps)
        return StepTrace(
            self.steps[:kept], self.losses[:kept], self.grad_norms[:kept], self.loss_scales[:kept]
        )


@dataclass(frozen=True)
class TrialRecord:
    """One trial's result; the study holds exactly one per plan."""

    plan: TrialPlan
    outcome: Outcome
    grade: Grade | None = None
    """Set for stable trials only."""
    cause: Cause | None = None
    """Set for every outcome but ``stable``."""
    first_bad_step: int | None = None
    """1-based optimizer step of the first bad number, None when nothing was bad."""
    steps: int = 0
    """Optimizer steps that were completed."""
    trace: StepTrace = field(default_factory=StepTrace)
    chance_loss: float = math.nan
    """Loss of the trivial predictor of the label marginals, nats per example."""
    eval_loss: float = math.nan
    """Mean loss on held-out rows at the horizon, as the Trainer evaluates it; NaN: not evaluated, or not a
    number. Stable trials only."""
    skipped_steps: int = 0
    """fp16 updates that the loss scaler skipped."""
    clipped_share: float = math.nan
    """Share of updates whose gradient norm was above ``max_grad_norm``."""
    effective: Effective | None = None
    """None when the trial ended before its first optimizer step."""
    suspect_rows: tuple[int, ...] = ()
    """Rows of the training data, from 0, that break their batch whatever the hyperparameters are."""
    bundle: str = ""
    """Folder below ``bad_batches/`` that holds this failure, or one of its kind; empty: none is kept."""
    initial_weights: str = ""
    """Digest of the weights that the trial began with; equal for equal model seeds."""
    message: str = ""
    """One line on what happened, for people."""
    startup_s: float = 0.0
    """Seconds from the start of the trial to its first step."""
    train_s: float = 0.0
    """Seconds in training steps."""
    started_at: float = 0.0
    """Seconds since the epoch."""
    attempts: int = 1
    """How often it was started until it gave a record."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """Host, device and library versions."""
    worker: str = ""
    """The process that ran it, ``host:pid``."""

    @property
    def is_evidence(self) -> bool:
        """True when the trial says something about the frontier; a ramp never does."""
        return self.outcome.is_evidence and self.plan.stage is not Stage.RAMP

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; non-finite numbers become strings, so it is strict JSON."""
        return {"version": RECORD_VERSION, **_encode(asdict(self))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialRecord:
        """Return the record that ``to_json`` wrote, exactly.

        Raises:
            ValueError: written by a version this one does not read.
        """
        if data.get("version") not in READABLE_VERSIONS:
            known = f"1 to {RECORD_VERSION}"
            raise ValueError(f"trial record of version {data.get('version')!r}, this reads {known}")
        values = {
            key: value if key in _TEXTS else _decode(value) for key, value in data.items() if key != "version"
        }
        effective, trace = values.pop("effective"), values.pop("trace")
        plan = plan_from_json(values.pop("plan"))
        grade, cause = values.pop("grade"), values.pop("cause")
        return cls(
            plan=plan,
            outcome=Outcome(values.pop("outcome")),
            grade=Grade(grade) if grade else None,
            cause=Cause(cause) if cause else None,
            effective=Effective(**{**effective, "betas": tuple(effective["betas"])}) if effective else None,
            trace=StepTrace(**{key: tuple(points) for key, points in trace.items()}),
            suspect_rows=tuple(values.pop("suspect_rows", ())),
            **values,
        )


def plan_from_json(data: Mapping[str, Any]) -> TrialPlan:
    """Return the plan that ``dataclasses.asdict`` took apart."""
    return TrialPlan(**{**data, "stage": Stage(data["stage"])})


_TEXTS = frozenset({"message", "machine", "bundle", "initial_weights", "worker"})
_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, str):
        return _NONFINITE.get(value, value)
    if isinstance(value, Mapping):
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return value
