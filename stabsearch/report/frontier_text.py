"""The frontier as a table of text: a bar per context, in as many columns and lines as there is room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stabsearch.records import Context
from stabsearch.report.bars import frontier_bar
from stabsearch.report.findings import ContextRow
from stabsearch.report.remarks import FLAG
from stabsearch.report.wording import CONTEXT_VERDICTS, NONE, counted, rate, rate_interval

USUAL_WIDTH = 80
NARROW_WIDTH = 72  # below it there is no room for counts
WIDE_WIDTH = 104  # from it on there is room for the interval in numbers
BAR_WIDTHS = (12, 48)  # chosen: a cell is half a decade to a tenth of one in the usual range
LABEL_WIDTH = 34  # chosen: the longest usual context and its flag; longer ones are cut, or take two lines
_RANK = {"stable_to_top": 0, "bounded": 0, "not_enough_evidence": 1, "no_stable_region": 2}


def frontier_table(
    rows: Sequence[ContextRow],
    rate_range: tuple[float, float],
    *,
    width: int = USUAL_WIDTH,
    max_lines: int | None = None,
    best: Context | None = None,
) -> RenderableType:
    """Return the frontier as a table with one bar per context.

    Args:
        rows: the contexts.
        rate_range: lowest and highest learning rate, the two ends of each bar.
        width: columns of the terminal.
        max_lines: lines of it; contexts that matter less are counted in one, and each has one line. None
            shows all, also labels that need two.
        best: the context that is recommended.
    """
    shown = rows if max_lines is None else those_that_matter(rows, best, max_lines - 1)
    labels = short_labels([row.context for row in rows])
    bar_width = _bar_width(width, max(len(labels[row.context]) for row in shown) if shown else 0)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("context", no_wrap=max_lines is not None, overflow="ellipsis")
    table.add_column(_range_head(rate_range, bar_width), no_wrap=True, min_width=bar_width)
    columns = _columns(width)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for row in shown:
        style = "bold" if row.context == best else ""
        cells = {
            "frontier": _safe(row), "interval": Text(rate_interval(row.lr_low, row.lr_high)),
            "trials": Text(str(row.num_trials)), "failed": Text(_failed(row)),
        }  # fmt: skip
        bar = _bar(row, rate_range, bar_width)
        table.add_row(Text(labels[row.context], style=style), bar, *(cells[name] for name in columns))
    return Group(table, _hidden(rows, shown)) if len(shown) < len(rows) else table


def num_lines(rows: Sequence[ContextRow]) -> int:
    """Return how many lines the whole table takes, its head included."""
    return 1 + len(rows)


def those_that_matter(
    rows: Sequence[ContextRow], best: Context | None, max_lines: int
) -> Sequence[ContextRow]:
    """Return the contexts that are worth the lines, in their order; one line is kept to count the others.

    The recommended one, then those with the highest safe rate, then those that are still open.
    """
    if len(rows) <= max_lines:
        return rows
    by_worth = sorted(
        rows,
        key=lambda row: (
            row.context != best,
            _RANK.get(row.verdict, 1),
            -(row.lr_safe or 0),
            -row.num_trials,
        ),
    )
    kept = {row.context for row in by_worth[: max(max_lines - 1, 0)]}
    return [row for row in rows if row.context in kept]


def short_labels(contexts: Sequence[Context]) -> dict[Context, str]:
    """Return the label of each context; where more than usual is searched, without what all have in common.

    >>> list(short_labels([Context("bf16", 0, 1.0, 0.1), Context("fp32", 0, 1.0, 0.1)]).values())
    ['bf16', 'fp32']
    """
    values = {name: {context.settings.get(name) for context in contexts} for name in Context._fields}
    apart = [name for name, found in values.items() if len(found) > 1]
    if not apart or not any(context.further for context in contexts):
        return {context: context.label for context in contexts}
    return {context: context.label_of(apart) for context in contexts}


def _columns(width: int) -> list[str]:
    interval = ["interval"] if width >= WIDE_WIDTH else []
    counts = ["trials", "failed"] if width >= NARROW_WIDTH else []
    return ["frontier", *interval, *counts]


def _bar_width(width: int, label_width: int) -> int:
    """Return how wide a bar may be, beside the other columns."""
    others = {"frontier": 8, "interval": 16, "trials": 6, "failed": 6}
    taken = min(label_width, LABEL_WIDTH) + 2 + sum(others[name] + 2 for name in _columns(width))
    least, most = BAR_WIDTHS
    return min(max(width - taken - 2, least), most)


def _range_head(rate_range: tuple[float, float], bar_width: int) -> Text:
    low, high = (f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e") for value in rate_range)
    return Text(low + high.rjust(bar_width - len(low)))


def _bar(row: ContextRow, rate_range: tuple[float, float], bar_width: int) -> Text:
    bar = Text(frontier_bar(row, rate_range, bar_width), style="dim")
    bar.highlight_regex("[╺━╸]+", "not dim cyan")
    bar.highlight_regex("◆", "not dim bold green")
    return bar


def _failed(row: ContextRow) -> str:
    return f"{FLAG} {row.num_failed}" if row.is_non_monotone else str(row.num_failed)


def _safe(row: ContextRow) -> Text:
    match row.verdict:
        case "not_enough_evidence":
            return Text("?", style="dim")
        case "no_stable_region":
            return Text("none", style="red")
        case "stable_to_top":
            return Text(f"≥ {rate(row.lr_safe)}", style="green")
    return Text(rate(row.lr_safe) if row.lr_safe else NONE, style="bold")


def _hidden(rows: Sequence[ContextRow], shown: Sequence[ContextRow]) -> Text:
    """Return how many contexts are not shown, and what is known of them."""
    kept = {row.context for row in shown}
    verdicts = Counter(row.verdict for row in rows if row.context not in kept)
    listed = ", ".join(f"{number} {CONTEXT_VERDICTS.get(name, name)}" for name, number in verdicts.items())
    text = f"… and {counted(verdicts.total(), 'more context')}: {listed}"
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")
