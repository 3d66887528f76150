"""Files damaged at random, bounded and seeded; ``python -m experiments.fuzz`` has the full counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from experiments.fuzz.bundles import DAMAGES as BUNDLE_DAMAGES
from experiments.fuzz.bundles import fuzz_bundles
from experiments.fuzz.guided_run import guided
from experiments.fuzz.hints import fuzz_hints
from experiments.fuzz.running import Said
from experiments.fuzz.studies import DAMAGES, fuzz_studies
from experiments.fuzz.sweeps import fuzz_sweeps


def test_mutated_sweeps_are_refused_or_are_sweeps(tmp_path: Path) -> None:
    """Of every type of task: two lines and exit code 2, or a sweep that can be written and read again."""
    tally = fuzz_sweeps(200, 100, tmp_path)
    assert tally.problems == []
    assert tally.ends["refused"] > 100
    assert tally.ends["accepted"] > 0


def test_damaged_studies_are_refused_as_they_are_or_read(tmp_path: Path) -> None:
    """Journal, database, resolved sweep and what lies beside: no traceback, nothing half-written."""
    tallies = fuzz_studies(6 * len(DAMAGES), 101, tmp_path, resume_every=6)
    assert [problem for tally in tallies for problem in tally.problems] == []
    assert sum(tally.ends["refused"] for tally in tallies) > 20
    assert sum(tally.ends["read"] for tally in tallies) > 5


def test_a_damaged_frontier_of_an_earlier_sweep_is_refused_or_read(tmp_path: Path) -> None:
    """As a hint for the next sweep, and as the answer of its own."""
    tally = fuzz_hints(80, 102, tmp_path)
    assert tally.problems == []
    assert tally.ends["refused"] > 20
    assert tally.ends["read"] > 5


def test_damaged_bundles_are_refused_or_replayed(tmp_path: Path) -> None:
    """Manifest, tensors and checksums: whatever is changed, nothing but two lines or a replay comes of it."""
    tallies = fuzz_bundles(5 * len(BUNDLE_DAMAGES), 103, tmp_path)
    assert [problem for tally in tallies for problem in tally.problems] == []
    assert sum(tally.ends["refused"] for tally in tallies) > 10


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris has no wheel for every platform",
)
def test_the_loader_under_a_coverage_guided_fuzzer(tmp_path: Path) -> None:
    """A few hundred runs, from valid sweeps of every type of task."""
    tally = guided(300, 104, tmp_path)
    assert tally.problems == []
    assert sum(tally.ends.values()) >= 300


@pytest.mark.parametrize(
    ("code", "out", "err", "problem"),
    [
        (2, "", "sweep.yaml:1: no\n  yes\n", ""),
        (2, "", "sweep.yaml:1: no\n", "without two lines"),
        (2, "", "one\n  two\n  three\n", "without two lines"),
        (
            2,
            "",
            "Traceback (most\n  File x\nKeyError: 1\na bug in stabsearch\n",
            "traceback",
        ),
        (139, "", "", "exit code 139"),
        (124, "", "Traceback: no end within 1 s", "traceback"),
        (2, "", "a\x1b[31mb\n  c\n", "control characters"),
        (1, "a verdict\n", "", ""),
    ],
)
def test_the_judge_of_all_this_sees_what_is_wrong(code: int, out: str, err: str, problem: str) -> None:
    """A judge that finds nothing would pass everything."""
    found = Said(code, out, err).problem
    assert problem in found
    assert bool(found) == bool(problem)
