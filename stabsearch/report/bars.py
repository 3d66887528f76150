"""Learning rates, and how far something is, drawn in a line of text."""

from __future__ import annotations

import math

from stabsearch.report.findings import ContextRow

OUTSIDE, SAFE = "·", "◆"
INSIDE, UNSURE = ("╺", "━", "╸"), ("╶", "─", "╴")
"""Right half of a cell, whole cell, left half: with a safe rate known, and without."""
DONE, LEFT = "━", "─"


def bar_place(learning_rate: float, rate_range: tuple[float, float], width: int) -> int:
    """Return the cell, 0 to ``width - 1``, that a learning rate falls into on a log axis."""
    low, high = rate_range
    share = math.log(learning_rate / low) / math.log(high / low)
    return min(max(math.floor(share * width), 0), width - 1)


def frontier_bar(row: ContextRow, rate_range: tuple[float, float], width: int) -> str:
    """Return the searched range as dots, the credible interval as a line, the safe rate as a mark.

    The line ends at half a cell, and is thin while there is not enough evidence to name a safe rate.
    """
    cells = [OUTSIDE] * width
    if row.num_trials and row.lr_low and row.lr_high:
        begin, end = (bar_place(rate, rate_range, 2 * width) for rate in (row.lr_low, row.lr_high))
        right, whole, left = INSIDE if row.lr_safe else UNSURE
        cells[begin // 2 : end // 2 + 1] = [whole] * (end // 2 + 1 - begin // 2)
        if begin < end:
            cells[begin // 2] = right if begin % 2 else cells[begin // 2]
            cells[end // 2] = whole if end % 2 else left
    if row.lr_safe:
        cells[bar_place(row.lr_safe, rate_range, width)] = SAFE
    return "".join(cells)


def share_bar(done: int, total: int, width: int) -> tuple[str, str]:
    """Return what is done and what is left, drawn; together as wide as asked for.

    >>> "".join(share_bar(3, 4, 8))
    '━━━━━━──'
    """
    filled = min(width * done // total, width) if total else width
    return DONE * filled, LEFT * (width - filled)
