"""The sweep that ``stabsearch init`` writes: every key, explained by the text under its field."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from stabsearch.config.schema import Node, branches, describe, sweep_schema
from stabsearch.config.write import in_yaml
from stabsearch.records.hyperparameters import FURTHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stabsearch.errors import KeyPath

HEADER = """\
# A sweep for stabsearch: how high may the learning rate go before this training run breaks?
#   stabsearch run sweep.yaml
# It works as it is, offline, on generated data. Keys behind a '#' show their default or an example:
# remove the '#' to set them.
"""
OTHER_TASKS = (
    "Your own model and data: remove the task above, and the '#' of the keys you need in one of these."
)

STARTER: Mapping[KeyPath, str] = {
    ("name",): "my-sweep",
    ("output_dir",): "runs",
    ("seed",): "0",
    ("task", "type"): "quickstart",
    ("training", "max_steps"): "400",
    ("training", "per_device_train_batch_size"): "16",
    ("search", "learning_rate"): "{low: 1.0e-5, high: 1.0}",
    ("search", "warmup"): "[0, 0.05]",
    ("search", "max_grad_norm"): "[0, 1.0]",
    ("search", "precision"): "[fp32, bf16]",
    ("search", "sampler"): "frontier",
    ("budget", "trials"): "72",
    ("budget", "horizon"): "120",
    ("budget", "wall_clock"): "20m",
    ("risk", "max_failure_probability"): "0.1",
    ("risk", "confidence"): "0.9",
    ("resources", "cpus_per_trial"): "1",
    ("resources", "gpus_per_trial"): "0",
    ("tracking", "experiment"): "stabsearch",
}
"""Keys that the starter sets, with their YAML; all others stand behind a ``#``."""

EXAMPLES: Mapping[KeyPath, str] = {
    ("task", "model"): "google-bert/bert-base-uncased",
    ("task", "tokenizer"): "google-bert/bert-base-uncased",
    ("task", "data"): "{train: train.tsv, eval: dev.tsv}  # or {path: nyu-mll/glue, name: sst2}",
    ("task", "text_pair"): "sentence2",
    ("task", "prompt"): "prompt",
    ("task", "factory"): "my_package.train:make_trainer",
    ("task", "path"): "train.py",
    ("task", "args"): "{model_name_or_path: google-bert/bert-base-uncased, train_file: train.csv}",
    ("training", "num_train_epochs"): "3",
    ("peft", "target_modules"): "all-linear",
    ("peft", "modules_to_save"): "[pooler]",
    ("training", "adam_beta2"): "0.999",
    ("training", "optim"): "adamw_torch",
    ("training", "lr_scheduler_type"): "linear",
    **{("search", row.key): f"null  # or {in_yaml(list(row.examples))}" for row in FURTHER},
    ("budget", "trial_timeout"): "30m",
    ("resources", "processes_per_trial"): "2",
    ("study", "storage"): "postgresql://user@host/database",
    ("tracking", "uri"): "http://127.0.0.1:5000",
}
"""What to show where a key has no default."""


def starter_text(name: str = "my-sweep") -> str:
    """Return the commented starter sweep; it loads and runs as it is.

    Args:
        name: the sweep's name.
    """
    lines: list[str] = []
    for key, node in sweep_schema()["properties"].items():
        lines += ["", *_key_lines((key,), node, {**STARTER, ("name",): name}, 0)]
    return HEADER + "\n".join(lines) + "\n"


def _key_lines(key: KeyPath, node: Node, values: Mapping[KeyPath, str], depth: int) -> Iterator[str]:
    """Yield the lines of one key: its text, then the key itself, behind a ``#`` unless it is set."""
    yield from _comment(describe(node), depth)
    if key == ("task",):
        yield from _task_lines(node, values)
        return
    beneath = _children(node) if key not in values and key not in EXAMPLES else {}
    is_set = any(set_key[: len(key)] == key for set_key in values)
    value = "" if beneath else f" {_value(key, node, values)}"
    yield f"{'  ' * depth}{'' if is_set else '#'}{key[-1]}:{value}"
    for name, child in beneath.items():
        yield from _key_lines((*key, name), child, values, depth + 1)


def _task_lines(node: Node, values: Mapping[KeyPath, str]) -> Iterator[str]:
    """Yield the quickstart task as it runs, then the form of every other task, behind ``#``."""
    quickstart, *others = branches(node)
    yield "task:"
    for name, child in quickstart["properties"].items():
        yield from _key_lines(("task", name), child, values, 1)
    yield from ["", *_comment(OTHER_TASKS, 0)]
    for kind in others:
        yield from ["", *_comment(describe(kind), 0), "#task:"]
        for name, child in kind["properties"].items():
            yield from _key_lines(("task", name), child, {}, 1)


def _children(node: Node) -> Mapping[str, Node]:
    kinds = [branch["properties"] for branch in branches(node) if "properties" in branch]
    return kinds[0] if kinds else {}


def _value(key: KeyPath, node: Node, values: Mapping[KeyPath, str]) -> str:
    return values.get(key) or EXAMPLES.get(key) or node.get("const") or in_yaml(node.get("default"))


def _comment(text: str, depth: int) -> list[str]:
    indent = "  " * depth + "# "
    return textwrap.wrap(text.replace("`", ""), 100, initial_indent=indent, subsequent_indent=indent)
