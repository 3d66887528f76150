"""What notebooks show."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from report_samples import contexts_of, make_answer, make_findings, make_frontier, make_search, make_sweep

import stabsearch
from stabsearch.frontier import fit
from stabsearch.records.frame import trials_frame
from stabsearch.report.findings import Findings
from stabsearch.report.notebook import result_html
from stabsearch.sweep import SweepResult

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Elements(HTMLParser):
    """The elements of a fragment, with their attributes."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(fragment)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def shown(findings: Findings) -> SweepResult:
    frontier = findings.frontier.table
    return SweepResult(findings, trials_frame(findings.records), frontier, None, Path("runs/x"))


def test_a_result_shows_answer_picture_and_every_context() -> None:
    findings = make_findings(60)
    fragment = shown(findings)._repr_html_()
    assert findings.answer.sentence.split(":")[0] in fragment
    assert "Next: " in fragment
    (image,) = [attrs for tag, attrs in Elements(fragment).found if tag == "img"]
    source = image["src"] or ""
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    for row in findings.rows:
        assert row.context.label in (image["alt"] or "")
        assert f">{row.context.label}</th>" in fragment


def test_it_loads_and_runs_nothing_whatever_a_sweep_is_called() -> None:
    """Notebooks trust what a result says of itself."""
    findings = make_findings(20, answer=make_answer(sentence=HOSTILE))
    found = Elements(result_html(findings)).found
    assert {tag for tag, _ in found}.isdisjoint({"script", "style", "link", "iframe", "a"})
    assert not [name for _, attrs in found for name in attrs if name.startswith("on")]
    assert [attrs["src"][:15] for tag, attrs in found if tag == "img"] == ["data:image/png;"]


def test_a_result_without_a_frontier_has_words_instead() -> None:
    nothing = fit(trials_frame([]), 0.1, (1e-5, 1.0), 0.9, [])
    fragment = result_html(make_findings(0, frontier=nothing))
    assert "No context has a frontier yet." in fragment
    assert "<img" not in fragment


def test_one_call_plots(tmp_path: Path) -> None:
    """A figure of its own: pyplot would show it a second time."""
    figure = shown(make_findings(20)).plot()
    figure.savefig(tmp_path / "mine.svg")
    assert (tmp_path / "mine.svg").read_text().lstrip().startswith("<?xml")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("num_trials", [0, 60])
def test_a_frontier_shows_its_table(num_trials: int) -> None:
    """One row per context, and what it is a table of."""
    sweep = make_sweep()
    fragment = make_frontier(sweep, make_search(sweep, num_trials))._repr_html_()
    assert "failure probability is at most 0.1; lr_low, lr_high: 90 % credible interval" in fragment
    assert fragment.count("<tr") == 1 + len(contexts_of(sweep))
    assert re.search(r"<th>lr_safe</th>", fragment)


def test_a_plot_shows_itself_without_pyplot() -> None:
    """As a picture, not as the name of its class; also once it was changed."""
    figure = shown(make_findings(20)).plot()
    figure.set_size_inches(3, 2)
    picture = figure._repr_png_()  # type: ignore[attr-defined]
    assert picture.startswith(b"\x89PNG")


def test_a_result_is_one_line_where_nothing_is_drawn() -> None:
    """Not the hundreds of lines of its trials."""
    said = repr(shown(make_findings(20)))
    assert said.startswith("<SweepResult quickstart, ")
    assert "\n" not in said
    assert len(said) < 500


def test_a_frontier_alone_is_drawn_in_one_call() -> None:
    """Also one that was fitted to a table of one's own, with nothing of a sweep around it."""
    sweep = make_sweep()
    records = make_search(sweep, 80)
    figure = stabsearch.plot_frontier(make_frontier(sweep, records))
    counted = sum(row.num_trials for row in make_frontier(sweep, records).rows)
    assert figure.get_suptitle().endswith(f"· {counted} trials")
    assert {axes.get_title(loc="left") for axes in figure.axes} >= {"fp32", "bf16"}
    assert all(axes.images or axes.collections for axes in figure.axes if axes.get_title(loc="left"))
    few = pd.DataFrame({
        "learning_rate": [1e-4], "precision": ["fp32"], "warmup_steps": [0], "max_grad_norm": [1.0],
        "outcome": ["stable"],
    })  # fmt: skip
    assert stabsearch.plot_frontier(fit(few, 0.1, (1e-5, 1.0))).get_suptitle().endswith("· 1 trial")
