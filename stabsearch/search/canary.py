"""The first trial of all: the conservative baseline that must stay sane before a sweep may spend anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stabsearch.records import Context, Stage, TrialPlan
from stabsearch.search.seeds import trial_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.config import Sweep

BASELINE_LEARNING_RATE = 2e-5  # the usual fine-tuning rate of BERT-like models (Devlin et al. 2019)


def baseline(sweep: Sweep, contexts: Sequence[Context]) -> tuple[Context, float]:
    """Return the conservative baseline: fp32, a usual learning rate, longest warmup, clip 1.

    Where the whole range lies below the usual rate, its low end is the gentler one. Of what else is
    searched it has the gentlest values there are: the least weight decay, the betas and epsilon most
    like Adam's usual ones, and the largest batch, which also has to fit into memory.
    """
    rates = sweep.search.learning_rate
    gentle = BASELINE_LEARNING_RATE if rates.high >= BASELINE_LEARNING_RATE else rates.low
    warmup = max(context.warmup_steps for context in contexts)
    basic = {"precision": "fp32", "warmup_steps": warmup, "max_grad_norm": 1.0}
    return Context.of({**basic, **sweep.search.gentle}), gentle


def canary_plan(sweep: Sweep, contexts: Sequence[Context], horizon: int) -> TrialPlan:
    """Return the canary as a sweep's first trial would be, without a study to record it."""
    context, learning_rate = baseline(sweep, contexts)
    model_seed, data_seed = trial_seeds(sweep.seed, 0)
    settings: dict[str, Any] = context.settings
    return TrialPlan(
        number=0, stage=Stage.CANARY, learning_rate=learning_rate, model_seed=model_seed, data_seed=data_seed,
        horizon=horizon, **settings,
    )  # fmt: skip
