"""Further axes of a search: legal values, where else they may stand, and what they do to steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stabsearch.config import Sweep, difference, load_sweep, resolve, resolved_text
from stabsearch.config.problems import problems_of
from stabsearch.config.resolve import MOST_CONTEXTS, adam_memory
from stabsearch.errors import UserError
from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS, Hyperparameter

if TYPE_CHECKING:
    from pathlib import Path

further_row = pytest.mark.parametrize("row", FURTHER, ids=lambda row: row.name)
STEPS = {"max_steps": 400}


def sweep_of(search: dict[str, Any], training: dict[str, Any] | None = None, **parts: Any) -> Sweep:
    """Return a sweep over two precisions and what else is searched."""
    basic = {"learning_rate": {"low": 1e-5, "high": 1.0}, "warmup": [0], "precision": ["fp32", "bf16"]}
    data = {
        "name": "axes", "task": {"type": "quickstart"}, "training": STEPS if training is None else training,
        "search": {**basic, **search}, **parts,
    }  # fmt: skip
    return Sweep.model_validate(data)


def problem_of(search: dict[str, Any], training: dict[str, Any] | None = None) -> UserError:
    """Return what is wrong, as a user is told."""
    with pytest.raises(ValidationError) as caught:
        sweep_of(search, training)
    return problems_of(caught.value, {"search": search, "training": training})[0]


numbers = (
    st.sampled_from([0, 0.0, 1, 1.0, -1, math.nan, math.inf, 5e-324])  # where bounds lie
    | st.floats(-2, 2, allow_nan=False) | st.integers(-2, 600)
)  # fmt: skip


@given(st.sampled_from(FURTHER), numbers)
def test_a_sweep_takes_exactly_the_legal_values(row: Hyperparameter, value: float) -> None:
    """The bounds of the table are those of the sweep: no second list can say otherwise."""
    is_taken = row.is_legal(value) and not (row.is_whole and isinstance(value, float))
    try:
        sweep = sweep_of({row.key: [value]})
    except ValidationError:
        assert not is_taken
    else:
        assert is_taken
        assert sweep.search.further == {row.name: (value,)}


@further_row
def test_a_hyperparameter_is_searched_or_fixed(row: Hyperparameter) -> None:
    """Both is a contradiction, and the error says which line to remove."""
    error = problem_of({row.key: list(row.examples)}, {**STEPS, row.name: row.examples[0]})
    assert error.key == ("training", row.name)
    assert error.message == f"{row.name} is searched too, at search.{row.key}"
    assert error.hint == f"remove it here, or remove search.{row.key}"


def test_null_fixes_nothing() -> None:
    """As ``--set training.weight_decay=null`` writes it."""
    assert sweep_of({"weight_decay": [0, 0.1]}, {**STEPS, "weight_decay": None}).search.further


@further_row
def test_nothing_is_searched_unless_it_is_asked_for(row: Hyperparameter) -> None:
    """What a sweep does not search stands in its section training, and contexts are what they were."""
    sweep = sweep_of({}, {**STEPS, row.name: row.examples[0]})
    assert sweep.search.further == {}
    assert sweep.fixed_arguments[row.name] == row.examples[0]
    assert {context.further == {} for context in resolve(sweep, 1000).contexts} == {True}


@further_row
def test_repeats_are_named(row: Hyperparameter) -> None:
    """Twice the same value would be one context twice."""
    error = problem_of({row.key: [row.examples[0], row.examples[1], row.examples[0]]})
    assert (error.key, error.hint) == (("search", row.key, 2), "remove one of them")
    assert f"{row.key}[0]" in error.message


@pytest.mark.parametrize("row", [row for row in FURTHER if row.lacking], ids=lambda row: row.name)
def test_what_the_optimizer_does_not_have_is_not_searched(row: Hyperparameter) -> None:
    """Its trials would differ in nothing, and the frontier would not either."""
    for optimizer in sorted(row.lacking):
        error = problem_of({row.key: list(row.examples)}, {**STEPS, "optim": optimizer})
        assert error.key == ("search", row.key)
        assert error.message.startswith(f"{optimizer} has no {row.name}")
    assert sweep_of({row.key: list(row.examples)}, {**STEPS, "optim": "adamw_torch"}).search.further


def test_contexts_are_every_combination() -> None:
    """Of precision, warmup, clip norm and whatever else is searched."""
    search = {row.key: list(row.examples) for row in FURTHER[:4]}
    contexts = resolve(sweep_of(search), 1000).contexts
    assert len(set(contexts)) == len(contexts) == 2 * 2**4
    assert {context.weight_decay for context in contexts} == {0.0, 0.1}


def test_more_contexts_than_a_search_can_hold_are_refused_with_their_factors() -> None:
    """A typo in a list must not end in a sweep that never learns anything."""
    search = {"weight_decay": [0.01 * i for i in range(16)], "adam_beta1": [0.1 * i for i in range(9)]}
    with pytest.raises(
        UserError, match=rf"288 contexts \(2 precision .* 9 adam_beta1\), {MOST_CONTEXTS}"
    ) as caught:
        resolve(sweep_of(search), 1000)
    assert caught.value.key == ("search",)


@pytest.mark.parametrize("name", [row.name for row in FURTHER if row.part == "batch"])
def test_epochs_of_different_batches_are_refused_with_the_steps_to_write(name: str) -> None:
    """The full run would have another length in each context."""
    sweep = sweep_of({name: [1, 2]}, {"num_train_epochs": 3})
    with pytest.raises(
        UserError, match=f"epochs are 96 to 192 optimizer steps, depending on {name}"
    ) as caught:
        resolve(sweep, 1024 if name != "per_device_train_batch_size" else 64)
    assert caught.value.key == ("training", "num_train_epochs")
    assert "max_steps: 192" in caught.value.hint
    assert resolve(sweep_of({name: [1, 2]}), 1024).max_steps == 400


def test_epochs_of_one_searched_batch_size_are_its_own() -> None:
    """Not those of the default, which no trial has."""
    sweep = sweep_of({"per_device_train_batch_size": [32]}, {"num_train_epochs": 2})
    assert resolve(sweep, 640).max_steps == 40


@given(st.lists(st.floats(0, 0.99999), min_size=1, max_size=4, unique=True))
def test_a_trial_lasts_for_the_longest_memory_that_is_searched(betas: list[float]) -> None:
    """Or its frontier would be that of a shorter one."""
    sweep = sweep_of({"adam_beta2": betas}, {"max_steps": 5000})
    assert adam_memory(sweep) == round(1 / (1 - max(betas)))
    resolved = resolve(sweep, 1000)
    assert resolved.horizon == min(max(adam_memory(sweep) or 0, 1), 200)
    assert any("second moment" in caveat for caveat in resolved.caveats) == ((adam_memory(sweep) or 0) > 200)


def test_what_a_learning_rate_does_not_say_is_a_caveat() -> None:
    """Only where contexts differ in something that sets the pace."""

    def said(**search: Any) -> bool:
        return any("not comparable" in caveat for caveat in resolve(sweep_of(search), 1000).caveats)

    assert said(per_device_train_batch_size=[8, 32])
    assert said(adam_epsilon=[1e-8, 1e-3])
    assert not said(adam_epsilon=[1e-8])
    assert not said(weight_decay=[0, 0.1], adam_beta2=[0.95, 0.999])


@given(st.data())
def test_the_resolved_file_loads_as_the_same_sweep(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    """Also where a default of the section training would contradict what is searched."""
    rows = data.draw(st.lists(st.sampled_from(FURTHER), unique=True))
    sweep = sweep_of({row.key: list(row.examples) for row in rows})
    path: Path = tmp_path_factory.mktemp("resolved") / "sweep.resolved.yaml"
    path.write_text(resolved_text(sweep), encoding="utf-8")
    loaded = load_sweep(path).sweep
    assert loaded == sweep
    assert difference(sweep, loaded) == []
    assert Sweep.model_validate(sweep.model_dump(mode="json")) == sweep


def test_another_value_makes_another_sweep() -> None:
    """A study must not be gone on with under other values."""
    one, other = sweep_of({"weight_decay": [0, 0.1]}), sweep_of({"weight_decay": [0, 0.2]})
    assert difference(one, other) == ["search.weight_decay: [0.0, 0.1] -> [0.0, 0.2]"]


def test_a_sweep_from_before_the_further_axes_is_the_same_sweep() -> None:
    """Its file names none of them."""
    data = sweep_of({}).model_dump()
    for row in FURTHER:
        del data["search"][row.key]
    assert difference(Sweep.model_validate(data), sweep_of({})) == []
    assert set(HYPERPARAMETERS) >= {row.name for row in FURTHER}
