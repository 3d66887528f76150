"""Name -> method."""

from __future__ import annotations

METHODS = {
    "bare loops": "bare",
    "Hugging Face, optuna": "hf_optuna",
    "Hugging Face, ray": "hf_ray",
    "Ray Tune function": "ray_function",
    "stabsearch": "stabsearch_sweep",
}
"""Name -> module, each with ``run(setting, folder)``."""
