"""Real fine-tunes, recorded once (recorded/README.md), replayed as worlds for the searches.

Shape letters: C contexts, L recorded learning rates, S seeds, X learning rates asked for. ``x`` is
log10 of the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.frontier_benchmark.recorded_problems import PRECISIONS
from experiments.frontier_benchmark.world import Floats, Trial, true_frontier
from stabsearch.records import Context, Grade, Outcome

TABLE = Path(__file__).parent / "recorded" / "trials.csv.gz"
_CONTEXT = ["precision", "warmup_steps", "max_grad_norm"]


@dataclass(frozen=True)
class RecordedWorld:
    """One model on one data set: every trial that a search asks for is one that was really run."""

    name: str
    contexts: tuple[Context, ...]
    x_L: Floats
    """The recorded learning rates, ascending and evenly spaced."""
    failed_CLS: NDArray[np.bool_]
    degraded_CLS: NDArray[np.bool_]
    steps_CLS: NDArray[np.int64]
    horizon: int
    risk: float = 0.1

    @property
    def low(self) -> float:
        """Return the lowest recorded x."""
        return float(self.x_L[0])

    @property
    def high(self) -> float:
        """Return the highest recorded x."""
        return float(self.x_L[-1])

    @cached_property
    def share_CL(self) -> Floats:
        """Return the share of seeds that failed."""
        share_CL: Floats = self.failed_CLS.mean(axis=2)
        return share_CL

    @cached_property
    def truth_C(self) -> Floats:
        """Return the frontier of the interpolated table, by the rule of the simulated worlds."""
        return np.array([self._true_frontier(context) for context in range(len(self.contexts))])

    def _true_frontier(self, context: int) -> float:
        return true_frontier(lambda x: self.failure_probability(context, x), self.low, self.high, self.risk)

    def failure_probability(self, context: int, x: Floats) -> Floats:
        """Return the failed share, linear between recorded rates and constant beyond them."""
        share_X: Floats = np.interp(x, self.x_L, self.share_CL[context])
        return share_X

    def sample(self, context: int, x: float, rng: np.random.Generator) -> Trial:
        """Return a recorded trial of one of the two nearest rates, drawn with replacement.

        The nearer rate is drawn more often, in such a way that the trial fails with exactly
        ``failure_probability``. Rate and seed are drawn anew each time.
        """
        position = float(np.interp(x, self.x_L, np.arange(len(self.x_L))))
        level = int(position) + int(rng.random() < position % 1)
        cell = context, level, int(rng.integers(self.failed_CLS.shape[2]))
        return Trial(bool(self.failed_CLS[cell]), bool(self.degraded_CLS[cell]), int(self.steps_CLS[cell]))


def read_table() -> pd.DataFrame:
    """Return one row per recorded trial; an empty grade belongs to a trial that failed."""
    return pd.read_csv(
        TABLE, keep_default_na=False, na_values={"first_bad_step": [""]}, dtype={"first_bad_step": "Int64"}
    )


@cache
def worlds() -> tuple[RecordedWorld, ...]:
    """Return the worlds of the recorded table, one per model and data set."""
    groups = read_table().groupby(["model", "data"], sort=True)
    return tuple(as_world(f"{model} on {data}", rows) for (model, data), rows in groups)


def as_world(name: str, rows: pd.DataFrame) -> RecordedWorld:
    """Return the world of one model on one data set; the order of the rows does not matter.

    Raises:
        ValueError: a combination of context, learning rate and seed is missing, or is there twice.
    """
    ordered = rows.assign(precision=pd.Categorical(rows["precision"], PRECISIONS)).sort_values(
        [*_CONTEXT, "learning_rate", "seed"]
    )
    contexts = [Context(*values) for values in ordered[_CONTEXT].drop_duplicates().itertuples(index=False)]
    rates, seeds = np.unique(ordered["learning_rate"]), np.unique(ordered["seed"])
    shape = len(contexts), len(rates), len(seeds)
    if len(ordered) != np.prod(shape) or ordered.duplicated([*_CONTEXT, "learning_rate", "seed"]).any():
        raise ValueError(f"{name}: {len(ordered)} trials do not fill a grid of {shape}")
    return RecordedWorld(
        name=name,
        contexts=tuple(contexts),
        x_L=np.log10(rates).round(4),  # the table holds six digits of each rate
        failed_CLS=_failed(ordered).reshape(shape),
        degraded_CLS=(ordered["grade"] == Grade.DEGRADED).to_numpy().reshape(shape),
        steps_CLS=ordered["steps"].to_numpy().reshape(shape),
        horizon=int(ordered["steps"].max()),
    )


def _failed(rows: pd.DataFrame) -> NDArray[np.bool_]:
    return np.array([Outcome(outcome).is_failure for outcome in rows["outcome"]])
