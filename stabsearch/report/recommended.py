"""The recommended configuration as Hugging Face TrainingArguments."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast, get_args

import yaml

from stabsearch.config import Sweep
from stabsearch.frontier.answer import Recommendation
from stabsearch.records import NUMBER_FORMATS, Precision
from stabsearch.report.wording import printable

Format = Literal["json", "yaml", "python", "flags"]
FORMATS: tuple[Format, ...] = get_args(Format)


def recommended_arguments(sweep: Sweep, recommendation: Recommendation, max_steps: int) -> dict[str, Any]:
    """Return TrainingArguments of the full run with the recommended settings, nothing else.

    Args:
        sweep: its ``training`` part gives everything that was not searched.
        recommendation: learning rate, and what else was searched.
        max_steps: optimizer steps of the full run, written when the user gave the length in steps;
            a length in epochs stays one.

    Trials that ran without a GPU were measured on the CPU, and bf16 is refused there without
    ``use_cpu``, so it is written; not for fp16, which stock Trainer silently runs as fp32 on a CPU.
    """
    context = recommendation.context
    defaults = {"output_dir": f"{sweep.output_dir}/{sweep.name}-full", "logging_nan_inf_filter": False}
    on_cpu = NUMBER_FORMATS[cast("Precision", context.precision)].on_cpu
    if sweep.resources.gpus_per_trial == 0 and on_cpu == "runs":
        defaults["use_cpu"] = True
    return {
        **defaults,
        **sweep.fixed_arguments,
        **_length(sweep, max_steps),
        "learning_rate": recommendation.learning_rate,
        "warmup_steps": context.warmup_steps,
        "max_grad_norm": context.max_grad_norm,
        **context.further,
        **_precision(context.precision, bool(sweep.fixed_arguments.get("torch_compile"))),
    }


def _length(sweep: Sweep, max_steps: int) -> dict[str, Any]:
    epochs = sweep.training.num_train_epochs
    return {"max_steps": max_steps} if epochs is None else {"num_train_epochs": epochs}


def _precision(precision: str, is_compiled: bool) -> dict[str, bool]:
    """Return the number format; tf32 is named only where it is meant, since older GPUs refuse it.

    Or where it would come by itself: TrainingArguments of Transformers 5.24 switch it on with torch_compile.
    """
    asked = NUMBER_FORMATS[cast("Precision", precision)].arguments
    mixed = {name: asked.get(name, False) for name in ("bf16", "fp16")}
    if asked.get("tf32") or is_compiled:
        return {**mixed, "tf32": asked.get("tf32", False)}
    return mixed


def render(arguments: dict[str, Any], form: Format, beside: Sequence[str] = ()) -> str:
    """Return the arguments as text that ends in a newline.

    Args:
        arguments: fields of TrainingArguments.
        form: JSON, YAML, Python, or options of a script's command line as ``HfArgumentParser`` reads them.
        beside: what the run needs beside them, one line each; JSON and options have no place for it.
    """
    match form:
        case "json":
            return json.dumps(arguments, indent=2, allow_nan=False) + "\n"
        case "yaml":
            return _comments(beside) + yaml.safe_dump(arguments, sort_keys=False, allow_unicode=True)
        case "python":
            return _python(arguments) + _comments(beside)
        case "flags":
            return shlex.join(_flags(arguments)) + "\n"


def _flags(arguments: dict[str, Any]) -> Iterator[str]:
    """Yield the options of a command line; what is None stays at its default."""
    for name, value in arguments.items():
        if value is None:
            continue
        yield f"--{name}"
        if isinstance(value, dict):
            yield json.dumps(value, allow_nan=False)
        elif isinstance(value, list | tuple):
            yield from map(str, value)
        else:
            yield str(value)


def _comments(lines: Sequence[str]) -> str:
    return "".join(f"# {printable(line)}\n" for line in lines)


def _python(arguments: dict[str, Any]) -> str:
    lines = [f"    {name}={value!r}," for name, value in arguments.items()]
    body = "\n".join(["training_args = TrainingArguments(", *lines, ")"])
    return f"from transformers import TrainingArguments\n\n{body}\n"
