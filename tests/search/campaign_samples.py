"""Studies in memory and campaigns on them, for the tests of the order of a sweep."""

from __future__ import annotations

from typing import Any

from optuna.storages import BaseStorage, InMemoryStorage

from stabsearch.config import Sweep
from stabsearch.frontier.confirming import Confirming
from stabsearch.records import OutcomeRules, TrialPlan, TrialRecord
from stabsearch.search.campaign import Campaign, Stages
from stabsearch.search.samplers import make_sampler, sampler_seed
from stabsearch.search.study import SweepStudy, search_space

HORIZON = 12


def sweep_of(trials: int = 12, sampler: str = "random", **parts: Any) -> Sweep:
    """Return a sweep over two precisions that spends its whole budget; parts are changed by keyword."""
    search = {
        "learning_rate": {"low": 1e-5, "high": 1.0},
        "warmup": [0],
        "max_grad_norm": [1.0],
        "precision": ["fp32", "bf16"],
        "sampler": sampler,
        "tolerance": None,
    }
    return Sweep.model_validate(
        {
            "name": "test",
            "task": {"type": "quickstart"},
            "training": {"max_steps": 40},
            "search": {**search, **parts.pop("search", {})},
            "budget": {"trials": trials, "horizon": HORIZON, **parts.pop("budget", {})},
            **parts,
        }
    )


def warmups_of(sweep: Sweep) -> tuple[int, ...]:
    """Return the warmups as steps; these samples use whole steps only."""
    return tuple(int(value) for value in sweep.search.warmup)


def study_of(sweep: Sweep, storage: BaseStorage | None = None) -> SweepStudy:
    """Return the study of a sweep, opened anew on its storage."""
    space = search_space(sweep.search, warmups_of(sweep))
    name = sweep.search.sampler

    def sampler_for(number: int, evidence: Any) -> Any:
        seed = sampler_seed(name, sweep.seed, number)
        return make_sampler(
            name, seed, max_failure_probability=0.1, search_space=space, evidence=evidence,
            goal=sweep.search.goal,
        )  # fmt: skip

    where = storage or InMemoryStorage()
    return SweepStudy(where, space, sampler_for, seed=sweep.seed, horizon=HORIZON, rules=OutcomeRules())


class Watched:
    """A campaign, and what it told its watchers."""

    def __init__(
        self, sweep: Sweep, storage: BaseStorage | None = None, required: int = 2, clock: Any = lambda: 0.0,
        lack: Any = lambda: None, **confirming: Any,
    ) -> None:  # fmt: skip
        from itertools import product

        from stabsearch.records import Context

        self.study = study_of(sweep, storage)
        parts = product(sweep.search.precision, warmups_of(sweep), sweep.search.max_grad_norm)
        self.started: list[TrialPlan] = []
        self.finished: list[TrialRecord] = []
        self.campaign = Campaign(
            self.study, sweep, [Context(*part) for part in parts],
            Stages(sweep.budget.trials, Confirming(required, **confirming)),
            on_started=self.started.append, on_finished=self.finished.append, clock=clock,
            lack=lack,
        )  # fmt: skip
