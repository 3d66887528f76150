"""What the trials of a study prove, in the sampler's terms."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from stabsearch.frontier.evidence import Result

SURVIVED, DEGRADED, FAILED = 1.0, 0.5, 0.0
"""What an objective returns: survived, survived but degraded, failed because of its hyperparameters."""

EvidenceSource = Callable[[Sequence[FrozenTrial]], Sequence[float | None]]
"""From finished trials to one value each: ``SURVIVED``, ``DEGRADED``, ``FAILED``, or None, no evidence."""

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_RESULTS = {SURVIVED: Result.CLEAN, DEGRADED: Result.DEGRADED, FAILED: Result.FAILED}


def proven(study: Study, evidence: EvidenceSource | None) -> list[tuple[FrozenTrial, Result]]:
    """Return every trial that proves something, and what, in trial order.

    PRUNED counts as failed, FAIL proves nothing. ``evidence``, when given, replaces both the values
    and that rule for COMPLETE and PRUNED trials.

    Raises:
        ValueError: ``evidence`` gave a value that has no meaning, or the wrong number of them.
    """
    trials = study.get_trials(deepcopy=False, states=_FINISHED)
    if evidence is not None:
        values = list(evidence(trials))
        meaningless = [v for v in values if v is not None and v not in {SURVIVED, DEGRADED, FAILED}]
        if meaningless:
            raise ValueError(f"evidence gave {meaningless[0]!r}; allowed: 1.0, 0.5, 0.0 or None")
    else:
        values = [FAILED if trial.state is TrialState.PRUNED else trial.value for trial in trials]
        values = _meaningful(trials, values)
    return [(t, _RESULTS[v]) for t, v in zip(trials, values, strict=True) if v is not None]


def running(study: Study, but: FrozenTrial) -> list[FrozenTrial]:
    """Return the trials whose outcome is not known yet, in trial order."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [trial for trial in trials if trial.number != but.number]


def alive_for(trial: FrozenTrial) -> float:
    """Return the share of its horizon that a running trial has survived: its latest report, 0 to 1."""
    if not trial.intermediate_values:
        return 0.0
    latest = trial.intermediate_values[max(trial.intermediate_values)]
    return float(latest) if 0 <= latest <= 1 else 0.0


def _meaningful(trials: Sequence[FrozenTrial], values: Sequence[float | None]) -> list[float | None]:
    """Return the values with None for those that say nothing about stability, with one warning for all."""
    foreign = [(trial, value) for trial, value in zip(trials, values, strict=True) if value not in _RESULTS]
    if foreign:
        trial, value = foreign[0]
        others = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        warnings.warn(
            f"trial {trial.number} returned {value}, which says nothing about stability{others}: "
            "an objective for FrontierSampler returns 1.0 (survived), 0.5 (survived, degraded) or "
            "0.0 (failed)",
            stacklevel=2,
        )
    return [value if value in _RESULTS else None for value in values]
