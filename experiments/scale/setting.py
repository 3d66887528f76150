"""What is simulated: a sweep, its budget, and how many of its trials run at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stabsearch.config import Sweep
from stabsearch.config.resolve import resolve
from stabsearch.sweep.prepared import Prepared

NUM_ROWS = 64_000  # of the data that nobody reads; 2,000 steps of 32 rows
HORIZON = 200  # chosen: optimizer steps, the longest that ``horizon: auto`` holds a peak for


@dataclass(frozen=True)
class Setting:
    """One simulated sweep."""

    trials: int = 10_000
    slots: int = 1_000
    """Trials at a time."""
    seed: int = 0
    storage: str = "journal"
    """``journal`` or ``sqlite``."""
    loss_share: float = 0.01
    """Share of starts whose worker goes away."""
    median_s: float = 60.0
    """Seconds that a whole trial takes, as a median."""

    def url(self, folder: Path) -> str | None:
        """Return the study's database, None for the journal."""
        return f"sqlite:///{folder / 'study.db'}" if self.storage == "sqlite" else None

    def prepared(self, folder: Path) -> Prepared:
        """Return the sweep as ``stabsearch run`` has it before its first trial, but for data and model."""
        parts: dict[str, Any] = {
            "name": folder.name,
            "output_dir": str(folder.parent),
            "seed": self.seed,
            "task": {"type": "quickstart"},
            "training": {"max_steps": 2_000},
            "search": {
                "learning_rate": {"low": 1e-6, "high": 1e-1},
                "warmup": [0, 50],
                "max_grad_norm": [0.0, 1.0],
                "precision": ["fp32", "bf16", "fp16"],
                "tolerance": 1e-3,  # the rule is asked after every trial, and never ends the search
            },
            "budget": {"trials": self.trials, "horizon": HORIZON},
            "study": {"storage": self.url(folder)},
            "tracking": {"uri": "none"},
        }
        sweep = Sweep.model_validate(parts)
        return Prepared(sweep, resolve(sweep, NUM_ROWS))
