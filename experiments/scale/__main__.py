"""Simulate sweeps of growing size and write what they cost: ``python -m experiments.scale``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from experiments.frontier_benchmark.machine import machine
from experiments.scale import results
from experiments.scale.aside import measured_aside
from experiments.scale.curves import draw
from experiments.scale.setting import Setting
from experiments.scale.simulate import Sample, simulate
from experiments.scale.tables import write_tables
from experiments.scale.tracker import counted_requests

SIZES = (100, 300, 1_000, 3_000, 10_000)
"""Ended trials at which the driver is looked at."""
PARTS = ("sweep", "requests", "curves")
REQUEST_SIZES = (30, 100, 300)


def main() -> None:
    """Run what was asked for; each part writes its own file."""
    options = _options()
    for name in options.parts or PARTS:
        if name == "sweep":
            sweep(options.trials, options.slots, options.storage, options.out, options.dir)
        elif name == "requests":
            requests()
        else:
            draw()
            write_tables()


def sweep(trials: int, slots: int, storage: str, out: Path, directory: Path | None = None) -> None:
    """Simulate one sweep, and write its rows and what was lost or doubled."""
    setting = Setting(trials=trials, slots=slots, storage=storage)
    about: dict[str, Any] = {"storage": storage, "slots": slots, "machine": machine("mlflow")}
    further: dict[int, dict[str, Any]] = {}
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="stabsearch-scale-", dir=directory) as scratch:
        folder = Path(scratch) / "scale"

        def on_sample(sample: Sample) -> None:
            further[sample.ended] = measured_aside(setting, folder)
            samples.append(sample)
            rows = results.rows_of(samples, further, about)
            results.write(out, rows)
            print(
                {key: rows[-1][key] for key in ("ended", "driver_ms", "driver_s", "memory_mib")}, flush=True
            )

        found = simulate(
            setting, folder, sample_at=[size for size in SIZES if size <= trials], on_sample=on_sample
        )
    counts = {**about, "most in flight": found.most_in_flight, **found.counts()}
    results.write(out.with_name(out.stem.replace("results", "counts") + ".csv"), [counts])
    print(counts, flush=True)


def requests() -> None:
    """Count the requests to MLflow per trial."""
    with tempfile.TemporaryDirectory(prefix="stabsearch-scale-") as scratch:
        rows = [counted_requests(size, Path(scratch) / str(size)) for size in REQUEST_SIZES]
    results.write(results.REQUESTS, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.scale", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=[], help="(default: all)")
    parser.add_argument("--trials", type=int, default=SIZES[-1], help="(default: %(default)s)")
    parser.add_argument("--slots", type=int, default=1_000, help="trials at a time (default: %(default)s)")
    parser.add_argument("--storage", choices=("journal", "sqlite"), default="journal")
    parser.add_argument("--out", type=Path, default=results.RESULTS, help="CSV file of the rows")
    parser.add_argument("--dir", type=Path, help="where the study is kept meanwhile (default: TMPDIR)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
