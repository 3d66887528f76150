"""The JSON schema for editors, and the tables and starter made from it."""

from __future__ import annotations

import json
import re
from dataclasses import is_dataclass
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from stabsearch.config import (
    Sweep,
    load_sweep,
    model,
    resolve,
    schema_table,
    search,
    starter_text,
    sweep_schema,
    tasks,
)
from stabsearch.config.allowed import allowed, choices
from stabsearch.config.schema import all_properties, describe, property_at
from stabsearch.errors import KeyPath, dotted
from stabsearch.records import OutcomeRules

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic.fields import FieldInfo

TASK_MODULES = (tasks.sources, tasks.quickstart, tasks.heads, tasks.language, tasks.own_code)
MODELS = [
    value
    for module in (model, search, *TASK_MODULES)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__
]
ALL_KEYS = sorted({key for key, _ in all_properties()})


@pytest.mark.parametrize("part", MODELS, ids=lambda part: part.__name__)
def test_every_field_of_every_part_says_what_it_is(part: type[BaseModel]) -> None:
    """The same text feeds help, schema, starter and docs, so there must be one."""
    fields: dict[str, FieldInfo] = part.model_fields
    assert (part.__doc__ or "").strip()
    assert [name for name, field in fields.items() if not (field.description or "").strip()] == []


@pytest.mark.parametrize("part", MODELS, ids=lambda part: part.__name__)
def test_every_part_is_frozen_and_strict(part: type[BaseModel]) -> None:
    """Nothing is changed after loading, nothing is converted silently, no key is ignored."""
    assert part.model_config["frozen"]
    assert part.model_config["strict"]
    assert part.model_config["extra"] == ("allow" if part.__name__ == "Training" else "forbid")


def test_every_key_is_described_in_the_schema() -> None:
    """Thresholds included, which are a plain dataclass."""
    assert is_dataclass(OutcomeRules)
    assert [dotted(key) for key, node in all_properties() if not describe(node)] == []


def test_the_schema_is_strict_json() -> None:
    """Editors read it: a dialect, no infinite numbers, no unknown keys."""
    schema = json.loads(json.dumps(sweep_schema(), allow_nan=False))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "$id" not in schema
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name", "task", "training"]
    assert schema["$defs"]["Training"]["additionalProperties"] is True


@pytest.mark.parametrize("key", [("budget", "wall_clock"), ("budget", "trial_timeout")], ids=dotted)
def test_the_schema_takes_the_durations_that_a_sweep_takes(key: KeyPath) -> None:
    """Seconds as a number, or a text with a unit; nothing else."""
    number, text = property_at(key)["anyOf"][:2]
    assert number == {"type": "number", "exclusiveMinimum": 0}
    for duration in ("90", "90s", "20m", "1.5h", "2 d"):
        assert re.search(text["pattern"], duration)
        Sweep.model_validate(_with_duration(key, duration))
    for nonsense in ("20 minutes", "m", "-1s"):
        assert not re.search(text["pattern"], nonsense)
        with pytest.raises(ValueError, match="not a duration"):
            Sweep.model_validate(_with_duration(key, nonsense))


def _with_duration(key: KeyPath, duration: str) -> dict[str, object]:
    task = {"type": "quickstart"}
    return {"name": "a", "task": task, "training": {"max_steps": 3}, key[0]: {key[1]: duration}}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (("name",), "text"),
        (("seed",), "a whole number, 0 or more"),
        (
            ("task", "type"),
            "causal-lm, masked-lm, multi-label, quickstart, regression, script, seq2seq, "
            "sequence-classification, token-classification or trainer",
        ),
        (("search", "precision"), "a list of bf16, bf16-pure, fp16, fp32 or tf32"),
        (("search", "warmup"), "a list of numbers, each 0 or more"),
        (("budget", "horizon"), "a whole number above 0, or auto"),
        (("budget", "wall_clock"), "a number above 0, or text like 20m, or null"),
        (("risk", "max_failure_probability"), "a number above 0 and below 0.5"),
        (("resources", "allow_fp16_on_cpu"), "true or false"),
    ],
    ids=str,
)
def test_what_is_allowed_is_said_in_words(key: KeyPath, words: str) -> None:
    """The words of errors and of the table."""
    assert allowed(key) == words


def test_the_table_has_every_key_once_per_task_that_has_it() -> None:
    """A new key is in the docs the day it is added."""
    keys = re.findall(r"^\| `([^`]+)` \|", schema_table(), flags=re.MULTILINE)
    assert sorted(set(keys)) == sorted(map(dotted, ALL_KEYS))
    assert len(schema_table().splitlines()) == len(set(schema_table().splitlines()))
    assert {key for key in keys if keys.count(key) > 1} <= {key for key in keys if key.startswith("task.")}


def test_a_key_of_some_tasks_says_of_which() -> None:
    """``task.text`` is a column of texts, of words, or of answers."""
    rows = [row for row in schema_table().splitlines() if row.startswith("| `task.")]
    assert any(row.startswith("| `task.mlm_probability`") and "| (masked-lm) Share of" in row for row in rows)
    texts = [row for row in rows if row.startswith("| `task.text`")]
    assert sum("(token-classification)" in row for row in texts) == 1
    assert len([row for row in rows if row.startswith("| `task.model`")]) == 1


def test_every_row_of_the_table_has_four_cells() -> None:
    """No text breaks the Markdown."""
    for row in schema_table().splitlines():
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, row


def test_the_starter_loads_and_fits_as_it_is(tmp_path: Path) -> None:
    """``init`` followed by ``run`` works."""
    path = tmp_path / "sweep.yaml"
    path.write_text(starter_text("mine"))
    sweep = load_sweep(path).sweep
    assert (sweep.name, sweep.task.type) == ("mine", "quickstart")
    resolved = resolve(sweep, 2048)
    assert (resolved.max_steps, resolved.horizon, resolved.warmups) == (400, 120, (0, 20))


def test_the_starter_explains_every_key() -> None:
    """As errors promise: each key stands there, set or behind a ``#``, with its text above it."""
    lines = starter_text().splitlines()
    for key, node in all_properties():
        if key[0] == "task" and len(key) > 2:
            continue  # data and model are shown as one line each
        if key[:2] == ("search", "learning_rate") and len(key) > 2:
            continue
        found = [n for n, line in enumerate(lines) if re.match(rf"\s*#?{key[-1]}:", line)]
        assert found, dotted(key)
        assert any(lines[n - 1].lstrip().startswith("# ") for n in found), dotted(key)
        assert describe(node)


def with_task(kind: str) -> str:
    """Return the starter with the form of one type of task in place of the quickstart's."""
    text = starter_text()
    start, end = text.index("\ntask:"), text.index("\n# The full run that is being prepared")
    forms = [form for form in text[start:end].split("\n#task:")[1:] if f"\n  #type: {kind}\n" in form]
    assert len(forms) == 1
    return f"{text[:start]}\n#task:{forms[0]}{text[end:]}"


@pytest.mark.parametrize("kind", [kind for kind in choices(("task", "type")) if kind != "quickstart"])
def test_what_the_starter_shows_behind_a_hash_is_valid(tmp_path: Path, kind: str) -> None:
    """Removing every ``#`` gives a sweep again: one of your own, of every type."""
    own = re.sub(r"^(\s*)#(\w)", r"\1\2", with_task(kind), flags=re.MULTILINE).replace(
        "  max_steps: 400\n", ""
    )
    if kind in {"trainer", "script"}:  # which bring adapters of their own
        own = re.sub(r"\npeft:(\n +.*)+", "", own)
    path = tmp_path / "sweep.yaml"
    path.write_text(own)
    for name in ("train.tsv", "dev.tsv", "train.py"):
        (tmp_path / name).write_text("text\tlabel\n")
    sweep = load_sweep(path).sweep
    assert sweep.task.type == kind
    assert sweep.outcomes == OutcomeRules()
    assert sweep.training.num_train_epochs == 3
