"""Small trial tables for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from hypothesis import strategies as st

from stabsearch.records import Context

RANGE = (1e-6, 1e-2)
FP32 = Context("fp32", 0, 1.0)
BF16 = Context("bf16", 100, 0.0)
COLUMNS = ["learning_rate", "precision", "warmup_steps", "max_grad_norm", "outcome"]

Row = tuple[float, Context, bool]


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return a trial table from (log10 learning rate, context, failed) rows."""
    data = [
        {"learning_rate": 10.0**x, **context.settings, "outcome": "diverged" if failed else "stable"}
        for x, context, failed in rows
    ]
    further = dict.fromkeys(name for _, context, _ in rows for name in context.further)
    return pd.DataFrame(data, columns=[*COLUMNS, *further])


def bracket(context: Context, boundary: float) -> list[Row]:
    """Return trials that enclose a boundary, log10 learning rate, closely: 12 below and 12 above."""
    steps = [0.1 * (i + 1) for i in range(12)]
    return [
        *((boundary - step, context, False) for step in steps),
        *((boundary + step, context, True) for step in steps),
    ]


def rows(max_size: int = 12) -> st.SearchStrategy[list[Row]]:
    """Return a strategy over trials in two contexts, inside ``RANGE`` and a little outside."""
    x = st.floats(-6.5, -1.5).map(lambda value: round(value, 3))
    return st.lists(st.tuples(x, st.sampled_from([FP32, BF16]), st.booleans()), max_size=max_size)
