"""What operations of torch do with numbers that are not finite, and why they make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from stabsearch.forensics.origin.tensors import TensorFacts

FILLS = frozenset(
    "aten." + name
    for name in ("full", "full_like", "new_full", "fill", "fill_", "masked_fill", "masked_fill_", "where",
                 "scalar_tensor", "lift_fresh", "index_fill", "index_fill_", "masked_scatter")
)  # fmt: skip
"""They write infinities because they were told to."""
UNINITIALISED = frozenset(
    "aten." + name
    for name in ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted")
)
"""What they return is whatever stood in memory."""
OVERWRITES = frozenset(
    "aten." + name
    for name in ("copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_")
)
"""They do not read the tensor that they write to."""
SOFTMAXES = ("softmax", "logsumexp", "attention")
"""They take -inf as "not this one", so a row of nothing else is their fault and nobody's overflow."""
ALL_IGNORED = "averages over labels that are all ignored"
OVERFLOWS = "overflows"
READS_UNWRITTEN = "reads memory that was never written"
ZERO_BY_ZERO = "divides 0 by 0"
_NLL_LOSSES = ("aten.nll_loss_forward", "aten.nll_loss2d_forward")


def takes_masks(op: str) -> bool:
    """Return whether an operation gives -inf a meaning of its own."""
    return any(name in op for name in SOFTMAXES)


def ignores_all_labels(op: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether this is a cross-entropy without a single label that counts."""
    if op not in _NLL_LOSSES:
        return False
    return bool((arguments["target"] == arguments["ignore_index"]).all())


def why(op: str, arguments: Mapping[str, Any], inputs: Sequence[TensorFacts], output: torch.Tensor) -> str:
    """Return how an operation came to numbers that are not finite: a verb phrase.

    Args:
        op: name as torch dispatches it, e.g. ``aten.addmm``.
        arguments: by their names in torch's schema.
        inputs: the facts of those that are tensors.
        output: what came out.
    """
    if ignores_all_labels(op, arguments):
        return ALL_IGNORED
    if op in FILLS:
        return "fills in numbers that are not finite"
    if takes_masks(op) and _holds_nan(output) and any(facts.num_minus_inf for facts in inputs):
        return "normalises a row that is -inf everywhere"
    return _why_pole(op.removeprefix("aten.").strip("_"), arguments, output) or _why_overflow(inputs, output)


def _why_pole(name: str, arguments: Mapping[str, Any], output: torch.Tensor) -> str:
    """Return why a function that is not defined everywhere gave up, empty when it did not."""
    is_nan = _holds_nan(output)
    if name in {"div", "reciprocal", "rsqrt"} and _has_zero(arguments["other" if name == "div" else "self"]):
        return ZERO_BY_ZERO if name == "div" and is_nan else "divides by zero"
    if name in {"log", "log2", "log10", "log1p", "sqrt", "rsqrt"} and is_nan:
        return f"takes the {name} of a negative number"
    if name in {"log", "log2", "log10", "log1p"} and bool(torch.isneginf(output).any()):
        return f"takes the {name} of zero"
    return ""


def _why_overflow(inputs: Sequence[TensorFacts], output: torch.Tensor) -> str:
    dtype = str(output.dtype).removeprefix("torch.")
    if bool(torch.isinf(output).any()):
        return f"{OVERFLOWS} {dtype}"
    # a matrix product of infinities of both signs, or the squares of a norm: only NaN comes out
    largest = max((facts.largest or 0.0 for facts in inputs), default=0.0)
    is_large = output.is_floating_point() and largest >= torch.finfo(output.dtype).max ** 0.5
    return f"{OVERFLOWS} {dtype} on its way to NaN" if is_large else "makes NaN of finite numbers"


def _has_zero(divisor: Any) -> bool:
    return bool((torch.as_tensor(divisor) == 0).any())


def _holds_nan(tensor: torch.Tensor) -> bool:
    return bool(torch.isnan(tensor).any())
