"""Each measured cell as one row of a table: when it got where, and how safe it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

REACHED = (0.2, 0.15, 0.1)  # decades of mean absolute error
STAYS = 3  # checks; chosen: one lucky check is not an answer
COMPARED_AT = 60.0  # horizons
_STOP_ERROR, _STOP_CHECKS, _STOP_TRIALS_PER_CONTEXT = 0.1, 2, 3  # chosen: the tolerance of a default sweep


def table_of(results: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per cell; steps and costs in horizons, infinite where something never happened."""
    return pd.DataFrame([_row(result) for result in results])


def _row(result: dict[str, Any]) -> dict[str, Any]:
    checks = pd.DataFrame(result["checks"], dtype=float)
    return {
        **{name: result[name] for name in ("method", "family", "seed", "num_trials", "cost")},
        **_reached(checks),
        **_compared(checks, result),
        **_stopped(checks, result),
        **_certificates(result),
        "ms_per_suggestion": result["ms_per_suggestion"],
        "cpu_s": result["cpu_s"],
    }


def _reached(checks: pd.DataFrame) -> dict[str, float]:
    """Return steps and trials until the error stays below each level."""
    row = {}
    for level in REACHED:
        check = _first(checks, (checks["error"] <= level).to_numpy(), STAYS)
        row[f"steps_to_{level}"] = np.inf if check is None else check["cost"]
        row[f"trials_to_{level}"] = np.inf if check is None else check["num_trials"]
    return row


def _first(checks: pd.DataFrame, holds: np.ndarray, stays: int) -> pd.Series | None:
    """Return the first check from which a fact holds this many checks, or to the end; None if never."""
    for start in np.flatnonzero(holds):
        if holds[start : start + stays].all():
            return checks.iloc[start]
    return None


def _compared(checks: pd.DataFrame, result: dict[str, Any]) -> dict[str, float]:
    """Return the last check within the common budget; NaN when the run was not given as much."""
    names = ("error", "covered", "width", "recommended_failure", "regret", "flagged", "expected_error")
    within = checks[checks["cost"] <= COMPARED_AT]
    if result["budget"] < COMPARED_AT or within.empty:
        return dict.fromkeys((*names, "is_unsafe"), np.nan)
    last = within.iloc[-1]
    return {
        **{name: last[name] for name in names},
        "is_unsafe": _exceeds(last["recommended_failure"], result),
    }


def _stopped(checks: pd.DataFrame, result: dict[str, Any]) -> dict[str, float]:
    """Return where a run would have stopped by what it expects of itself, infinite if it would not."""
    enough = checks["num_trials"] >= _STOP_TRIALS_PER_CONTEXT * result["num_contexts"]
    holds = (enough & (checks["expected_error"] <= _STOP_ERROR)).to_numpy()
    pairs = np.flatnonzero(holds[1:] & holds[:-1]) + _STOP_CHECKS - 1
    if not pairs.size:
        return {"stop_cost": np.inf, "stop_error": np.nan, "stop_is_unsafe": np.nan}
    check = checks.iloc[pairs[0]]
    return {
        "stop_cost": check["cost"],
        "stop_error": check["error"],
        "stop_is_unsafe": _exceeds(check["recommended_failure"], result),
    }


def _certificates(result: dict[str, Any]) -> dict[str, float]:
    row: dict[str, float] = {}
    for at, certificate in result["certificates"].items():
        after = certificate["failure_after"]
        row |= {
            f"unsafe_before_{float(at):g}": _exceeds(certificate["failure_before"], result),
            f"unsafe_after_{float(at):g}": _exceeds(after, result),
            f"abstained_{float(at):g}": float(after is None),
            f"regret_after_{float(at):g}": np.nan if after is None else certificate["regret_after"],
            f"confirmation_cost_{float(at):g}": certificate["cost"],
        }
    return row


def _exceeds(failure: float | None, result: dict[str, Any]) -> float:
    """Return 1 when a configuration fails more often than it may; abstaining is safe."""
    return float(failure is not None and failure > result["risk"])


def reliability(results: Iterable[dict[str, Any]], part: str) -> pd.DataFrame:
    """Return per bin of the prediction: points, mean prediction, true failure probability."""
    binned = [result["calibration"][part] for result in results]
    count_B, predicted_B, true_B = (
        np.sum([each[name] for each in binned], axis=0) for name in ("count_B", "predicted_B", "true_B")
    )
    points_B = np.maximum(count_B, 1)
    return pd.DataFrame({"points": count_B, "predicted": predicted_B / points_B, "true": true_B / points_B})


def calibration_error(table: pd.DataFrame) -> float:
    """Return the expected calibration error: mean gap between prediction and truth, by points."""
    gap = (table["predicted"] - table["true"]).abs()
    return float((gap * table["points"]).sum() / table["points"].sum())


def interval(
    values: np.ndarray, statistic: Callable[..., Any], *, level: float = 0.9, resamples: int = 2000
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of a statistic over worlds; the same at every call."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(resamples, len(values)))]
    tail = (1 - level) / 2
    low, high = np.quantile(statistic(drawn, axis=1), [tail, 1 - tail], method="nearest")
    return float(low), float(high)
