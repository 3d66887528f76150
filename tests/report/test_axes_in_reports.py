"""Reports of sweeps that search more than precision, warmup and clip norm."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from report_samples import contexts_of, make_answer, make_findings, make_sweep, make_trial
from rich.console import Console
from transformers import HfArgumentParser, TrainingArguments

from stabsearch.config import Sweep
from stabsearch.frontier.answer import Recommendation
from stabsearch.records import Context
from stabsearch.records.hyperparameters import FURTHER
from stabsearch.report.files import read_answer, write_reports
from stabsearch.report.findings import Findings
from stabsearch.report.frontier_svg import frontier_figures
from stabsearch.report.frontier_text import short_labels
from stabsearch.report.html import report_html
from stabsearch.report.layout import picture_of
from stabsearch.report.markdown import report_markdown
from stabsearch.report.plot import frontier_figure
from stabsearch.report.recommended import recommended_arguments
from stabsearch.report.terminal import summary, summary_lines

BASIC = {
    "learning_rate": {"low": 1e-5, "high": 1.0},
    "warmup": [0],
    "max_grad_norm": [1.0],
    "precision": ["bf16"],
}
BEST = Context("bf16", 0, 1.0, weight_decay=0.1, per_device_train_batch_size=32)


def sweep_of(**search: Any) -> Sweep:
    """Return a sweep that searches this."""
    return make_sweep(training={"max_steps": 2000}, search={**BASIC, **search})


def findings_of(num_trials: int = 60, best: Context | None = None, **search: Any) -> Findings:
    """Return findings of a sweep that searches this."""
    answer = (
        make_answer(recommendation=Recommendation(best, 2.5e-3, 0.03, 0.009, 0.08)) if best else make_answer()
    )
    return make_findings(num_trials, sweep_of(**search), answer=answer)


TWO = {"weight_decay": [0, 0.1], "per_device_train_batch_size": [8, 32]}
searches = st.fixed_dictionaries(
    {"warmup": st.sampled_from([[0], [0, 100]]), "max_grad_norm": st.sampled_from([[1.0], [0, 1.0]])},
    optional={row.key: st.sampled_from([[row.examples[0]], list(row.examples)]) for row in FURTHER},
)


@settings(max_examples=25)
@given(searches)
def test_every_context_has_a_place_of_its_own_whatever_is_searched(search: dict[str, Any]) -> None:
    """In one panel, not on top of another; what tells panels apart is in their titles."""
    findings = findings_of(1, **search)
    picture = picture_of(findings)
    shown = Counter(column.context for panel in picture.panels for column in panel.columns)
    assert shown == Counter(contexts_of(findings.sweep))
    assert len({panel.title for panel in picture.panels}) == len(picture.panels)
    for panel in picture.panels:
        edges = sorted((each.x - each.half_width, each.x + each.half_width) for each in panel.columns)
        assert all(right < left for (_, right), (left, _) in pairwise(edges))


def test_colours_stand_for_the_first_thing_that_differs() -> None:
    """The clip norm where there are several; otherwise no colour would say anything."""
    assert picture_of(findings_of()).colors == ("clip 1",)
    assert picture_of(findings_of(**TWO)).colors == ("wd 0", "wd 0.1")
    assert [panel.title for panel in picture_of(findings_of(**TWO)).panels] == [
        "bf16 · batch 8",
        "bf16 · batch 32",
    ]
    clipped = picture_of(findings_of(**TWO, max_grad_norm=[0, 1.0]))
    assert clipped.colors == ("no clipping", "clip 1")
    assert len(clipped.panels) == 4
    one = picture_of(findings_of(weight_decay=[0.1]))
    assert [panel.title for panel in one.panels] == ["bf16"]


def test_both_pictures_show_the_recommendation_once() -> None:
    """In the panel of its context, not in every panel of its precision."""
    findings = findings_of(best=BEST, **TWO)
    assert str(frontier_figures(findings)).count("recommended: bf16") == 1
    stars = [
        collection for axes in frontier_figure(findings).axes for collection in axes.collections
        if isinstance(collection, PathCollection) and list(collection.get_sizes()) == [150]
    ]  # fmt: skip
    assert len(stars) == 1


def test_titles_of_neighbouring_panels_do_not_touch() -> None:
    """However much is searched."""
    search = {row.key: list(row.examples) for row in FURTHER[:5]}
    figure = frontier_figure(findings_of(1, **search, precision=["fp32"]))
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.get_subplotspec()]  # all but the scale of colours
    titles = [(axes, title.get_window_extent()) for axes in panels for title in [axes._left_title]]
    for (axes, title), (following, other) in pairwise(titles):
        if axes.get_subplotspec().rowspan == following.get_subplotspec().rowspan:
            assert title.x1 < other.x0


@pytest.mark.parametrize("render", [report_html, report_markdown])
def test_every_report_names_the_values(render: Any) -> None:
    """In the frontier's table, what each buys, and the arguments to use."""
    text = render(findings_of(200, BEST, **TWO))
    assert "per precision, warmup, clip norm, weight_decay and per_device_train_batch_size" in text
    assert "bf16 · warmup 0 · clip 1 · wd 0.1 · batch 32" in text
    assert "against wd 0" in text or "| wd 0.1 | wd 0 |" in text
    assert "per_device_train_batch_size=32," in text
    assert "weight_decay=0.1," in text


def terminal_text(findings: Findings, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(summary(findings, Path("runs/x")))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_tells_contexts_apart_on_eighty_columns() -> None:
    """By what differs; no number is cut off."""
    text = terminal_text(findings_of(200, BEST, **TWO))
    lines = text.splitlines()
    for name in ("wd 0 · batch 8", "wd 0 · batch 32", "wd 0.1 · batch 8", "wd 0.1 · batch 32"):
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    search = {row.key: list(row.examples) for row in FURTHER[:2]}
    everything = terminal_text(findings_of(1, **search, warmup=[0, 100], max_grad_norm=[0, 1.0]))
    assert "…" not in everything.split("Note")[0]


def test_plain_lines_name_the_whole_context() -> None:
    """One fact each, easy to search in a log."""
    lines = summary_lines(findings_of(200, BEST, **TWO), Path("runs/x"))
    assert any(line.startswith("frontier: bf16 · warmup 0 · clip 1 · wd 0.1 · batch 32: ") for line in lines)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2]), min_size=1, unique=True), st.sampled_from([[16], [16, 32]]))
def test_short_labels_are_as_many_as_contexts(decays: list[float], batches: list[int]) -> None:
    """What is left out is what all have in common."""
    contexts = contexts_of(sweep_of(weight_decay=decays, per_device_train_batch_size=batches))
    assert len(set(short_labels(contexts).values())) == len(contexts)


def test_short_labels_are_whole_ones_without_further_axes() -> None:
    """As they were."""
    contexts = contexts_of(make_sweep())
    assert short_labels(contexts) == {context: context.label for context in contexts}


def test_recommended_arguments_carry_the_values(tmp_path: Path) -> None:
    """In place of the section training's defaults; TrainingArguments take them."""
    sweep = sweep_of(**{row.key: list(row.examples) for row in FURTHER})
    best = Context("fp32", 0, 1.0, **{row.name: row.examples[1] for row in FURTHER})
    arguments = recommended_arguments(sweep, Recommendation(best, 1e-3, 0.03, 0.01, 0.08), 2000)
    for row in FURTHER:
        assert arguments[row.name] == row.examples[1]
    (parsed,) = HfArgumentParser((TrainingArguments,)).parse_dict({**arguments, "output_dir": str(tmp_path)})
    assert {row.name: getattr(parsed, row.name) for row in FURTHER} == best.further


def test_files_read_back_what_was_searched(tmp_path: Path) -> None:
    """Answer and tables."""
    findings = findings_of(60, BEST, **TWO)
    parts = findings.sweep, findings.records, findings.frontier, findings.answer
    write_reports(tmp_path, *parts, command="", versions={})
    assert read_answer(tmp_path) == findings.answer
    header = (tmp_path / "frontier.csv").read_text().partition("\n")[0]
    start = "precision,warmup_steps,max_grad_norm,weight_decay,per_device_train_batch_size,lr_safe"
    assert header.startswith(start)


def test_tables_of_usual_sweeps_have_the_columns_they_had() -> None:
    """Nobody's script breaks."""
    assert list(make_findings(9).frontier.table.columns) == [
        "precision", "warmup_steps", "max_grad_norm", "lr_safe", "lr_low", "lr_high", "width_decades",
        "num_trials", "num_failed", "verdict", "non_monotone",
    ]  # fmt: skip


def test_trials_of_a_frontier_of_nothing_are_listed_all_the_same() -> None:
    """Contexts of trials alone are ordered too, also where only some have a further value."""
    records = (make_trial(0, weight_decay=0.1), make_trial(1), make_trial(2, weight_decay=0.0))
    findings = make_findings(1)
    empty = replace(findings, records=records, frontier=replace(findings.frontier, trials=()))
    assert [context.weight_decay for context in empty.contexts] == [None, 0.0, 0.1]
    assert picture_of(empty).colors == ("wd as in training", "wd 0", "wd 0.1")
