"""What the recorded grid shows: prints the tables of recorded/README.md.

python -m experiments.frontier_benchmark.recorded_summary

Shape letters: C contexts, L learning rates, S seeds.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from experiments.frontier_benchmark.recorded import RecordedWorld, read_table, worlds
from experiments.frontier_benchmark.world import Floats
from stabsearch.records import Context, Outcome

FINE_STEP = 0.001  # decades; chosen: far below the distance of recorded rates


def crossing(x_L: Floats, share_L: Floats, level: float) -> float:
    """Return the x at which the interpolated share first exceeds a level, NaN if it never does.

    >>> round(crossing(np.array([-3.0, -2.0]), np.array([0.0, 1.0]), 0.2), 2)
    -2.8
    """
    x = np.arange(x_L[0], x_L[-1] + FINE_STEP / 2, FINE_STEP)
    above = np.flatnonzero(np.interp(x, x_L, share_L) > level)
    return float(x[above[0]]) if above.size else np.nan


def frontiers() -> pd.DataFrame:
    """Return one row per context, one column per world: the true frontier, log10 of the rate."""
    return pd.DataFrame(
        {world.name: dict(zip(map(_label, world.contexts), world.truth_C, strict=True)) for world in worlds()}
    )


def _label(context: Context) -> str:
    return f"{context.precision}, warmup {context.warmup_steps}, clip {context.max_grad_norm:g}"


def endings() -> pd.DataFrame:
    """Return how many trials of each world ended in which way."""
    trials = read_table()
    ending = trials["outcome"].where(trials["outcome"] != Outcome.STABLE, trials["grade"])
    return ending.groupby([trials["model"], trials["data"]]).value_counts().unstack(fill_value=0)


def shapes() -> pd.DataFrame:
    """Return per world how steep and how monotone its boundaries are, over its contexts."""
    return pd.DataFrame({world.name: _shape(world) for world in worlds()}).T


def _shape(world: RecordedWorld) -> dict[str, str]:
    drop_C = largest_drop(world.share_CL)
    return {
        "20 % to 80 %, decades": _spread(widths(world)),
        "contexts that fall by 1 seed": f"{int((drop_C > 0).sum())} of {len(drop_C)}",
        "by 2 and more": f"{int((drop_C > 1 / world.failed_CLS.shape[2]).sum())} of {len(drop_C)}",
        "degraded before failed, decades": _spread(leads(world)),
    }


def widths(world: RecordedWorld) -> Floats:
    """Return per context how many decades lie between the first 20 % and the first 80 % failures."""
    return np.array([crossing(world.x_L, s_L, 0.8) - crossing(world.x_L, s_L, 0.2) for s_L in world.share_CL])


def leads(world: RecordedWorld) -> Floats:
    """Return per context how many decades below its median failure half the trials are degraded or worse."""
    worse_CL = (world.failed_CLS | world.degraded_CLS).mean(axis=2)
    return np.array(
        [
            crossing(world.x_L, failed_L, 0.5) - crossing(world.x_L, worse_L, 0.5)
            for failed_L, worse_L in zip(world.share_CL, worse_CL, strict=True)
        ]
    )


def largest_drop(share_CL: Floats) -> Floats:
    """Return per context how far a share lies below one at a smaller learning rate, at most.

    >>> largest_drop(np.array([[0.0, 0.4, 0.2, 1.0]])).round(2)
    array([0.2])
    """
    drop_C: Floats = (np.maximum.accumulate(share_CL, axis=1) - share_CL).max(axis=1)
    return drop_C


def _spread(values: Floats) -> str:
    return f"{np.nanmedian(values):.2f} ({np.nanmin(values):.2f} to {np.nanmax(values):.2f})"


def main() -> int:
    """Print the tables."""
    for title, frame in (("frontier", frontiers()), ("endings", endings()), ("shape", shapes())):
        print(f"\n{title}\n{frame.round(2).to_string()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
