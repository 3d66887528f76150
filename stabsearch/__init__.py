"""Find how far a fine-tuning run's hyperparameters can be pushed before training breaks.

>>> import stabsearch
>>> stabsearch.run_sweep("sweep.yaml").recommended          # doctest: +SKIP
{'learning_rate': 0.0021, 'warmup_steps': 20, 'max_grad_norm': 1.0, 'bf16': True}
>>> trainer = stabsearch.watch(trainer)                     # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stabsearch.version import __version__

if TYPE_CHECKING:
    from stabsearch.config import Sweep
    from stabsearch.report.bare import plot_frontier
    from stabsearch.sweep import SweepResult, run_sweep
    from stabsearch.trial.watch import TrainingBroke, watch

__all__ = ["Sweep", "SweepResult", "TrainingBroke", "__version__", "plot_frontier", "run_sweep", "watch"]

_HOME = {
    "Sweep": "stabsearch.config",
    "SweepResult": "stabsearch.sweep",
    "plot_frontier": "stabsearch.report.bare",
    "run_sweep": "stabsearch.sweep",
    "TrainingBroke": "stabsearch.trial.watch",
    "watch": "stabsearch.trial.watch",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that the command line starts without torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'stabsearch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
