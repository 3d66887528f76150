"""A frontier with known boundaries, as the folder of a finished sweep."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from stabsearch.config import Sweep
from stabsearch.config.write import resolved_text
from stabsearch.frontier import Frontier, fit
from stabsearch.frontier.answer import Answer, Verdict
from stabsearch.records import Context
from stabsearch.report.files import answer_to_json

RANGE = (1e-5, 1e-1)
BOUNDARIES = {
    Context("fp32", 0, 1.0): -3.2,
    Context("fp32", 100, 1.0): -2.2,
    Context("bf16", 0, 1.0): -3.6,
    Context("bf16", 100, 1.0): -2.6,
}
"""Log10 learning rate at which training begins to break, per context."""
UNSEEN = Context("fp16", 100, 1.0)
"""Declared, and never tried."""


@cache
def make_frontier() -> Frontier:
    """Return a frontier bracketed closely in four contexts, and a fifth without a trial."""
    steps = [0.1 * (i + 1) for i in range(12)]
    rows = [
        {"learning_rate": 10 ** (boundary + side * step), **context.settings, "outcome": outcome}
        for context, boundary in BOUNDARIES.items()
        for step in steps
        for side, outcome in ((-1, "stable"), (1, "diverged"))
    ]
    return fit(pd.DataFrame(rows), 0.1, RANGE, 0.9, (*BOUNDARIES, UNSEEN))


def make_sweep(**parts: Any) -> Sweep:
    """Return the sweep that the frontier is taken to come from; ``parts`` replace whole sections."""
    sections = {
        "name": "gated",
        "task": {"type": "quickstart"},
        "training": {"max_steps": 2000, "per_device_train_batch_size": 16, "weight_decay": 0.01},
        "search": {
            "learning_rate": {"low": RANGE[0], "high": RANGE[1]},
            "warmup": [0, 100],
            "max_grad_norm": [1.0],
            "precision": ["fp32", "bf16", "fp16"],
        },
        "budget": {"trials": 60, "horizon": 300},
        **parts,
    }
    return Sweep.model_validate(sections)


def write_folder(
    folder: Path,
    frontier: Frontier | None = None,
    verdict: Verdict = Verdict.UNCONFIRMED,
    sweep: Sweep | None = None,
) -> Path:
    """Return a folder with frontier.json and sweep.resolved.yaml, as a sweep leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    answer = Answer(verdict, "said", None, None, horizon=300, max_steps=2000)
    frontier = frontier or make_frontier()
    content = {"version": 1, "answer": answer_to_json(answer), "frontier": frontier.to_json()}
    (folder / "frontier.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "sweep.resolved.yaml").write_text(resolved_text(sweep or make_sweep()), encoding="utf-8")
    return folder


LIKE_THE_SWEEP = {"per_device_train_batch_size": 16, "weight_decay": 0.01, "max_steps": 2000}
"""What every trial had in common, as TrainingArguments."""
