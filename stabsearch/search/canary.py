"""The first trial of all: the conservative baseline that must stay sane before a sweep may spend anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.records import Context, Stage, TrialPlan
from stabsearch.search.seeds import trial_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.config import Sweep

BASELINE_LEARNING_RATE = 2e-5  # the usual fine-tuning rate of BERT-like models (Devlin et al. 2019)


def baseline(sweep: Sweep, contexts: Sequence[Context]) -> tuple[Context, float]:
    """Return the conservative baseline: fp32, a usual learning rate, longest warmup, clip 1.

    Where the whole range lies below the usual rate, its low end is the gentler one.
    """
    rates = sweep.search.learning_rate
    warmup = max(context.warmup_steps for context in contexts)
    gentle = BASELINE_LEARNING_RATE if rates.high >= BASELINE_LEARNING_RATE else rates.low
    return Context("fp32", warmup, 1.0), gentle


def canary_plan(sweep: Sweep, contexts: Sequence[Context], horizon: int) -> TrialPlan:
    """Return the canary as a sweep's first trial would be, without a study to record it."""
    context, learning_rate = baseline(sweep, contexts)
    model_seed, data_seed = trial_seeds(sweep.seed, 0)
    return TrialPlan(
        0, Stage.CANARY, learning_rate, context.warmup_steps, context.max_grad_norm, "fp32",
        model_seed, data_seed, horizon,
    )  # fmt: skip
