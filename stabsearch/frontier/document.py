"""The frontier as a strict JSON document that people can read and machines can restore exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from stabsearch.frontier.effects import Effect
from stabsearch.frontier.evidence import Result, Tally
from stabsearch.frontier.hints import PriorHint, hint_from_json
from stabsearch.frontier.row import FrontierRow
from stabsearch.frontier.trials import ContextTrials
from stabsearch.records import Context

FRONTIER_VERSION = 3
READABLE_VERSIONS = frozenset({2, FRONTIER_VERSION})
"""Version 2 knew no contexts beside precision, warmup and clip norm."""


def encode(
    max_failure_probability: float,
    confidence: float,
    learning_rate_range: tuple[float, float],
    trials: Sequence[ContextTrials],
    rows: Sequence[FrontierRow],
    effects: Sequence[Effect],
    hints: Sequence[PriorHint],
) -> dict[str, Any]:
    """Return the document: settings, one entry per context with its row and evidence, and effects."""
    return {
        "version": FRONTIER_VERSION,
        "max_failure_probability": max_failure_probability,
        "confidence": confidence,
        "learning_rate_range": list(learning_rate_range),
        "contexts": [
            {**_strict(row.as_dict()), "num_learned": each.num_learned, "evidence": _evidence(each)}
            for each, row in zip(trials, rows, strict=True)
        ],
        "effects": [asdict(effect) for effect in effects],
        "prior_hints": [asdict(hint) for hint in hints],
    }


def decode(
    data: Mapping[str, Any],
) -> tuple[float, float, tuple[float, float], tuple[ContextTrials, ...], tuple[PriorHint, ...]]:
    """Return settings and evidence; the table's numbers are computed from them again.

    Raises:
        ValueError: written by a version this one does not read.
    """
    if data.get("version") not in READABLE_VERSIONS:
        known = " and ".join(map(str, sorted(READABLE_VERSIONS)))
        raise ValueError(f"frontier of version {data.get('version')!r}, this reads {known}")
    low, high = data["learning_rate_range"]
    trials = tuple(_trials(entry) for entry in data["contexts"])
    hints = tuple(map(hint_from_json, data["prior_hints"]))
    return data["max_failure_probability"], data["confidence"], (low, high), trials, hints


def _evidence(trials: ContextTrials) -> list[dict[str, Any]]:
    return [
        {
            "log10_learning_rate": tally.x,
            "survived": tally.survived,
            "failed": tally.failed,
            "clean": tally.counts[Result.CLEAN],
            "degraded": tally.counts[Result.DEGRADED],
            "alive_for": list(tally.alive),
        }
        for tally in trials.evidence
    ]


def _tally(point: Mapping[str, Any]) -> Tally:
    clean, degraded = point["clean"], point["degraded"]
    counts = (point["failed"], point["survived"] - clean - degraded, clean, degraded)
    return Tally(point["log10_learning_rate"], counts, tuple(point["alive_for"]))


def _trials(entry: Mapping[str, Any]) -> ContextTrials:
    return ContextTrials(Context.of(entry), tuple(map(_tally, entry["evidence"])), entry["num_learned"])


def _strict(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with None for NaN: JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }
