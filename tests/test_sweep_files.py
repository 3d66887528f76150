"""A finished sweep: what it printed, what it left, and what commands make of it later."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from sweep_runs import PROGRESS, TRIALS, Home, check_whole, mlflow_runs, only_json, stabsearch

REPORTS = (
    "trials.csv", "trials.parquet", "frontier.json", "frontier.csv", "recommended.json", "report.html",
    "report.md", "frontier.png",
)  # fmt: skip
KEPT = ("sweep.resolved.yaml", "study.journal", "mlflow.db")


class Finished:
    """A sweep that ran to its end."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.result = home.run("--json")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return one sweep for all tests that only look."""
    return Finished(Home.made(tmp_path_factory.mktemp("finished")))


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Home:
    """Return a copy of the finished sweep, for tests that change it."""
    home = Home.made(tmp_path / "copy")
    shutil.copytree(finished.home.folder, home.folder)
    return home


def test_a_safe_configuration_is_answer_0(finished: Finished) -> None:
    """Exit code, JSON and table say the same."""
    assert finished.result.returncode == 0, finished.result.stderr
    found = only_json(finished.result)
    assert found["exit_code"] == 0
    assert found["answer"]["verdict"] == "confirmed"
    assert sum(found["outcomes"].values()) == TRIALS
    assert found["mlflow"]["missing"] == 0


def test_progress_goes_to_stderr_and_is_all_there_is(finished: Finished) -> None:
    """One line per trial, and now and then where it stands; no warning of any library in between."""
    lines = finished.result.stderr.splitlines()
    assert len([line for line in lines if re.match(r"\[ ?\d+/14\] lr", line)]) == TRIALS
    others = [line for line in lines if not PROGRESS.match(line)]
    assert others == []


def test_every_file_is_there(finished: Finished) -> None:
    """The files of the contract, none half-written."""
    there = {path.name for path in finished.home.folder.iterdir()}
    assert set(REPORTS) | set(KEPT) <= there
    assert not [name for name in there if name.endswith(".part")]


def test_every_trial_is_counted_once(finished: Finished) -> None:
    """In the study, in the table and in MLflow."""
    check_whole(finished.home)


def test_stages_are_named(finished: Finished) -> None:
    """One canary, the search, two confirmations."""
    stages = [row["stage"] for row in finished.home.trials()]
    assert [stages.count(stage) for stage in ("canary", "search", "confirm")] == [1, TRIALS - 3, 2]


def test_no_metric_is_nonfinite(finished: Finished) -> None:
    """Charts would hide it, and JSON could not carry it."""
    values = [value for run in mlflow_runs(finished.home) for value in run.data.metrics.values()]
    assert values
    assert all(math.isfinite(value) and abs(value) < 1e300 for value in values)


def test_the_recommendation_loads_as_training_arguments(finished: Finished, tmp_path: Path) -> None:
    """With Hugging Face's own parser, as a user would."""
    from transformers import HfArgumentParser, TrainingArguments

    path = finished.home.folder / "recommended.json"
    data = {"output_dir": str(tmp_path), "use_cpu": True} | json.loads(path.read_text())
    (arguments,) = HfArgumentParser(TrainingArguments).parse_dict(data)  # type: ignore[arg-type]
    assert arguments.max_steps == 40
    assert arguments.learning_rate == only_json(finished.result)["answer"]["recommendation"]["learning_rate"]


def test_running_a_finished_sweep_starts_nothing(copy: Home) -> None:
    """Not a trial, not even Ray, whose address leads nowhere; the answer is the same."""
    journal = (copy.folder / "study.journal").read_bytes()
    again = copy.run("--json", settings=("resources.driver=ray", "resources.address=127.0.0.1:1"))
    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    assert len((copy.folder / "study.journal").read_bytes()) - len(journal) < 10_000
    check_whole(copy)


def test_a_raised_budget_goes_on_with_a_finished_sweep(copy: Home) -> None:
    """Kept trials keep their numbers; must is content with it."""
    before = copy.trials()
    more = copy.run(
        "--resume", "must", "--quiet", settings=("budget.trials=17", "risk.confirmation_trials=2")
    )
    assert more.returncode == 0, more.stderr
    assert more.stderr == ""
    assert len(copy.trials()) > TRIALS
    assert copy.trials()[0]["train_s"] == before[0]["train_s"]
    check_whole(copy, trials=len(copy.trials()))


def test_resume_never_refuses_what_is_there(copy: Home) -> None:
    """Exit code 2, two lines with place and way out, nothing overwritten."""
    before = {path: path.read_bytes() for path in copy.folder.iterdir() if path.is_file()}
    refused = copy.run("--resume", "never")
    assert refused.returncode == 2
    assert re.fullmatch(r".*sweep\.yaml:2: name: .* holds a sweep already\n  .*\n", refused.stderr)
    assert {path: path.read_bytes() for path in before} == before


def test_a_different_sweep_is_refused(copy: Home) -> None:
    """The key that differs is named, nothing is overwritten."""
    before = {path: path.read_bytes() for path in copy.folder.iterdir() if path.is_file()}
    refused = copy.run(settings=("search.sampler=tpe",))
    assert refused.returncode == 2
    assert "search.sampler: frontier -> tpe" in refused.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_reports_are_rebuilt_from_the_study_alone(copy: Home, tmp_path: Path) -> None:
    """Everything else deleted, the folder moved, the sweep file gone: the same tables and the same answer."""
    exact = ("trials.csv", "frontier.csv", "frontier.json", "recommended.json")
    before = {name: (copy.folder / name).read_bytes() for name in exact}
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copy(copy.folder / "study.journal", moved / "study.journal")
    shutil.rmtree(copy.path)
    rebuilt = stabsearch("report", str(moved), "--json", cwd=tmp_path)
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert {name: (moved / name).read_bytes() for name in exact} == before
    assert set(REPORTS) <= {path.name for path in moved.iterdir()}


def test_the_status_of_a_finished_sweep(copy: Home) -> None:
    """All done, nobody at work; looking changes no file."""
    before = {path: path.read_bytes() for path in copy.folder.iterdir() if path.is_file()}
    shown = only_json(stabsearch("status", str(copy.folder), "--json"))
    assert shown["progress"] == {"done": TRIALS, "running": 0, "budget": TRIALS, "is_driven": False}
    assert shown["answer"]["verdict"] == "confirmed"
    assert {path: path.read_bytes() for path in copy.folder.iterdir() if path.is_file()} == before


def test_nothing_safe_is_verdict_1(tmp_path: Path) -> None:
    """The baseline below the range is stable, and even the lowest learning rate of the range breaks."""
    home = Home.made(tmp_path)
    rates = ("search.learning_rate.low=20", "search.learning_rate.high=1000")
    broken = home.run("--json", settings=(*rates, "tracking.uri=none"))
    assert broken.returncode == 1, broken.stderr
    assert only_json(broken)["answer"]["verdict"] == "nothing_safe"
    trials = home.trials()
    assert {row["outcome"] for row in trials if row["stage"] == "canary"} == {"stable"}
    assert not {row["outcome"] for row in trials if row["stage"] == "search"} & {"stable"}
    assert not [row for row in trials if row["stage"] == "confirm"]


def test_too_few_trials_are_no_answer_2(tmp_path: Path) -> None:
    """A sweep of two trials has seen nothing, and says so."""
    home = Home.made(tmp_path)
    meagre = home.run("--json", settings=("budget.trials=2", "tracking.uri=none"))
    assert meagre.returncode == 2, meagre.stderr
    assert only_json(meagre)["answer"]["verdict"] == "not_enough_evidence"


def test_an_unreachable_tracking_server_stops_a_sweep_before_it_begins(tmp_path: Path) -> None:
    """Two lines, exit code 2, no folder; without it, the same sweep starts as if nothing had been."""
    home = Home.made(tmp_path)
    refused = home.run(settings=("tracking.uri=http://127.0.0.1:1",))
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 2
    assert "tracking.uri" in refused.stderr
    assert not (home.path / "runs").exists()


def test_a_sweep_made_in_python(tmp_path: Path) -> None:
    """The same job without a file: trials and frontier as tables, the recommendation as a dictionary."""
    from stabsearch import run_sweep
    from stabsearch.config import Sweep

    sweep = Sweep.model_validate(
        {
            "name": "python",
            "output_dir": str(tmp_path),
            "task": {"type": "quickstart", "hidden_size": 16, "num_rows": 128},
            "training": {"max_steps": 40, "per_device_train_batch_size": 8},
            "search": {"learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0], "precision": ["fp32"]},
            "budget": {"trials": 3, "horizon": 5},
            "resources": {"driver": "inline"},
            "tracking": {"uri": "none"},
        }
    )
    result = run_sweep(sweep)
    assert list(result.trials["number"]) == [0, 1, 2]
    assert list(result.frontier["precision"]) == ["fp32"]
    assert result.exit_code == result.answer.verdict.exit_code
    assert run_sweep(sweep, resume="must").trials.equals(result.trials)
