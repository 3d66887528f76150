"""What a report costs: size, time to build, time until a browser can be used, what it asks for.

``python -m experiments.report_speed`` simulates a sweep per size, in memory of the study's own making.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from experiments.on_loopback.browser import Browser, chromium, visit
from experiments.sample_sweep.kinds import KINDS
from experiments.sample_sweep.sample import make_sample
from stabsearch.report.files import write_reports
from stabsearch.sweep.reading import read_sweep
from stabsearch.sweep.result import SweepResult

SIZES = (20, 100, 500)
VISITS = 3
READY = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
  const [entry] = performance.getEntriesByType("navigation");
  done({interactive: entry.domInteractive, complete: entry.domComplete, drawn: performance.now()});
})))"""


@dataclass(frozen=True)
class Cost:
    """What one report cost."""

    trials: int
    size_bytes: int
    build_cpu_s: float
    """Processor seconds of fitting nothing, and writing every file: HTML, Markdown, PNG, tables."""
    interactive_s: float
    """Wall seconds from the navigation until scripts have run and two frames are drawn; median."""
    errors: int
    requests: int
    """Beside the page itself."""


def main() -> None:
    """Print a row per size."""
    parser = argparse.ArgumentParser(prog="python -m experiments.report_speed", description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=SIZES, help="default: 20 100 500")
    parser.add_argument("--kind", choices=KINDS, default="confirmed", help="default: %(default)s")
    parser.add_argument("--folders", type=Path, nargs="*", help="sweeps to take instead of simulated ones")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        folders = options.folders or [
            _made(Path(place) / f"sample-{trials}", options.kind, trials) for trials in options.trials
        ]
        costs = [cost_of(folder, browser) for folder in folders]
    print("| trials | MB | build, processor s | interactive, s | console errors | requests |")
    print("|--:|--:|--:|--:|--:|--:|")
    for each in costs:
        cells = [each.trials, f"{each.size_bytes / 1e6:.2f}", f"{each.build_cpu_s:.2f}"]
        cells += [f"{each.interactive_s:.2f}", each.errors, each.requests]
        print(f"| {' | '.join(map(str, cells))} |")


def _made(folder: Path, kind: str, trials: int) -> Path:
    make_sample(folder, kind, trials)
    return folder


def cost_of(folder: Path, browser: Browser) -> Cost:
    """Return what the report of a sweep's folder costs; its files are written anew."""
    result = read_sweep(folder)
    build_cpu_s = _build(result)
    page = folder / "report.html"
    seconds, errors, requests = [], 0, 0
    for _ in range(VISITS):
        with visit(browser) as seen:
            seen.page.goto(page.absolute().as_uri())
            seconds.append(seen.page.evaluate(READY)["drawn"] / 1000)
            errors += len(seen.errors)
            requests += len(seen.requests) - 1
    trials = len(result.findings.records)
    return Cost(trials, page.stat().st_size, build_cpu_s, median(seconds), errors, requests)


def _build(result: SweepResult) -> float:
    """Return the processor seconds of writing every report file."""
    found = result.findings
    began = time.process_time()
    write_reports(
        result.folder, found.sweep, found.records, found.frontier, found.answer, command=found.command,
        versions=found.versions, diagnosis=found.diagnosis,
    )  # fmt: skip
    return time.process_time() - began


if __name__ == "__main__":
    main()
