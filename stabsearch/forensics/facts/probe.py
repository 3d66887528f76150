"""One small batch through a copy of the model on the CPU in fp32: what the first forward shows."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from stabsearch.forensics.facts.batch import BatchFacts
from stabsearch.forensics.facts.run import RunFacts
from stabsearch.forensics.facts.target import LossKind, Target, base_model

OTHER_COUNT = 7  # chosen: no batch of MOST_ROWS rows or their tokens averages over seven by chance
MOST_OPERATIONS = 5e11  # chosen: ten seconds on a common CPU core
LARGEST_COPY_SHARE = 0.5  # chosen: the copy must not push the run itself out of memory


@dataclass(frozen=True)
class ProbeFacts:
    """What one forward of a fresh copy showed."""

    rows: tuple[int, ...]
    """Rows of the training data in the batch."""
    target: Target
    skipped: str = ""
    """Why the model was not tried; empty when it was."""
    problem: str = ""
    """What the forward raised; empty when it went through."""
    loss: float | None = None
    """Of the model's own loss; None when it returned none."""
    bad_rows: tuple[int, ...] = ()
    """Rows whose outputs are NaN or infinite."""
    is_blind: bool = False
    """No row has a finite output, although all inputs are finite."""
    keys: tuple[str, ...] = ()
    """What the model returned."""
    ignores_count: bool | None = None
    """The loss stays the same for another ``num_items_in_batch``; None: not asked."""
    accumulation: int = 1
    largest: tuple[tuple[str, float], ...] = ()
    """Layers that multiply matrices, with the largest magnitude of their outputs, largest first."""
    precisions: tuple[str, ...] = ("fp32",)
    sees_ahead: bool = False
    """A language model's outputs follow from tokens that come after them."""


def probe_model(trainer: Any, batch: BatchFacts, target: Target, run: RunFacts) -> ProbeFacts:
    """Return what a copy of the Trainer's model makes of a batch.

    The caller keeps the random numbers. The Trainer's model is only read.
    """
    common: dict[str, Any] = {
        "rows": batch.rows, "target": target, "accumulation": run.accumulation, "precisions": run.precisions,
    }  # fmt: skip
    try:
        twin = _copy(trainer.model, batch)
    except _NotTried as reason:
        return ProbeFacts(skipped=str(reason), **common)
    inputs = _inputs(batch, twin, drops_labels=target.is_own_loss)
    largest: dict[str, float] = {}
    hooks = [module.register_forward_hook(_watch(name, largest)) for name, module in _products(twin)]
    try:
        outputs = _forward(twin, inputs, {})
    except Exception as error:  # noqa: BLE001 - any code of the user's; what it raised is the finding
        return ProbeFacts(problem=" ".join(f"{type(error).__name__}: {error}".split()), **common)
    finally:
        for hook in hooks:
            hook.remove()
    loss = None if target.is_own_loss else _loss(outputs)
    bad_rows = _bad_rows(outputs, batch.rows)
    asked = loss is not None and math.isfinite(loss) and target.counts_items and not target.label_smoothing
    return ProbeFacts(
        loss=loss,
        bad_rows=bad_rows,
        is_blind=len(bad_rows) == len(batch.rows) and _are_finite(inputs),
        keys=tuple(outputs) if isinstance(outputs, Mapping) else (),
        ignores_count=_ignores_count(twin, inputs, loss) if asked and loss is not None else None,
        largest=tuple(sorted(largest.items(), key=lambda item: -_size(item[1]))),
        sees_ahead=target.kind is LossKind.CAUSAL and _sees_ahead(twin, inputs, outputs),
        **common,
    )


def _size(value: float) -> float:
    return math.inf if math.isnan(value) else value


class _NotTried(Exception):  # noqa: N818 - a reason, never seen outside
    pass


def num_tokens(batch: BatchFacts) -> int:
    """Return how many tokens a batch holds, one per row where it holds none."""
    shape = batch.parts["input_ids"].shape if "input_ids" in batch.parts else (len(batch.rows),)
    return math.prod(shape)


def is_quick(model: Any, batch: BatchFacts) -> bool:
    """Return whether a forward takes seconds, not minutes: two operations per weight and token."""
    return 2 * num_weights(model) * num_tokens(batch) <= MOST_OPERATIONS


def num_weights(model: Any) -> int:
    """Return how many weights a model has."""
    return sum(weight.numel() for weight in model.parameters())


def _copy(model: Any, batch: BatchFacts) -> Any:
    """Return a copy of a model on the CPU in fp32, in evaluation mode: no dropout, nothing is counted."""
    size, free = num_weights(model), free_memory()
    if free is not None and 4 * size > LARGEST_COPY_SHARE * free:
        raise _NotTried(f"a copy of {size:,} weights does not fit into memory")
    if not is_quick(model, batch):
        raise _NotTried(f"{size:,} weights and {num_tokens(batch):,} tokens take too long on a CPU")
    try:
        return copy.deepcopy(base_model(model)).to("cpu", torch.float32).eval()
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise _NotTried(f"it cannot be copied: {type(error).__name__}: {error}") from None


def free_memory() -> int | None:
    """Return the bytes of memory that are free for a process, None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - no file of ours
            for line in file:
                if line.startswith("MemAvailable:"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return None


def _inputs(batch: BatchFacts, model: Any, drops_labels: bool) -> dict[str, Any]:
    """Return what the model is given: the whole batch, or for a loss of the Trainer's what forward names."""
    parameters = inspect.signature(model.forward).parameters
    return {
        name: _on_cpu(value)
        for name, value in batch.inputs.items()
        if not drops_labels or (name in parameters and name not in batch.label_names)
    }


def _on_cpu(value: Any) -> Any:
    return value.detach().to("cpu") if isinstance(value, torch.Tensor) else value


@torch.no_grad()
def _forward(model: Any, inputs: dict[str, Any], more: dict[str, Any]) -> Any:
    return model(**inputs, **more)


def _loss(outputs: Any) -> float | None:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs[0]
    return float(loss) if isinstance(loss, torch.Tensor) and loss.numel() == 1 else None


def _bad_rows(outputs: Any, rows: tuple[int, ...]) -> tuple[int, ...]:
    """Return the rows with an output that is NaN or infinite; none where outputs are not one per row."""
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else None
    if not isinstance(logits, torch.Tensor) or not logits.ndim or len(logits) != len(rows):
        return ()
    is_finite = torch.isfinite(logits).reshape(len(rows), -1).all(dim=1).tolist()
    return tuple(row for row, is_good in zip(rows, is_finite, strict=True) if not is_good)


def _are_finite(inputs: Mapping[str, Any]) -> bool:
    tensors = [value for value in inputs.values() if isinstance(value, torch.Tensor)]
    return all(bool(torch.isfinite(value).all()) for value in tensors if value.is_floating_point())


def _ignores_count(model: Any, inputs: dict[str, Any], loss: float) -> bool | None:
    try:
        other = _loss(_forward(model, inputs, {"num_items_in_batch": torch.tensor(OTHER_COUNT)}))
    except (RuntimeError, TypeError, ValueError):
        return None
    return other is not None and math.isclose(other, loss, rel_tol=1e-6)


def _sees_ahead(model: Any, inputs: dict[str, Any], outputs: Any) -> bool:
    """Return whether another last token changes the outputs before it, which are to predict it."""
    ids, logits = inputs.get("input_ids"), outputs.get("logits") if isinstance(outputs, Mapping) else None
    if ids is None or ids.ndim != 2 or ids.shape[1] < 2 or logits is None or logits.shape[:2] != ids.shape:
        return False
    other = ids.clone()
    other[:, -1] = torch.where(ids[:, -1] == ids[:, 0], ids[:, 1], ids[:, 0])
    try:
        changed = _forward(model, {**inputs, "input_ids": other}, {})["logits"]
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    moved = (changed - logits)[:, :-1].abs().max()
    return bool(moved > ROUNDING * logits.abs().max())


ROUNDING = 1e-4  # chosen: of the largest output; sums in fp32 differ by a hundredth of it


def _products(model: Any) -> list[tuple[str, Any]]:
    """Return the layers that multiply matrices: these run in fp16 under autocast."""
    kinds = ("Linear", "Conv1D", "Conv1d", "Conv2d")
    return [(name, module) for name, module in model.named_modules() if type(module).__name__ in kinds]


def _watch(name: str, largest: dict[str, float]) -> Any:
    def see(_: Any, __: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.numel():
            largest[name] = max(largest.get(name, 0.0), float(output.detach().abs().max()))

    return see
