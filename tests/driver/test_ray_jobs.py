"""Sweeps on a real cluster: submitted, found again, stopped in mid-sweep, gone on with, side by side."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sweep_runs import Home, check_whole

from experiments.on_loopback.ray_cluster import RayCluster, ray_cluster
from stabsearch.search.stored import read_study, records_in, unfinished_in

pytestmark = [pytest.mark.ray, pytest.mark.cli]
OWN = """
import os, pathlib, time
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer

THERE = pathlib.Path(os.environ["NOTES"])

class Rows(torch.utils.data.Dataset):
    read = 0

    def __init__(self):
        self.rows = [[int(word) for word in line.split()] for line in open("data/rows.txt")]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        Rows.read += 1
        while Rows.read > 1000 and (THERE / "hold").exists():  # in its fourth trial, a worker waits here
            time.sleep(0.05)
        return {"input_ids": torch.tensor(self.rows[number]), "labels": number % 2}

def make(args):
    (THERE / f"{os.getpid()}.txt").write_text(os.environ.get("GREETING", "none"))
    model = BertForSequenceClassification(BertConfig(
        vocab_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=4))
    return Trainer(model=model, args=args, train_dataset=Rows())
"""
ROWS = "".join(f"{n % 8 + 8 * (n % 2)} {n * 3 % 8} {n * 5 % 8} {n * 7 % 8}\n" for n in range(48))
TRIALS = 8
SWEEP = """
name: own
output_dir: {home}
task: {{type: trainer, factory: "mine:make"}}
training: {{max_steps: 40, per_device_train_batch_size: 8}}
search:
  learning_rate: {{low: 1.0e-4, high: 1.0}}
  warmup: [0]
  max_grad_norm: [1.0]
  precision: [fp32, bf16]
budget: {{trials: 8, horizon: 40, concurrency: 1}}
risk: {{confirmation_trials: 2}}
tracking: {{uri: none}}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster("--num-cpus", "2") as running:
        yield running


@dataclass(frozen=True)
class Submitted:
    """A sweep on code of the user's: submitted, stopped in the middle, submitted again beside another one."""

    home: Home
    first: subprocess.CompletedProcess[str]
    listed: dict[str, Any]
    changed: subprocess.CompletedProcess[str]
    stopped: subprocess.CompletedProcess[str]
    at_stop: list[dict[str, str]]
    second: dict[str, Any]
    beside: Home
    last: subprocess.CompletedProcess[str]
    logs: str
    raw: str
    notes: Path

    @property
    def id(self) -> str:
        return self.first.stdout.strip()


class OwnHome(Home):
    """Where the sweep of a user's own code is."""

    @property
    def folder(self) -> Path:
        return self.path / "runs" / "own"


@pytest.fixture(scope="module")
def submitted(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    home = OwnHome(tmp_path_factory.mktemp("jobs"))
    project, notes = home.path / "project", home.path / "notes"
    for folder in (project / "data", notes):
        folder.mkdir(parents=True)
    (project / "mine.py").write_text(OWN)
    (project / "data" / "rows.txt").write_text(ROWS)
    (project / "sweep.yaml").write_text(SWEEP.format(home=home.path / "runs"))
    (notes / "hold").touch()
    known = {"MLFLOW_TRACKING_TOKEN": "planted-token", "GREETING": "hello", "NOTES": str(notes)}

    def submit(*options: str) -> subprocess.CompletedProcess[str]:
        command = ("submit", "sweep.yaml", "--env", "GREETING", "--env", "NOTES", *options)
        hidden = ("--set", "tracking.experiment=planted-name")
        said = cluster.command(*command, *hidden, "--address", cluster.url, cwd=project, env=known)
        assert said.stdout, said.stderr
        return said

    first = submit()
    job = first.stdout.strip()
    wait_for(cluster, job, f"[2/{TRIALS}]")
    (project / "mine.py").write_text(OWN + "# changed\n")
    changed = submit()
    listed = json.loads(cluster.command("jobs", "--address", cluster.url, "--json").stdout)
    stopped = cluster.command("stop", job, "--address", cluster.url)
    at_stop = home.trials()
    second = json.loads(submit("--json").stdout)
    wait_for(cluster, second["id"], f"[{len(at_stop) + 1}/{TRIALS}]")
    beside = Home.made(tmp_path_factory.mktemp("beside"), "ray")
    one = ("--set", "budget.concurrency=1", "--set", "budget.trials=6")
    ran = cluster.command("run", str(beside.path / "sweep.yaml"), "--address", cluster.address, *one)
    assert "[6/6]" in ran.stderr, ran.stderr
    (notes / "hold").unlink()
    last = submit("--wait", "--json")
    logs = cluster.command("logs", "own", "--address", cluster.url).stdout
    raw = cluster.asked("/api/jobs/")[1]
    return Submitted(
        home, first, listed, changed, stopped, at_stop, second, beside, last, logs, raw, notes
    )  # fmt: skip


def wait_for(cluster: RayCluster, job: str, text: str) -> None:
    """Return when a job has said something."""
    for _ in range(1500):  # far more than a busy machine needs: a test that fails has to end
        said = json.loads(cluster.asked(f"/api/jobs/{job}/logs")[1])["logs"]
        if text in said:
            return
        info = json.loads(cluster.asked(f"/api/jobs/{job}")[1])
        assert info["status"] in {"PENDING", "RUNNING"}, said
        time.sleep(0.2)
    raise AssertionError(f"never said {text!r}: {said}")


def test_submitting_says_where_results_will_be_and_how_to_follow(submitted: Submitted) -> None:
    """The id alone on stdout, for scripts."""
    assert submitted.first.stdout == f"{submitted.id}\n"
    assert submitted.id.startswith("stabsearch-own-")
    assert f"results in {submitted.home.folder} on the cluster" in submitted.first.stderr
    assert f"stabsearch logs {submitted.id}" in submitted.first.stderr
    assert "warning: --env GREETING: it is readable for everybody" in submitted.first.stderr


def test_a_sweep_at_work_is_found_instead_of_started_twice(submitted: Submitted) -> None:
    """Also when its files have changed meanwhile, which is said."""
    assert submitted.changed.stdout == f"{submitted.id}\n"
    assert "was started with other files than are here now" in submitted.changed.stderr
    assert json.loads(submitted.last.stdout)["is_new"] is False
    assert "other files" not in submitted.last.stderr


def test_jobs_lists_it_without_what_is_nobodys_business(submitted: Submitted) -> None:
    """Status and place; variables only by asking Ray itself."""
    (job,) = submitted.listed["jobs"]
    assert (job["id"], job["status"], job["exit_code"]) == (submitted.id, "RUNNING", None)
    assert (job["sweep"], job["folder"]) == ("own", str(submitted.home.folder))
    assert "hello" not in json.dumps(submitted.listed)


def test_stop_leaves_a_sweep_that_goes_on_where_it_was(submitted: Submitted) -> None:
    """It was at a trial, wrote its tables before it ended, and the same submission finishes it."""
    assert submitted.stopped.returncode == 0
    assert submitted.stopped.stdout == f"{submitted.id} has ended: stopped\n"
    assert 2 <= len(submitted.at_stop) < TRIALS
    check_trials(submitted.home, TRIALS)
    assert submitted.home.trials()[: len(submitted.at_stop)] == submitted.at_stop


def check_trials(home: Home, number: int) -> None:
    """Check that no trial is lost, repeated or left open, in the study and in the table."""
    study = read_study(home.folder)
    numbers = [record.plan.number for record in records_in(study)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == number
    assert unfinished_in(study) == []
    assert [int(row["number"]) for row in home.trials()] == numbers


def test_waiting_ends_with_the_exit_code_of_the_job(submitted: Submitted) -> None:
    """What the sweep itself says: an answer, a verdict against, or that so few trials are none."""
    job = json.loads(submitted.last.stdout)
    assert job["id"] == submitted.second["id"] == submitted.id.removesuffix("1") + "2"
    assert submitted.second["is_new"] is True
    assert (job["status"], job["exit_code"]) in {("SUCCEEDED", 0), ("FAILED", 1), ("FAILED", 2)}
    assert submitted.last.returncode == job["exit_code"] == job["driver_exit_code"]


def test_two_sweeps_on_one_cluster_are_both_whole(submitted: Submitted) -> None:
    """One as a job, one from a driver of its own, which began and ended while the job was at a trial."""
    check_whole(submitted.beside, 6)
    (job_from, job_to), (from_, to) = _times(submitted.home), _times(submitted.beside)
    assert job_from < from_ < to < job_to


def _times(home: Home) -> tuple[float, float]:
    """Return when the first and the last trial of a sweep started."""
    times = [record.started_at for record in records_in(read_study(home.folder))]
    return min(times), max(times)


def test_a_stopped_job_is_interrupted_for_who_follows_it(cluster: RayCluster, submitted: Submitted) -> None:
    """130, and all that it said from its first line to the last, in good order."""
    said = cluster.command("logs", submitted.id, "--follow", "--address", cluster.url)
    assert said.returncode == 130
    assert f"[1/{TRIALS}]" in said.stdout
    assert "interrupted; the same command goes on where it stopped" in said.stdout


def test_logs_are_those_of_the_latest_start(submitted: Submitted) -> None:
    """The name of the sweep is enough; trials of the first start are not run again."""
    assert f"[{TRIALS}/{TRIALS}]" in submitted.logs
    assert f"[1/{TRIALS}]" not in submitted.logs


def test_nothing_secret_is_told_to_who_lists_jobs(submitted: Submitted) -> None:
    """Ray shows command lines, variables and metadata of every job to everybody it lets in."""
    assert "planted-token" not in submitted.raw
    assert "planted-name" not in submitted.raw
    assert "planted-name" in (submitted.home.folder / "sweep.resolved.yaml").read_text()


def test_code_data_and_named_variables_reach_the_workers(submitted: Submitted) -> None:
    """The user's module read its rows beside it, and saw what --env gave."""
    assert {note.read_text() for note in submitted.notes.glob("*.txt")} == {"hello"}


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        (("logs", "nobody"), "no job 'nobody' at {url}", "`stabsearch jobs` lists them"),
        (("stop", "stabsearch-owm"), "no job 'stabsearch-owm' at {url}", "did you mean"),
    ],
)
@pytest.mark.usefixtures("submitted")
def test_an_unknown_job(cluster: RayCluster, command: tuple[str, ...], message: str, hint: str) -> None:
    """Two lines, exit code 2, and a name that comes near."""
    said = cluster.command(*command, "--address", cluster.url)
    assert (said.returncode, said.stdout) == (2, "")
    first, second = said.stderr.splitlines()
    assert first == message.format(url=cluster.url)
    assert hint in second


def test_stopping_what_has_ended_changes_nothing(cluster: RayCluster, submitted: Submitted) -> None:
    """A second stop finds it ended."""
    said = cluster.command("stop", submitted.id, "--address", cluster.url, "--json")
    assert said.returncode == 0
    assert json.loads(said.stdout)["status"] == "STOPPED"


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, as on the cluster"),
        ({"RAY_AUTH_TOKEN": "wrong" * 8}, "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, as on the cluster"),
    ],
)
def test_who_has_no_token_is_told_so(cluster: RayCluster, variables: dict[str, str], hint: str) -> None:
    """No token, or a wrong one."""
    said = cluster.command("jobs", "--address", cluster.url, env=variables)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.splitlines() == [
        f"{cluster.url} does not let us in: no token, or a wrong one",
        f"  {hint}",
    ]


def test_an_address_that_is_given_goes_before_the_environment(cluster: RayCluster) -> None:
    """Ray itself prefers the environment; the table has a header even without jobs of ours."""
    elsewhere = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9"}
    said = cluster.command("jobs", "--address", cluster.url, env=elsewhere)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("id  ")
    from_environment = cluster.command("jobs", env={"RAY_API_SERVER_ADDRESS": cluster.url})
    assert from_environment.stdout == said.stdout


class _SomethingElse(BaseHTTPRequestHandler):
    """A web server, but not Ray's."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>welcome</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def something_else() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _SomethingElse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_address_without_a_job_server(cluster: RayCluster, something_else: str) -> None:
    """Nobody there, or somebody else."""
    for address in ("http://127.0.0.1:9", something_else):
        said = cluster.command("jobs", "--address", address)
        assert (said.returncode, said.stdout) == (2, "")
        first, second = said.stderr.splitlines()
        assert first == f"no Ray job server at {address}"
        assert "--address http://HEAD:8265" in second
