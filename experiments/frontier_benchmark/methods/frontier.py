"""stabsearch itself, through its public interface only: its Optuna sampler and its fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd

from experiments.frontier_benchmark.methods.base import Estimate, Point, Running
from experiments.frontier_benchmark.methods.optuna_methods import quiet_study, search_space
from experiments.frontier_benchmark.world import Floats, Trial, World
from stabsearch.frontier import Frontier, fit
from stabsearch.frontier.hints import PriorHint
from stabsearch.records import Context
from stabsearch.search import FrontierSampler

_SURVIVED, _DEGRADED, _FAILED = 1.0, 0.5, 0.0  # what FrontierSampler's documentation asks for


class FrontierSearcher:
    """Asks and tells an Optuna study with ``FrontierSampler``; running trials are RUNNING there.

    Args:
        world: what is searched.
        seed: of the sampler.
        is_graded: whether degraded survivors are told apart.
        reports_progress: whether running trials report how far they have come.
        hints: what is known beforehand.
    """

    is_finished = False

    def __init__(
        self, world: World, seed: int, *, is_graded: bool = True, reports_progress: bool = False,
        hints: Sequence[PriorHint] = (),
    ) -> None:  # fmt: skip
        self._world, self._is_graded, self._reports_progress = world, is_graded, reports_progress
        self._space = search_space(world)
        self._study = quiet_study(
            FrontierSampler(
                max_failure_probability=world.risk, seed=seed, search_space=self._space, hints=hints
            )
        )
        self._running: dict[int, optuna.Trial] = {}
        self._reported: dict[int, int] = {}

    def ask(self, running: Sequence[Running]) -> Point:
        """Return what the sampler proposes."""
        if self._reports_progress:
            self._report(running)
        trial = self._study.ask(self._space)
        self._running[trial.number] = trial
        params = trial.params
        context = Context(params["precision"], params["warmup_steps"], params["max_grad_norm"])
        return Point(list(self._world.contexts).index(context), math.log10(params["learning_rate"]))

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        """Tell the study how the trial ended."""
        survived = _DEGRADED if trial.degraded and self._is_graded else _SURVIVED
        self._study.tell(self._running.pop(number), _FAILED if trial.failed else survived)

    def _report(self, running: Sequence[Running]) -> None:
        for each in running:
            step, trial = int(each.alive * self._world.horizon), self._running[each.number]
            if step > self._reported.get(each.number, 0):
                trial.report(each.alive, step)
                self._reported[each.number] = step


class FrontierEstimator:
    """Fits all trials so far, as ``trials.csv`` would hold them."""

    learns_from_confirmation = True

    def __init__(self, world: World, *, is_graded: bool = True, hints: Sequence[PriorHint] = ()) -> None:
        self._world, self._is_graded, self._hints = world, is_graded, hints
        self._rows: list[dict[str, Any]] = []
        self._fitted: Frontier | None = None

    def learn(self, point: Point, trial: Trial) -> None:
        """Add a row to the table."""
        self._rows.append(
            {
                "learning_rate": 10.0**point.x,
                **self._world.contexts[point.context]._asdict(),
                "outcome": "diverged" if trial.failed else "stable",
                "grade": None if trial.failed else "degraded" if trial.degraded else "clean",
            }
        )
        self._fitted = None

    def estimate(self) -> Estimate:
        """Return the table's frontier and interval, with a number for every verdict."""
        frontier = self.frontier()
        table = frontier.table
        keys = zip(table["precision"], table["warmup_steps"], table["max_grad_norm"], strict=True)
        rows = {Context(*key): row for key, row in zip(keys, table.itertuples(), strict=True)}
        triples = np.array([self._triple(rows[context]) for context in self._world.contexts])
        expected_C = frontier.posterior.expected_error(frontier.searched)
        return Estimate(*triples.T, expected_C, table["non_monotone"].to_numpy(dtype=bool))

    def recommend(self) -> Point | None:
        """Return the recommended configuration, None when nothing is recommended."""
        recommendation = self.frontier().recommend()
        if recommendation is None:
            return None
        context = list(self._world.contexts).index(recommendation.context)
        return Point(context, math.log10(recommendation.learning_rate))

    def predict(self, context: int, x_N: Floats) -> Floats | None:
        """Return the predicted P(fail)."""
        configs = pd.DataFrame([self._world.contexts[context]] * len(x_N), columns=Context._fields)
        predicted = self.frontier().predict(configs.assign(learning_rate=10.0 ** np.asarray(x_N)))
        return predicted["failure_probability"].to_numpy(dtype=float)

    def _triple(self, row: Any) -> tuple[float, float, float]:
        """Return point, low and high; where the table names no safe rate: the interval's middle.

        A context without a stable region has its frontier at the range's lower end.
        """
        if row.verdict == "no_stable_region":
            return (self._world.low,) * 3
        low, high = math.log10(row.lr_low), math.log10(row.lr_high)
        point = math.log10(row.lr_safe) if row.lr_safe > 0 else (low + high) / 2
        return point, low, high

    def frontier(self) -> Frontier:
        """Return the fitted frontier."""
        if self._fitted is None:
            columns = ["learning_rate", *Context._fields, "outcome", "grade"]
            table = pd.DataFrame(self._rows, columns=columns if self._is_graded else columns[:-1])
            ends = 10.0**self._world.low, 10.0**self._world.high
            self._fitted = fit(
                table, self._world.risk, ends, contexts=self._world.contexts, hints=self._hints
            )
        return self._fitted
