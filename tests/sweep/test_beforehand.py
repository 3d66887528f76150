"""What a sweep learns from before its first trial."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

import stabsearch
from stabsearch.config import Sweep
from stabsearch.errors import UserError
from stabsearch.frontier import Frontier, fit
from stabsearch.frontier.hints import EARLIER_SD, earlier_hints
from stabsearch.sweep.beforehand import hints_of_earlier
from stabsearch.sweep.reading import read_sweep

COLUMNS = ["learning_rate", "precision", "warmup_steps", "max_grad_norm", "outcome"]


def frontier_at(boundary: float) -> Frontier:
    """Return a frontier of one context, with a boundary at a log10 learning rate."""
    rows = [
        (10 ** (boundary + side * 0.1 * i), "fp32", 0, 1.0, "diverged" if side > 0 else "stable")
        for i in range(1, 13)
        for side in (-1, 1)
    ]
    return fit(pd.DataFrame(rows, columns=COLUMNS), 0.1, (1e-4, 1.0))


def parts(tmp_path: Path, **prior: object) -> dict[str, object]:
    """Return a sweep of two short trials."""
    return {
        "name": "known",
        "output_dir": str(tmp_path / "runs"),
        "task": {"type": "quickstart", "hidden_size": 16, "num_rows": 64},
        "training": {"max_steps": 40, "per_device_train_batch_size": 4},
        "search": {
            "learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0], "precision": ["fp32"], "prior": prior,
        },
        "budget": {"trials": 4, "horizon": 12},
        "risk": {"confirmation_trials": 0},
        "resources": {"driver": "inline"},
        "tracking": {"uri": "none"},
    }  # fmt: skip


def test_an_earlier_frontier_hints_with_inflated_doubt() -> None:
    """Its median, twice its standard deviation, and 0.3 decades more; contexts without one are left out."""
    earlier = frontier_at(-2.0)
    (hint,) = earlier_hints(earlier)
    low, median, high = (float(earlier.posterior.quantile(share)[0]) for share in (0.16, 0.5, 0.84))
    assert hint.mean == median
    assert hint.sd == pytest.approx(math.hypot(high - low, EARLIER_SD))
    assert hint.context == earlier.trials[0].context
    nothing = pd.DataFrame([(1e-3, "fp32", 0, 1.0, "stable")], columns=COLUMNS)
    assert earlier_hints(fit(nothing, 0.1, (1e-4, 1.0))) == []


def test_hints_move_a_frontier_that_has_few_trials_and_not_one_that_has_many() -> None:
    """A prior is outweighed by trials."""
    few = pd.DataFrame([(1e-3, "fp32", 0, 1.0, "stable")] * 2, columns=COLUMNS)
    hints = earlier_hints(frontier_at(-1.2))
    moved = [
        float(fit(few, 0.1, (1e-4, 1.0), hints=given).posterior.quantile(0.5)[0]) for given in ((), hints)
    ]
    assert moved[1] > moved[0] + 0.2
    many = frontier_at(-2.0)
    again = Frontier(many.max_failure_probability, 0.9, many.learning_rate_range, many.trials, tuple(hints))
    assert abs(again.posterior.quantile(0.5)[0] - many.posterior.quantile(0.5)[0]) < 0.1


def test_hints_survive_the_json_round_trip() -> None:
    """Or the restored frontier would be another one."""
    many = frontier_at(-2.0)
    hinted = Frontier(0.1, 0.9, many.learning_rate_range, many.trials, tuple(earlier_hints(many)))
    assert Frontier.from_json(json.loads(json.dumps(hinted.to_json()))) == hinted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no frontier to read"),
        ("[]", "holds no frontier"),
        ('{"version": 1}', "frontier of version 1"),
        ("not json", "holds no frontier"),
    ],
)
def test_what_is_no_frontier_is_refused_with_its_place(
    tmp_path: Path, content: str | None, message: str
) -> None:
    """Missing, of another kind, of another version."""
    file = tmp_path / "frontier.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        hints_of_earlier(str(file))
    assert caught.value.key == ("search", "prior", "earlier")


def test_a_frontier_that_knows_nothing_is_refused(tmp_path: Path) -> None:
    """Rather than ignored in silence."""
    nothing = pd.DataFrame([(1e-3, "fp32", 0, 1.0, "stable")], columns=COLUMNS)
    (tmp_path / "frontier.json").write_text(json.dumps(fit(nothing, 0.1, (1e-4, 1.0)).to_json()))
    with pytest.raises(UserError, match=r"no context of .* has a frontier inside its range"):
        hints_of_earlier(str(tmp_path))


def test_a_sweep_that_learns_from_all_three_runs_to_its_end(tmp_path: Path) -> None:
    """Ramp, sharpness and an earlier sweep, on real trials; a report from the study knows the same."""
    (tmp_path / "frontier.json").write_text(json.dumps(frontier_at(-2.0).to_json()))
    sweep = Sweep.model_validate(parts(tmp_path, ramp=True, sharpness=True, earlier=str(tmp_path)))
    result = stabsearch.run_sweep(sweep)
    assert list(result.trials["stage"]) == ["canary", "ramp", "search", "search"]
    hints = result.findings.frontier.hints
    assert len(hints) >= 2
    assert hints[0].context is not None
    assert read_sweep(tmp_path / "runs" / "known").findings.frontier == result.findings.frontier


def test_a_resumed_sweep_keeps_what_it_began_with(tmp_path: Path) -> None:
    """Also when the earlier sweep has gone on since, or its probes would now say something else."""
    file = tmp_path / "frontier.json"
    file.write_text(json.dumps(frontier_at(-2.0).to_json()))
    sweep = Sweep.model_validate(parts(tmp_path, earlier=str(file)))
    before = stabsearch.run_sweep(sweep).findings.frontier.hints
    file.write_text(json.dumps(frontier_at(-1.0).to_json()))
    assert stabsearch.run_sweep(sweep).findings.frontier.hints == before
    file.unlink()
    assert stabsearch.run_sweep(sweep).findings.frontier.hints == before
