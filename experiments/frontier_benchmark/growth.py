"""How the time per suggestion grows with trials and contexts, on one core."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial
from scipy.special import expit

from experiments.frontier_benchmark.loop import WORKERS
from experiments.frontier_benchmark.machine import machine
from experiments.frontier_benchmark.methods.optuna_methods import quiet_study
from experiments.frontier_benchmark.results import RUNS
from stabsearch.frontier.trials import CONTEXT_COLUMNS
from stabsearch.search import FrontierSampler

Space: TypeAlias = dict[str, BaseDistribution]

PATH = RUNS / "growth.json"
REPEATS = 5  # chosen: a median that one interruption does not move
_LOW, _HIGH, _SLOPE = -6.0, -2.0, 14.0  # decades, decades, nats per decade: a smooth world
_SIZES = (
    (12, 50),
    (12, 200),
    (12, 1000),
    (12, 5000),
    (24, 200),
    (24, 1000),
    (48, 200),
    (48, 1000),
    (48, 5000),
)
"""Contexts and finished trials."""

_LEVELS = {12: (3, 2, 2), 24: (3, 4, 2), 48: (3, 4, 4)}
_PRECISION, _WARMUP, _CLIP = ("fp32", "bf16", "fp16"), (0, 50, 100, 200), (0.0, 0.5, 1.0, 2.0)


def measure() -> None:
    """Write the median milliseconds per suggestion of every size."""
    rows = []
    for num_contexts, num_trials in _SIZES:
        rows.append(measured(num_contexts, num_trials))
        print(rows[-1], flush=True)
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1), encoding="utf-8")


def measured(num_contexts: int, num_trials: int) -> dict[str, Any]:
    """Return milliseconds of processor time per suggestion, median and worst of ``REPEATS``.

    ``steady`` follows one finished trial at a time, as in a sweep; ``first`` is what a new sampler
    takes for the same study, with the tables that depend on the space alone at hand already.
    """
    space = _space(num_contexts)
    study = quiet_study(FrontierSampler(seed=0, search_space=space))
    for trial in _finished(space, num_trials):
        study.add_trial(trial)
    running = [study.ask(space) for _ in range(WORKERS)]
    times_ms = []
    for _ in range(REPEATS):
        study.tell(running.pop(0), 1.0)
        trial, took_ms = _timed_ask(study, space)
        running.append(trial)
        times_ms.append(took_ms)
    study.sampler = FrontierSampler(seed=0, search_space=space)
    return {
        "contexts": num_contexts,
        "trials": num_trials,
        "steady_ms": statistics.median(times_ms),
        "worst_ms": max(times_ms),
        "first_ms": _timed_ask(study, space)[1],
    }


def _timed_ask(study: optuna.Study, space: Space) -> tuple[optuna.Trial, float]:
    began = time.process_time()
    trial = study.ask(space)
    return trial, 1000 * (time.process_time() - began)


def _space(num_contexts: int) -> Space:
    counts = _LEVELS[num_contexts]
    choices = zip(CONTEXT_COLUMNS, (_PRECISION, _WARMUP, _CLIP), counts, strict=True)
    return {
        "learning_rate": FloatDistribution(10.0**_LOW, 10.0**_HIGH, log=True),
        **{name: CategoricalDistribution(each[:count]) for name, each, count in choices},
    }


def _finished(space: Space, num_trials: int) -> Iterator[FrozenTrial]:
    """Yield finished trials around the boundary of every context in turn, as a search leaves them."""
    contexts = list(itertools.product(*(space[name].choices for name in CONTEXT_COLUMNS)))
    rng = np.random.default_rng(len(contexts) * 10_000 + num_trials)
    boundary_C = rng.normal(-4, 0.4, len(contexts))
    for context in np.arange(num_trials) % len(contexts):
        x = float(np.clip(boundary_C[context] + rng.normal(0, 0.4), _LOW, _HIGH))
        failed = rng.random() < expit(_SLOPE * (x - boundary_C[context]))
        params = dict(zip(CONTEXT_COLUMNS, contexts[context], strict=True), learning_rate=10.0**x)
        yield create_trial(params=params, distributions=space, value=0.0 if failed else 1.0)
