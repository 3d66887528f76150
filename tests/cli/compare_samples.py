"""Sweeps whose trials were played by a script, with a boundary that is known."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stabsearch.config import Sweep
from stabsearch.config.resolve import resolve
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.search.campaign import Campaign
from stabsearch.search.folder import SweepFolder
from stabsearch.sweep.prepared import Prepared
from stabsearch.sweep.running import open_study
from stabsearch.testing.records import breaks_above
from stabsearch.testing.scripted import ScriptedDriver

SEARCH: dict[str, Any] = {
    "learning_rate": {"low": 1e-4, "high": 1.0},
    "warmup": [0],
    "precision": ["fp32", "bf16"],
    "max_grad_norm": [1.0],
    "sampler": "random",
}


def sweep_of(home: Path, name: str, **parts: Any) -> Sweep:
    """A sweep of two contexts and 40 short trials; ``parts`` replace whole sections."""
    return Sweep.model_validate(
        {
            "name": name,
            "output_dir": str(home),
            "task": {"type": "quickstart"},
            "training": {"max_steps": 400, "per_device_train_batch_size": 4},
            "search": SEARCH,
            "budget": {"trials": 40, "horizon": 30},
            "risk": {"confirmation_trials": 0},
            "tracking": {"uri": "none"},
            **parts,
        }
    )


def played(
    home: Path,
    name: str,
    boundary: float | Callable[[Any], float] = 0.03,
    *,
    most: int | None = None,
    versions: dict[str, str] | None = None,
    **parts: Any,
) -> Path:
    """Return the folder of a sweep whose trials survive up to a boundary.

    Args:
        home: its output_dir.
        name: of the sweep.
        boundary: learning rate, or a function of the context.
        most: trials after which it was interrupted; None: it was finished.
        versions: of the libraries.
        parts: sections of the sweep that are otherwise.
    """
    sweep = sweep_of(home, name, **parts)
    prepared, folder = Prepared(sweep, resolve(sweep, 64)), SweepFolder(sweep)
    play, count = breaks_above(boundary), 0

    def limited(plan: TrialPlan) -> TrialRecord:
        nonlocal count
        if most is not None and count >= most:
            raise KeyboardInterrupt
        count += 1
        return play(plan)

    with folder.locked() as path:
        study = open_study(prepared, path)
        folder.write_resolved()
        study.keep_sweep(
            {**prepared.to_json(), "command": "stabsearch run", "versions": versions or {"torch": "2.13.0"}}
        )
        campaign = Campaign(
            study, sweep, prepared.resolved.contexts, prepared.stages, on_started=_ignore, on_finished=_ignore
        )
        with contextlib.suppress(KeyboardInterrupt):
            ScriptedDriver(limited).run(campaign)
            study.keep_end("FINISHED")
    return path


def _ignore(_: Any) -> None:
    """Nobody watches."""
