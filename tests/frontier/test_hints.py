"""Hints from ramps and sharpness: where a prior is placed, and when nothing is said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from stabsearch.frontier.hints import (
    RAMP_OFFSET,
    RAMP_SD,
    SHARPNESS_SD,
    PriorHint,
    ramp_hints,
    sharpness_hints,
)
from stabsearch.records import Outcome, OutcomeRules, Precision, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.ramp import as_ramp
from stabsearch.records.sharpness import Sharpness

RULES = OutcomeRules(smoothing=0.0)
HORIZON = 51  # a ramp from 1e-5 to 1 rises by a tenth of a decade per step


def ramp(precision: Precision, rises_at_step: int | None, outcome: Outcome = Outcome.DIVERGED) -> TrialRecord:
    plan = TrialPlan(0, Stage.SEARCH, 1e-3, 0, 1.0, precision, 1, 2, HORIZON)
    low = HORIZON if rises_at_step is None else rises_at_step - 1
    losses = [1.0] * low + [2.0] * (HORIZON - low)
    return TrialRecord(as_ramp(plan, 1e-5, 1.0), outcome, trace=StepTrace.thinned(losses, losses))


def test_a_precision_is_hinted_at_below_where_its_ramps_rose() -> None:
    """Several ramps are averaged on the log axis, each precision by itself."""
    full, half = ramp_hints([ramp("fp32", 32), ramp("bf16", 22), ramp("fp32", 42)], RULES)
    assert (full.precision, full.mean, full.sd) == ("fp32", pytest.approx(-1.5 - RAMP_OFFSET), RAMP_SD)
    assert (half.precision, half.mean, half.sd) == ("bf16", pytest.approx(-3.0 - RAMP_OFFSET), RAMP_SD)


def test_a_ramp_that_did_not_rise_hints_at_nothing() -> None:
    """It is no sign that the frontier lies high: a ramp passes each rate in a few steps."""
    assert ramp_hints([ramp("fp32", None, Outcome.STABLE)], RULES) == []
    (hint,) = ramp_hints([ramp("fp32", None), ramp("fp32", 32)], RULES)
    assert hint.mean == pytest.approx(-2.0 - RAMP_OFFSET)


def test_other_trials_are_no_ramps() -> None:
    """They are evidence, and are not taken twice."""
    record = ramp("fp32", 31)
    search = replace(record.plan, stage=Stage.SEARCH, ramp_from=None)
    assert ramp_hints([replace(record, plan=search)], RULES) == []


def test_a_bracket_hints_at_its_middle() -> None:
    """Half of its width is the uncertainty, and never less than the probe's own error."""
    wide = Sharpness(38e4, 38.0, 0.9, 20, 2e-5, 20)  # 1e-4 to 1
    hints = sharpness_hints(wide, ["fp32", "bf16"])
    assert [hint.precision for hint in hints] == ["fp32", "bf16"]
    assert [(hint.mean, hint.sd) for hint in hints] == [pytest.approx((-2.0, 2.0))] * 2
    (narrow,) = sharpness_hints(replace(wide, at_start=38.0), ["fp32"])
    assert (narrow.mean, narrow.sd) == (pytest.approx(0.0), SHARPNESS_SD)


def test_without_a_sharpness_there_is_no_hint() -> None:
    """Curvature that is negative or not finite says nothing."""
    assert sharpness_hints(Sharpness(None, None, 0.9, 20, 2e-5, 20), ["fp32"]) == []


@pytest.mark.parametrize(("mean", "sd"), [(math.nan, 1.0), (math.inf, 1.0), (0.0, 0.0), (0.0, -1.0),
                                          (0.0, math.nan), (0.0, math.inf)])  # fmt: skip
def test_a_hint_is_a_proper_prior(mean: float, sd: float) -> None:
    """A NaN must not reach the model."""
    with pytest.raises(ValueError, match="a hint is finite and has a width"):
        PriorHint("fp32", mean, sd)
