"""Names that users read: runs, contexts, keys; and what each outcome proves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.errors import ExitCode, UserError, dotted
from stabsearch.records import Context, Outcome, Stage, TrialPlan

PLAN = TrialPlan(0, Stage.SEARCH, 3e-4, 100, 1.0, "bf16", 0, 0, 120)


@pytest.mark.parametrize(
    ("rate", "name"),
    [
        (3e-4, "lr3e-4_w100_c1_bf16_s0"),
        (1.25e-5, "lr1.25e-5_w100_c1_bf16_s0"),
        (9.999e-4, "lr1e-3_w100_c1_bf16_s0"),
        (1.0, "lr1e0_w100_c1_bf16_s0"),
        (25.0, "lr2.5e1_w100_c1_bf16_s0"),
    ],
)
def test_a_run_name_is_readable(rate: float, name: str) -> None:
    """Three digits of the rate, no zeros that say nothing."""
    assert replace(PLAN, learning_rate=rate).run_name == name


def test_a_run_name_tells_no_clipping_from_little() -> None:
    """0 is no clipping."""
    assert replace(PLAN, max_grad_norm=0.0, number=7).run_name == "lr3e-4_w100_c0_bf16_s7"
    assert replace(PLAN, max_grad_norm=0.25).run_name == "lr3e-4_w100_c0.25_bf16_s0"


@given(st.floats(1e-9, 1e3))
def test_a_run_name_keeps_the_rate_within_half_a_percent(rate: float) -> None:
    """Rounded for people, never misleading."""
    name = replace(PLAN, learning_rate=rate).run_name
    assert float(name.removeprefix("lr").split("_")[0]) == pytest.approx(rate, rel=5.1e-3)


def test_a_context_says_all_but_the_rate() -> None:
    """As tables and pictures show it."""
    assert Context("fp32", 0, 0.5).label == "fp32 · warmup 0 · clip 0.5"
    assert Context("bf16", 100, 0.0).label == "bf16 · warmup 100 · no clip"
    assert PLAN.context == Context("bf16", 100, 1.0)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ((), ""),
        (("name",), "name"),
        (("search", "precision", 2), "search.precision[2]"),
        (("a", 0, 1, "b"), "a[0][1].b"),
    ],
)
def test_keys_are_written_as_users_write_them(key: tuple[str | int, ...], text: str) -> None:
    """Dots and brackets."""
    assert dotted(key) == text


def test_an_error_is_two_lines_and_keeps_its_exit_code_at_its_place() -> None:
    """Where, what, and the way out."""
    error = UserError("too hot", "cool it", key=("a",), exit_code=ExitCode.AGAINST).at("x.yaml:3: a")
    assert str(error) == "x.yaml:3: a: too hot\n  cool it"
    assert error.exit_code is ExitCode.AGAINST
    assert str(UserError("alone")) == "alone"


@pytest.mark.parametrize("outcome", Outcome)
def test_only_hyperparameters_move_the_frontier(outcome: Outcome) -> None:
    """A lost node or a bad row proves nothing about stability."""
    against = {Outcome.NONFINITE, Outcome.DIVERGED, Outcome.COLLAPSED, Outcome.SCALE_FLOOR}
    assert outcome.is_failure == (outcome in against)
    assert outcome.is_evidence == (outcome in {*against, Outcome.STABLE})
