"""Run it: ``python -m experiments.speed_benchmark``; ``--help`` lists what can be changed."""

from __future__ import annotations

import argparse
import platform
from dataclasses import replace

import torch
import transformers

from experiments.speed_benchmark.measuring import measure
from experiments.speed_benchmark.methods.registry import METHODS
from experiments.speed_benchmark.setting import Setting
from experiments.speed_benchmark.tables import table

SWEEPS = {
    "tiny": Setting(trials=50, steps=40),
    "long": Setting(trials=12, steps=400, hidden_size=128, num_hidden_layers=2),
}
"""``tiny``: 50 trials of some tenths of a second; ``long``: trials of some ten seconds."""


def main() -> None:
    """Measure every method on every sweep, side by side, and print the tables."""
    parser = argparse.ArgumentParser(
        description="stabsearch beside bare loops, Hugging Face's search and Ray Tune"
    )
    parser.add_argument("--sweeps", nargs="*", default=list(SWEEPS), choices=list(SWEEPS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3, help="rounds; methods take turns in each")
    parser.add_argument("--trials", type=int, help="instead of the sweep's own number")
    parser.add_argument("--steps", type=int, help="instead of the sweep's own number")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
          f"transformers {transformers.__version__}, device {options.device}")  # fmt: skip
    for name in options.sweeps:
        changes = {"trials": options.trials, "steps": options.steps}
        setting = replace(
            SWEEPS[name], device=options.device, **{key: value for key, value in changes.items() if value}
        )
        rounds = [
            [measure(method, METHODS[method], setting) for method in options.methods]
            for _ in range(options.repeats)
        ]
        print(f"\n### {name}: {setting}\n\n{table(rounds, setting)}", flush=True)


if __name__ == "__main__":
    main()
