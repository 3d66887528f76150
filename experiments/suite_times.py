"""Print how long the demo, the test suite and `stabsearch --help` take, against their targets.

python experiments/suite_times.py [--skip-suite]

Wall-clock seconds on an installed checkout, one run each (help: the median of seven). Machines differ and
are noisy: this is a report, not a test.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
TARGETS_S = {"help": 0.5, "demo": 240.0, "suite": 600.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skip-suite", action="store_true")
    options = parser.parse_args()
    report("help", statistics.median(seconds([BIN / "stabsearch", "--help"]) for _ in range(7)))
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path("experiments/quickstart.yaml")
        report("demo", seconds([BIN / "stabsearch", "run", sweep, "--set", f"output_dir={folder}"]))
    if not options.skip_suite:
        report("suite", seconds(["make", "test"]))


def seconds(command: list[object]) -> float:
    began = time.monotonic()
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return time.monotonic() - began


def report(name: str, took_s: float) -> None:
    verdict = "within" if took_s <= TARGETS_S[name] else "OVER"
    print(f"{name:<6} {took_s:7.2f} s, {verdict} its target of {TARGETS_S[name]:g} s", flush=True)


if __name__ == "__main__":
    main()
