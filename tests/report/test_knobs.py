"""What each knob buys, in words and drawn."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.frontier.effects import FACTORS, Effect
from stabsearch.records.hyperparameters import HYPERPARAMETERS
from stabsearch.report.effects_svg import axis_of, effect_figure
from stabsearch.report.knobs import direction, effect_sentence, fold, setting

CLIP = Effect("max_grad_norm", 1.0, 0.0, 2.1, 1.6, 2.8, num_pairs=4)
BF16 = Effect("precision", "bf16", "fp32", 0.9, 0.6, 1.3, num_pairs=1)
WARMUP = Effect("warmup_steps", 100, 20, 0.5, 0.3, 0.8, num_pairs=2)


@pytest.mark.parametrize(
    ("effect", "sentence"),
    [
        (
            CLIP,
            "clip 1 raises the safe learning rate ×2.1 [1.6, 2.8] (against no clip, 4 pairs of contexts)",
        ),
        (BF16, "bf16: no clear effect, ×0.9 [0.6, 1.3] (against fp32, 1 pair of contexts)"),
        (
            WARMUP,
            "warmup 100 lowers the safe learning rate ×0.5 [0.3, 0.8] "
            "(against warmup 20, 2 pairs of contexts)",
        ),
    ],
)
def test_an_effect_is_a_sentence(effect: Effect, sentence: str) -> None:
    """It claims a direction only where the interval leaves no doubt."""
    assert effect_sentence(effect) == sentence


def test_only_a_clear_effect_has_a_direction() -> None:
    """Up, down, or neither."""
    assert [direction(each) for each in (CLIP, WARMUP, BF16)] == ["raises it", "lowers it", "no clear effect"]


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_has_a_name_for_its_values(factor: Any) -> None:
    """No two values share it, and it says what it is a value of."""
    row = HYPERPARAMETERS[factor]
    names = {setting(factor, value) for value in row.examples}
    assert len(names) == len(row.examples)
    assert all(row.short in name for name in names)


def test_a_setting_that_is_switched_off_says_so() -> None:
    """Where 0 means none."""
    assert [setting(name, 0) for name in ("warmup_steps", "max_grad_norm")] == ["no warmup", "no clip"]
    assert setting("weight_decay", 0.0) == "wd 0"


@given(st.floats(1e-5, 1e5))
def test_a_factor_is_within_five_percent(ratio: float) -> None:
    """Two digits lose at most five percent."""
    assert float(fold(ratio).removeprefix("×")) == pytest.approx(ratio, rel=0.051)


effects = st.tuples(*[st.floats(-5, 5)] * 3).map(sorted).map(
    lambda x: Effect("precision", "bf16", "fp32", 10 ** x[1], 10 ** x[0], 10 ** x[2], 1)
)  # fmt: skip


@given(st.lists(effects, min_size=1, max_size=4))
def test_every_interval_lies_on_the_axis_in_order(found: list[Effect]) -> None:
    """Low, median and high from left to right, inside the picture."""
    axis = axis_of(found)
    for effect in found:
        ends = (effect.ratio_low, effect.ratio, effect.ratio_high)
        places = [float(axis.place(ratio).removesuffix("%")) for ratio in ends]
        assert 0 < places[0] <= places[1] <= places[2] < 100


@given(st.lists(effects, min_size=1, max_size=4))
def test_the_axis_names_times_one_and_few_others(found: list[Effect]) -> None:
    """No effect at all is always marked, and the names do not touch on a narrow screen."""
    ticks = axis_of(found).ticks
    assert any(math.isclose(ratio, 1) for ratio in ticks)
    assert 1 <= len(ticks) <= 6


def test_a_drawn_effect_says_its_sentence() -> None:
    """And looks different when it is not clear."""
    axis = axis_of([CLIP, BF16])
    assert effect_sentence(CLIP) in effect_figure(CLIP, axis)
    assert 'class="clear"' in effect_figure(CLIP, axis)
    assert 'class="unclear"' in effect_figure(BF16, axis)
