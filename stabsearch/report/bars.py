"""Learning rates drawn in a line of text."""

from __future__ import annotations

import math

from stabsearch.report.findings import ContextRow

OUTSIDE, UNSURE, INSIDE, SAFE = "·", "─", "━", "◆"


def bar_place(learning_rate: float, rate_range: tuple[float, float], width: int) -> int:
    """Return the cell, 0 to ``width - 1``, that a learning rate falls into on a log axis."""
    low, high = rate_range
    share = math.log(learning_rate / low) / math.log(high / low)
    return min(max(math.floor(share * width), 0), width - 1)


def frontier_bar(row: ContextRow, rate_range: tuple[float, float], width: int) -> str:
    """Return the searched range as dots, the credible interval as a line, the safe rate as a mark.

    The line is thin while there is not enough evidence to name a safe rate.
    """
    cells = [OUTSIDE] * width
    if row.num_trials and row.lr_low and row.lr_high:
        begin, end = (bar_place(rate, rate_range, width) for rate in (row.lr_low, row.lr_high))
        cells[begin : end + 1] = [INSIDE if row.lr_safe else UNSURE] * (end + 1 - begin)
    if row.lr_safe:
        cells[bar_place(row.lr_safe, rate_range, width)] = SAFE
    return "".join(cells)
