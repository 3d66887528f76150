"""The resolved file is the sweep: loading it gives the same one, and any change is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stabsearch.config import Sweep, difference, identity, load_sweep, resolved_text
from stabsearch.config.document import parse
from stabsearch.config.model import Training
from stabsearch.config.schema import all_properties, places_of
from stabsearch.config.search import SEARCHED_ARGUMENTS

if TYPE_CHECKING:
    from pathlib import Path

positive = st.floats(1e-9, 1e9)
words = st.text(min_size=1, max_size=12)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
arguments = words.filter(
    lambda name: name not in {*Training.model_fields, *SEARCHED_ARGUMENTS} and not places_of(name)
)


def optional(values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return any part of a mapping: what is left out has a default."""
    return st.fixed_dictionaries({}, optional=values)


def unique_tuples(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return a non-empty tuple without repeats."""
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


tasks = st.one_of(
    st.fixed_dictionaries({"type": st.just("quickstart")}, optional={"num_rows": st.integers(64, 9999)}),
    st.fixed_dictionaries(
        {
            "type": st.just("sequence-classification"),
            "model": st.one_of(
                st.just("google-bert/bert-base-uncased"),
                st.fixed_dictionaries({"config": st.dictionaries(st.text(), plain_values, max_size=3)}),
            ),
            "data": st.fixed_dictionaries({"path": st.just("nyu-mll/glue")}, optional={"name": words}),
        },
        optional={"text": words, "text_pair": words, "label": words, "max_length": st.integers(1, 512)},
    ),
)
trainings = st.builds(
    lambda length, known, others: {**length, **known, **others},
    st.one_of(
        st.fixed_dictionaries({"max_steps": st.integers(1, 10**6)}),
        st.fixed_dictionaries({"num_train_epochs": positive}),
    ),
    optional({"per_device_train_batch_size": st.integers(1, 512), "adam_beta2": st.floats(0, 0.9999)}),
    st.dictionaries(arguments, plain_values, max_size=3),
)
sweeps = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"),
        "task": tasks,
        "training": trainings,
    },
    optional={
        "output_dir": words,
        "seed": st.integers(0, 2**64),
        "search": optional(
            {
                "learning_rate": st.tuples(st.floats(1e-9, 1e-3), st.floats(1e-2, 1e3)).map(
                    lambda ends: {"low": ends[0], "high": ends[1]}
                ),
                "warmup": unique_tuples(st.floats(0, 1e5)),
                "max_grad_norm": unique_tuples(st.floats(0, 1e5)),
                "precision": unique_tuples(st.sampled_from(["fp32", "tf32", "bf16", "fp16"])),
                "sampler": st.sampled_from(["frontier", "tpe", "random", "grid", "gp", "qmc"]),
            }
        ),
        "budget": optional(
            {
                "horizon": st.one_of(st.just("auto"), st.integers(1, 10**6)),
                "wall_clock": st.one_of(st.none(), positive, st.sampled_from(["90s", "20m", "1.5h", "2 d"])),
                "schedule": st.sampled_from(["hold", "exact"]),
            }
        ),
        "risk": optional({"confidence": st.floats(0.5, 0.999)}),
        "resources": optional({"cpus_per_trial": positive, "driver": st.sampled_from(["ray", "inline"])}),
        "study": optional({"storage": words}),
        "tracking": optional({"uri": words, "experiment": words}),
        "outcomes": optional({"divergence_ratio": positive, "smoothing": st.floats(0.01, 0.99)}),
    },
).map(Sweep.model_validate)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sweeps)
def test_the_resolved_file_loads_as_the_same_sweep(tmp_path: Path, sweep: Sweep) -> None:
    """Whatever names, numbers and words stand in it."""
    path = tmp_path / "sweep.resolved.yaml"
    path.write_text(resolved_text(sweep), encoding="utf-8")
    loaded = load_sweep(path).sweep
    assert loaded == sweep
    assert difference(sweep, loaded) == []


@pytest.mark.parametrize(
    "word", ["1e-5", "0o7", ".5", "no", "null", "~", "", " a ", "a: b", "#", "\x85", "\u2028x", "\r\n"]
)
def test_a_word_stays_a_word(word: str) -> None:
    """Whatever it looks like, to a reader of YAML 1.1 or 1.2."""
    sweep = sweep_of(training={"max_steps": 400, "run_name": word})
    text = resolved_text(sweep)
    assert parse(text).data["training"]["run_name"] == word
    assert yaml.safe_load(text)["training"]["run_name"] == word


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(sweeps)
def test_other_yaml_readers_see_the_same_values(sweep: Sweep) -> None:
    """Numbers are written so that a YAML 1.1 reader, such as PyYAML, takes them for numbers too."""
    data = yaml.safe_load(resolved_text(sweep))
    assert Sweep.model_validate(data) == sweep


def sweep_of(**parts: Any) -> Sweep:
    """Return a small sweep with these parts."""
    return Sweep.model_validate(
        {"name": "a", "task": {"type": "quickstart"}, "training": {"max_steps": 400}, **parts}
    )


def test_every_default_is_written_out() -> None:
    """The file says what was run, also when a later version has other defaults."""
    assert yaml.safe_load(resolved_text(sweep_of()))["peft"] is None
    written = yaml.safe_load(resolved_text(sweep_of(peft={})))
    for key, _ in all_properties():
        if key[0] != "task":
            part = written
            for name in key:
                part = part[name]
    assert written["budget"]["trial_timeout"] == 1800


def test_the_file_is_readable() -> None:
    """A header, block style, one value a line, floats as people write them."""
    text = resolved_text(sweep_of(search={"learning_rate": {"low": 1e-6, "high": 0.5}}))
    assert text.startswith("# The sweep as stabsearch ")
    assert "  learning_rate:\n    low: 1.0e-06\n    high: 0.5\n" in text


SAME = [
    {"output_dir": "elsewhere"},
    {
        "budget": {
            "trials": 9,
            "wall_clock": "1h",
            "concurrency": 2,
            "trial_timeout": "1h",
            "trial_attempts": 1,
            "bridge_trials": 2,
            "disk_gib": 9,
        }
    },
    {"bad_batches": {"max_gib": 1}},
    {"search": {"tolerance": 0.05}},
    {"risk": {"max_rounds": 9}},
    {"resources": {"cpus_per_trial": 2, "gpus_per_trial": 1, "address": "auto", "driver": "inline"}},
    {"tracking": {"uri": "http://127.0.0.1:5000", "experiment": "other"}},
]


@pytest.mark.parametrize("change", SAME)
def test_where_and_how_much_does_not_make_another_sweep(change: dict[str, Any]) -> None:
    """A sweep may go on with more trials, on other machines, tracked elsewhere."""
    assert difference(sweep_of(), sweep_of(**change)) == []


OTHER = [
    ({"name": "b"}, ["name: a -> b"]),
    ({"seed": 1}, ["seed: 0 -> 1"]),
    ({"search": {"precision": ["fp32"]}}, ["search.precision: [fp32, bf16] -> [fp32]"]),
    ({"search": {"learning_rate": {"low": 1e-5, "high": 1.0}}}, [
        "search.learning_rate.low: 1.0e-06 -> 1.0e-05",
        "search.learning_rate.high: 0.01 -> 1.0",
    ]),
    ({"budget": {"horizon": 100}}, ["budget.horizon: auto -> 100"]),
    ({"search": {"goal": "recommend"}}, ["search.goal: map -> recommend"]),
    ({"risk": {"confirmation": "stress"}}, ["risk.confirmation: plain -> stress"]),
    ({"resources": {"allow_fp16_on_cpu": True}}, ["resources.allow_fp16_on_cpu: false -> true"]),
    ({"training": {"max_steps": 400, "weight_decay": 0.1}}, ["training.weight_decay: not set -> 0.1"]),
    ({"outcomes": {"smoothing": 0.9}}, ["outcomes.smoothing: 0.8 -> 0.9"]),
    # more GPUs train on larger batches
    ({"resources": {"gpus_per_trial": 2}}, ["resources.processes_per_trial: 1 -> 2"]),
    ({"study": {"storage": "sqlite:///x.db"}}, ["study.storage: null -> sqlite:///x.db"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "lines"), OTHER)
def test_what_is_measured_makes_another_sweep(change: dict[str, Any], lines: list[str]) -> None:
    """Each difference is one readable line."""
    assert difference(sweep_of(), sweep_of(**change)) == lines


def test_another_task_is_another_sweep() -> None:
    """Keys that only one of two tasks has are told as not set."""
    other = {"type": "sequence-classification", "model": "a/b", "data": {"path": "glue"}}
    lines = difference(sweep_of(), sweep_of(task=other))
    assert lines[0] == "task.type: quickstart -> sequence-classification"
    assert "task.num_rows: 2048 -> not set" in lines
    assert "task.model: not set -> a/b" in lines


def test_the_identity_leaves_out_nothing_else() -> None:
    """Every key is either part of the identity or named as free."""
    kept = identity(sweep_of())
    assert "output_dir" not in kept
    assert "tracking" not in kept
    assert kept["resources"] == {"allow_fp16_on_cpu": False, "processes_per_trial": 1}
    assert sorted(kept["budget"]) == ["horizon", "schedule"]
