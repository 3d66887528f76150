"""The published tables, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.frontier_benchmark.summary import calibration_error, interval, reliability

Entry = Callable[[pd.DataFrame], str]
"""From the rows of one method on one surface to what stands in the table."""


def by_family(rows: pd.DataFrame, families: Sequence[str], entry: Entry) -> str:
    """Return a table of methods by surfaces."""
    present = [family for family in families if family in set(rows["family"])]
    body = []
    for method in dict.fromkeys(rows["method"]):
        cells = rows[rows["method"] == method]
        texts = [cells[cells["family"] == family] for family in present]
        body.append([method, *("" if each.empty else entry(each) for each in texts)])
    return markdown(["method", *present], body)


def markdown(header: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def reached(level: float) -> Entry:
    """Return an entry: steps with interval, trials, and the share of worlds that got there."""

    def entry(cells: pd.DataFrame) -> str:
        steps = cells[f"steps_to_{level}"].to_numpy()
        share = f"({np.isfinite(steps).mean():.0%})"
        if np.isinf(np.median(steps)):
            return f"never {share}"
        trials = np.median(cells[f"trials_to_{level}"])
        low, high = interval(steps, np.median)
        return f"{np.median(steps):.0f} [{low:.0f}, {_or_never(high)}] / {trials:.0f} {share}"

    return entry


def median_of(column: str, digits: int = 2) -> Entry:
    """Return an entry: the median with its interval."""
    return _with_interval(column, np.median, f".{digits}f")


def share_of(column: str) -> Entry:
    """Return an entry: the mean with its interval, in percent."""
    return _with_interval(column, np.mean, ".0%")


def _with_interval(column: str, statistic: Callable[..., Any], form: str) -> Entry:
    def entry(cells: pd.DataFrame) -> str:
        values = cells[column].dropna().to_numpy(dtype=float)
        if not len(values):
            return "–"
        low, high = interval(values, statistic)
        return f"{statistic(values):{form}} [{low:{form}}, {high:{form}}]"

    return entry


def certified(at: str) -> Entry:
    """Return an entry: unsafe before and after confirmation, abstained, regret, confirmation's cost."""

    def entry(cells: pd.DataFrame) -> str:
        before, after, abstained = (
            cells[f"{name}_{at}"].mean() for name in ("unsafe_before", "unsafe_after", "abstained")
        )
        regret, cost = cells[f"regret_after_{at}"].median(), cells[f"confirmation_cost_{at}"].median()
        told = "–" if np.isnan(regret) else f"{regret:.2f}"
        return f"{before:.0%} → {after:.0%}; {abstained:.0%}; {told}; {cost:.0f}"

    return entry


def stopped(cells: pd.DataFrame) -> str:
    """Return when a method stops by itself, its error there, and how often it is unsafe there."""
    ended = cells[np.isfinite(cells["stop_cost"])]
    share = f"({len(ended) / len(cells):.0%})"
    if ended.empty:
        return f"never {share}"
    cost, error = ended["stop_cost"].median(), ended["stop_error"].median()
    return f"{cost:.0f} T {share}; {error:.2f}; {ended['stop_is_unsafe'].mean():.0%}"


def _or_never(steps: float) -> str:
    return f"{steps:.0f}" if np.isfinite(steps) else "never"


def calibration_summary(results: Sequence[dict[str, Any]], families: Sequence[str]) -> str:
    """Return Brier score and expected calibration error of each method that predicts."""
    body = []
    for method, family, cells in _predictions(results, families):
        numbers = []
        for part in ("everywhere", "near"):
            parts = [each["calibration"][part] for each in cells]
            brier = np.mean([each["brier"] for each in parts])
            floor = np.mean([each["unavoidable_brier"] for each in parts])
            error = calibration_error(reliability(cells, part))
            numbers.append(f"{error:.3f}; {brier:.3f} ({floor:.3f})")
        body.append([method, family, *numbers])
    return markdown(["method", "surface", "whole range", "within 0.5 decades of the frontier"], body)


def reliability_table(results: Sequence[dict[str, Any]], method: str, families: Sequence[str]) -> str:
    """Return predicted against true failure probability of one method, surfaces together, or nothing."""
    cells = [r for r in results if r["method"] == method and r["family"] in families and r["calibration"]]
    if not cells:
        return ""
    body = []
    parts = [reliability(cells, part) for part in ("everywhere", "near")]
    for index in range(len(parts[0])):
        name = f"{index / len(parts[0]):.1f} to {(index + 1) / len(parts[0]):.1f}"
        rows = [part.iloc[index] for part in parts]
        told = [f"{row['predicted']:.3f} / {row['true']:.3f} ({row['points']:.0f})" for row in rows]
        body.append([name, *told])
    return markdown(["predicted", "whole range", "within 0.5 decades of the frontier"], body)


def _predictions(
    results: Sequence[dict[str, Any]], families: Sequence[str]
) -> list[tuple[str, str, list[dict[str, Any]]]]:
    found = []
    for method in dict.fromkeys(result["method"] for result in results if result["calibration"]):
        of_method = [result for result in results if result["method"] == method and result["calibration"]]
        names = [family for family in families if any(r["family"] == family for r in of_method)]
        found += [(method, name, [r for r in of_method if r["family"] == name]) for name in names]
        found.append((method, "**all of these**", [r for r in of_method if r["family"] in names]))
    return [each for each in found if each[2]]
