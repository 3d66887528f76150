"""The end of a run, on a terminal and in plain lines."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import make_answer, make_findings, make_island
from rich.console import Console

from stabsearch.frontier import Verdict
from stabsearch.records import Context
from stabsearch.report.bars import INSIDE, SAFE, frontier_bar
from stabsearch.report.findings import ContextRow
from stabsearch.report.terminal import print_summary, summary, summary_lines

FOLDER = Path("runs/quickstart")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(width: int = 80, **changes: object) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(summary(make_findings(30, **changes), FOLDER))  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_fits_eighty_columns_with_nothing_cut() -> None:
    """Every context of the quickstart is readable in full."""
    text = shown()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_what_each_setting_buys_stands_below_the_frontier() -> None:
    """A line per setting on a terminal, a sentence per setting in a log."""
    text = shown()
    assert text.index("frontier") < text.index("safe learning rate  ") < text.index("Files")
    lines = [line for line in summary_lines(make_findings(30), FOLDER) if line.startswith("effect: ")]
    assert [line.split()[1].rstrip(":") for line in lines] == ["bf16", "warmup", "clip"]


def test_a_contradicted_frontier_is_flagged() -> None:
    """In its row, and in a note that fits the window."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    console.print(summary(make_island(), FOLDER))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"fp32 · warmup 0 · clip 1 .* ⚠ \d+", text)
    assert re.search(r"^Note +⚠ In fp32", text, re.MULTILINE)
    assert "safe learning rate  " not in text


def test_says_why_the_search_ended() -> None:
    """As a note on a terminal, as a line in a log."""
    answer = make_answer(ended="THE END.")
    assert "Search  THE END." in shown(answer=answer)
    assert "search: THE END." in summary_lines(make_findings(8, answer=answer), FOLDER)


@pytest.mark.parametrize("verdict", Verdict)
def test_the_answer_comes_first(verdict: Verdict) -> None:
    """Table, files and next step follow it."""
    text = shown(answer=make_answer(verdict, sentence="THE ANSWER."))
    places = [text.index(word) for word in ("THE ANSWER.", "context", "Files", "Next")]
    assert places == sorted(places)


def test_a_file_gets_plain_lines() -> None:
    """No escape code, one fact per line."""
    stream = io.StringIO()
    print_summary(make_findings(30), FOLDER, stream)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().splitlines() == summary_lines(make_findings(30), FOLDER)


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR a terminal gets the table without colours."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colored, plain = Terminal(), Terminal()
    print_summary(make_findings(30), FOLDER, colored)
    monkeypatch.setenv("NO_COLOR", "1")
    print_summary(make_findings(30), FOLDER, plain)
    assert "\x1b[1;32m" in colored.getvalue()
    assert "32m" not in plain.getvalue()


def test_hostile_text_is_shown_as_text() -> None:
    """Neither markup of the terminal library nor escape codes act."""
    text = shown(answer=make_answer(sentence="[bold red]boom[/] \x1b[2J"))
    assert "[bold red]boom[/]" in text
    assert "\x1b[2J" not in text


rates = st.floats(1e-5, 1.0)


@given(st.tuples(rates, rates, rates).map(sorted), st.integers(4, 40))
def test_the_bar_marks_the_safe_rate_inside_the_interval(found: list[float], width: int) -> None:
    """Whatever the numbers: one mark, the interval unbroken around it, the width kept."""
    low, safe, high = found
    row = ContextRow(Context("fp32", 0, 0.0), safe, low, high, 9, 3, "bounded")
    bar = frontier_bar(row, (1e-5, 1.0), width)
    assert len(bar) == width
    assert bar.count(SAFE) == 1
    assert set(bar.strip("·")) <= {SAFE, *INSIDE}
