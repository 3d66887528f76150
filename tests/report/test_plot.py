"""The frontier as a PNG, and the layout that both pictures share."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import make_answer, make_findings, make_island, make_ramp, make_sweep, make_trial

from stabsearch.frontier import Verdict
from stabsearch.records import Outcome
from stabsearch.report.layout import OKABE_ITO, picture_of
from stabsearch.report.plot import SHAPES, frontier_figure, frontier_png
from stabsearch.report.remarks import BELOW

SIXTY = {
    "warmup": [0, 10, 20, 50, 100],
    "max_grad_norm": [0, 0.5, 1],
    "precision": ["fp32", "tf32", "bf16", "fp16"],
}


@pytest.mark.parametrize("num_trials", [0, 1, 40])
def test_is_a_picture_of_a_usable_size(num_trials: int) -> None:
    """Wide enough to print, whatever was run."""
    png = frontier_png(make_findings(num_trials, answer=make_answer(Verdict.NOT_ENOUGH_EVIDENCE)))
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    assert 1200 <= width <= 6000
    assert 600 <= height <= 6000


@pytest.mark.parametrize("search", [{}, {"warmup": [0], "max_grad_norm": [1]}, SIXTY], ids=["4", "2", "60"])
def test_the_legend_lies_inside_the_picture_and_off_the_panels(search: dict[str, list[object]]) -> None:
    """Nothing is cut off, and no point is hidden behind the legend."""
    figure = frontier_figure(make_findings(200, make_sweep(search={"warmup": [0, 100], **search})))
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= legend.y0
    assert all(legend.y1 <= axes.get_window_extent().y0 for axes in figure.axes)


def test_every_context_has_its_own_place() -> None:
    """Neighbouring columns of sixty contexts do not overlap."""
    picture = picture_of(make_findings(60, make_sweep(search=SIXTY)))
    assert sum(len(panel.columns) for panel in picture.panels) == 60
    for panel in picture.panels:
        edges = [(column.x - column.half_width, column.x + column.half_width) for column in panel.columns]
        ordered = sorted(edges)
        assert all(right < left for (_, right), (left, _) in pairwise(ordered))


@given(st.integers(0, 5000))
def test_a_trial_stands_inside_its_column(index: int) -> None:
    """The spread never moves a point over to a neighbour."""
    column = picture_of(make_findings(1)).panels[0].columns[0]
    assert abs(column.trial_x(index) - column.x) < column.half_width


def test_trials_outside_the_searched_range_are_shown() -> None:
    """The axis grows with what was run, such as a gentle canary."""
    picture = picture_of(make_findings(1, records=(make_trial(0, learning_rate=1e-8),)))
    assert picture.low < 1e-8


def test_a_ramp_is_no_point() -> None:
    """Its rate is no rate that was tried for itself."""
    picture = picture_of(make_findings(1, records=(make_trial(0), make_ramp(1))))
    shown = [
        trial.plan.number for panel in picture.panels for column in panel.columns for trial in column.trials
    ]
    assert shown == [0]


def test_trials_that_contradict_the_frontier_are_named_in_the_legend() -> None:
    """A ring where there is one, and no entry where there is none."""
    texts = [
        [text.get_text() for text in frontier_figure(findings).legends[0].get_texts()]
        for findings in (make_island(), make_findings(60))
    ]
    assert [BELOW in names for names in texts] == [True, False]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_shape(outcome: Outcome) -> None:
    """What is no evidence shares one shape; everything else has its own."""
    assert (outcome.value in SHAPES) == outcome.is_evidence


def test_colours_differ() -> None:
    """No two clip norms look alike until there are more than seven."""
    assert len(set(OKABE_ITO)) == 7
