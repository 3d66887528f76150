"""Requests to MLflow per trial, counted where the tracker's runs are delivered, on an SQLite store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from experiments.scale.setting import HORIZON, Setting
from experiments.scale.world import World
from stabsearch.records import Context, Stage, TrialPlan, TrialRecord
from stabsearch.tracking.children import Children
from stabsearch.tracking.experiment import connect, find_experiment
from stabsearch.tracking.layout import child_run
from stabsearch.tracking.parent import Parent

SWEEP_ID = "scale"


class CountingClient:
    """An MLflow client that counts what it is asked: of a server, each is at least one request."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self.counts: Counter[str] = Counter()
        """Calls by name; a batch of nothing is not sent, and not counted."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            is_empty = name == "log_batch" and not any(kwargs.get(k) for k in ("metrics", "params", "tags"))
            self.counts[name] += not is_empty
            return method(*args, **kwargs)

        return call


def counted_requests(trials: int, folder: Path) -> dict[str, Any]:
    """Return the requests, the time and the size of the store of a sweep of this many trials.

    Args:
        trials: how many finished trials are delivered, one after another as by the tracker's thread.
        folder: for the store; made.
    """
    folder.mkdir(parents=True)
    setting = Setting(trials=trials)
    sweep = setting.prepared(folder).sweep
    store = folder / "mlflow.db"
    client: Any = CountingClient(connect(f"sqlite:///{store}"))
    experiment_id = find_experiment(client, "scale", None)
    parent = Parent(client, experiment_id, sweep, SWEEP_ID)
    runs = [child_run(record, sweep.training, SWEEP_ID) for record in finished(setting, trials)]
    children = Children(client, experiment_id, parent.run_id, SWEEP_ID)
    beforehand = client.counts.total()
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    for run in runs:
        children.deliver(run)
    wall_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    during = client.counts.total() - beforehand
    again = Children(client, experiment_id, parent.run_id, SWEEP_ID)  # as ``close`` looks at everything anew
    for run in runs:
        again.deliver(run)
    return {
        "trials": trials,
        "requests_before": beforehand,
        "requests_per_trial": during / trials,
        "requests_of_close": client.counts.total() - beforehand - during,
        "wall_ms_per_trial": 1000 * wall_s / trials,
        "cpu_ms_per_trial": 1000 * cpu_s / trials,
        "points_per_trial": sum(len(run.points) for run in runs) / trials,
        "store_kib_per_trial": store.stat().st_size / 1024 / trials,
    }


def finished(setting: Setting, trials: int) -> list[TrialRecord]:
    """Return the records of trials over the whole range of learning rates, in one context."""
    world, context = World(setting.seed), Context("fp32", 0, 1.0)
    plans = [
        TrialPlan(
            number, Stage.SEARCH, 10 ** (-5 + 3 * number / trials), context.warmup_steps,
            context.max_grad_norm, "fp32", model_seed=number, data_seed=number, horizon=HORIZON,
        )
        for number in range(trials)
    ]  # fmt: skip
    return [world.record(plan, float(plan.number), plan.number + 60.0, plan.number) for plan in plans]
