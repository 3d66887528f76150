"""A sample sweep is one that the product made: read back, with every file, and as its kind says."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.sample_sweep.sample import make_sample
from stabsearch.frontier import Verdict


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("only-failed", Verdict.CANARY_FAILED), ("not-enough-evidence", Verdict.NOT_ENOUGH_EVIDENCE)],
)
def test_a_sample_ends_as_its_kind_says(kind: str, verdict: Verdict, tmp_path: Path) -> None:
    result = make_sample(tmp_path / "sample", kind, trials=6)
    assert result.answer.verdict is verdict
    for name in ("report.html", "report.md", "frontier.png", "frontier.csv", "trials.csv", "study.journal"):
        assert (tmp_path / "sample" / name).stat().st_size > 0
