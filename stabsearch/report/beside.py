"""What the full run needs beside its TrainingArguments, which have no field for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from stabsearch.config import Peft, Sweep
from stabsearch.records import NUMBER_FORMATS, Context, Precision, TrialRecord

ISSUE = "huggingface/transformers issue 47688"
TASK_TYPES = {
    "token-classification": "TOKEN_CLS",
    "causal-lm": "CAUSAL_LM",
    "seq2seq": "SEQ_2_SEQ_LM",
    "masked-lm": None,
}
"""PEFT's name for the kinds of task; all others are classifiers of sequences."""


def beside(sweep: Sweep, context: Context, records: Sequence[TrialRecord]) -> tuple[str, ...]:
    """Return what has to be done in code for a run like the trials of a context, one line each.

    Args:
        sweep: what was asked for.
        context: that is recommended.
        records: what its trials showed.
    """
    is_half = NUMBER_FORMATS[cast("Precision", context.precision)].is_own_dtype
    needs = [_half()] if is_half else []
    if sweep.peft is not None:
        needs.append(_adapters(sweep.peft, TASK_TYPES.get(sweep.task.type, "SEQ_CLS"), is_half))
    if any(each.effective and each.effective.is_loss_divided for each in records):
        needs.append(_divided(sweep.resources.num_processes))
    return tuple(needs)


def _half() -> str:
    return "load the model in bfloat16: from_pretrained(..., dtype=torch.bfloat16)"


def _adapters(peft: Peft, task_type: str | None, is_half: bool) -> str:
    usual = Peft().arguments
    said: dict[str, Any] = {"task_type": task_type} if task_type else {}
    said |= {name: value for name, value in peft.arguments.items() if value != usual.get(name)}
    fields = ", ".join(f"{name}={value!r}" for name, value in said.items())
    more = ", autocast_adapter_dtype=False" if is_half else ""
    return f"put the adapters on: get_peft_model(model, LoraConfig({fields}){more})"


def _divided(num_processes: int) -> str:
    more = ", and average_tokens_across_devices=False in its arguments" if num_processes > 1 else ""
    return f"divide the accumulated loss: trainer.loss_is_scaled_for_ga = False before train(){more}"


def multiplied_text(records: Sequence[TrialRecord]) -> str:
    """Return by how much gradient accumulation multiplied the losses of trials; empty where it did not."""
    times = sorted({each.effective.loss_multiple for each in records if each.effective} - {1})
    if not times:
        return ""
    listed = " or ".join(f"{each:g}" for each in times)
    return (
        f"Loss and gradients are {listed} times what they are per example, in the trials as in the full run: "
        f"gradient accumulation multiplies them for this model ({ISSUE}). Nothing is shown of a run in which "
        "that is mended; accumulation: fix measures that one."
    )
