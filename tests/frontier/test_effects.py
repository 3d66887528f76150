"""What each knob buys."""

from __future__ import annotations

import json

import numpy as np
import pytest
from frontier_samples import RANGE, bracket, table

from stabsearch.frontier import fit
from stabsearch.frontier.effects import effects_of
from stabsearch.records import Context

PLAIN = Context("fp32", 0, 0.0)
CLIPPED = PLAIN._replace(max_grad_norm=1.0)
WARM = PLAIN._replace(warmup_steps=100)
HALF = PLAIN._replace(precision="bf16")


def test_a_knob_that_moves_the_boundary_is_credited_with_the_factor() -> None:
    """Warmup raises it by half a decade, whatever the clip; clipping does nothing."""
    trials = [
        row
        for context in (PLAIN, CLIPPED, WARM, WARM._replace(max_grad_norm=1.0))
        for row in bracket(context, -4.0 + 0.5 * (context.warmup_steps > 0)) * 2
    ]
    effects = {effect.factor: effect for effect in fit(table(trials), 0.1, RANGE).effects}
    assert set(effects) == {"warmup_steps", "max_grad_norm"}
    warmup, clip = effects["warmup_steps"], effects["max_grad_norm"]
    assert warmup.is_clear
    assert warmup.ratio_low < 10**0.5 < warmup.ratio_high
    assert not clip.is_clear
    assert clip.ratio == pytest.approx(1.0, abs=0.15)
    assert (warmup.value, warmup.baseline, warmup.num_pairs) == (100, 0, 2)
    assert (clip.value, clip.baseline) == (1.0, 0.0)


def test_only_contexts_with_a_frontier_inside_the_range_are_compared() -> None:
    """Beside one that is stable to the top, the range would be shown instead of the effect."""
    frontier = fit(table([*bracket(PLAIN, -4.0), *[(-2.0, CLIPPED, False)] * 60]), 0.1, RANGE)
    assert "stable_to_top" in set(frontier.table["verdict"])
    assert frontier.effects == ()


def test_what_all_contexts_share_cancels_out() -> None:
    """Draws that only move together show no effect, however wide each of them is."""
    common_N = np.random.default_rng(0).normal(-4.0, 1.0, 500)
    theta_NC = np.stack([common_N, common_N + 0.3], axis=1)
    (effect,) = effects_of([PLAIN, HALF], theta_NC, [True, True], 0.9)
    assert effect.ratio_low == pytest.approx(10**0.3)
    assert effect.ratio_high == pytest.approx(10**0.3)
    assert (effect.value, effect.baseline) == ("bf16", "fp32")


@pytest.mark.parametrize(
    ("norms", "baseline"), [((0.0, 1.0, 5.0), 0.0), ((0.5, 5.0, 1.0), 5.0)], ids=["no clip", "weakest clip"]
)
def test_the_baseline_is_the_weakest_setting(norms: tuple[float, ...], baseline: float) -> None:
    """No clipping, or the largest norm; the order in which contexts stand does not matter."""
    contexts = [PLAIN._replace(max_grad_norm=norm) for norm in norms]
    effects = effects_of(contexts, np.zeros((10, 3)) - 4.0, [True] * 3, 0.9)
    assert {effect.baseline for effect in effects} == {baseline}
    assert {effect.value for effect in effects} == set(norms) - {baseline}


def test_effects_stand_in_the_document() -> None:
    """For machines, as numbers."""
    document = fit(table(bracket(PLAIN, -4.0) + bracket(WARM, -3.6)), 0.1, RANGE).to_json()
    (effect,) = json.loads(json.dumps(document, allow_nan=False))["effects"]
    assert effect["factor"] == "warmup_steps"
    assert effect["ratio_low"] < effect["ratio"] < effect["ratio_high"]
