"""submit, jobs, logs and stop against a job server that plays its part by a script."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stabsearch.driver.environment import prepare

Command = Callable[..., Any]


class Played:
    """A job server without a cluster: a job is what a test says it is."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.packages: list[tuple[str, int]] = []
        self.asked: list[str] = []
        self.ends: dict[str, Any] = {"status": "SUCCEEDED", "driver_exit_code": 0}
        """What becomes of a job the second time that it is asked for."""
        self.stopped: list[str] = []
        self.taken_by_another = False
        self.away = 0
        """How many requests stay without an answer."""

    def put(self, name: str, status: str = "RUNNING", **parts: Any) -> None:
        self.jobs[name] = {
            "type": "SUBMISSION", "job_id": None, "submission_id": name, "driver_info": None,
            "status": status, "entrypoint": "x", "message": "",
            "start_time": 1_700_000_000_000 + 1000 * len(self.jobs),
            "end_time": None, "metadata": {"stabsearch": "1", "sweep": "tiny", "folder": "/runs/tiny"},
            "runtime_env": {"env_vars": {"GREETING": "planted"}}, "driver_exit_code": None, "logs": "",
            **parts,
        }  # fmt: skip

    def get(self, path: str) -> tuple[int, Any]:
        self.asked.append(path)
        if path == "/api/version":
            return 200, {"version": "4", "ray_version": "2.60.0", "ray_commit": "x", "session_name": "s"}
        if path.startswith("/api/packages/"):
            return 404, "does not exist"
        if path.endswith("/logs"):
            return 200, {"logs": self.jobs[path.split("/")[3]]["logs"]}
        if path == "/api/jobs/":
            shown = [dict(job) for job in self.jobs.values()]
            for job in self.jobs.values():
                if job["status"] == "RUNNING" and job.get("watched"):
                    job.update(self.ends)
                job["watched"] = True
            return 200, shown
        return 404, "no such page"

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/stop"):
            self.stopped.append(path.split("/")[3])
            self.jobs[path.split("/")[3]].update(status="STOPPED", end_time=1_700_000_090_000)
            return 200, {"stopped": True}
        name = body["submission_id"]
        if self.taken_by_another:
            self.taken_by_another = False
            self.put(name, metadata={**body["metadata"], "package": "other"})
        if name in self.jobs:
            return 500, f"Traceback:\nValueError: Job with submission_id {name} already exists."
        self.put(name, metadata=body["metadata"], runtime_env=body["runtime_env"], request=body)
        return 200, {"job_id": name, "submission_id": name}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    prepare(is_local=True)
    played = Played()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if played.asked and played.away:
                played.away -= 1
                self.close_connection = True
            else:
                self._say(*played.get(self.path))

        def do_PUT(self) -> None:
            played.packages.append((self.path, len(self._body())))
            self._say(200, "")

        def do_POST(self) -> None:
            self._say(*played.post(self.path, json.loads(self._body() or b"{}")))

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _say(self, status: int, answer: Any) -> None:
            data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{http.server_port}")
    from stabsearch.driver import jobs

    monkeypatch.setattr(jobs, "POLL_S", 0.01)
    yield played
    http.shutdown()
    http.server_close()


@pytest.fixture
def sweep(sweep_file: Callable[..., Path]) -> Path:
    return sweep_file(output_dir="/shared/runs", resources={"driver": "ray"})


def test_a_wrong_sweep_is_told_before_anybody_is_asked(
    stabsearch: Command, server: Played, sweep_file: Callable[..., Path]
) -> None:
    """Two lines with the place, exit code 2."""
    said = stabsearch("submit", sweep_file(output_dir="/shared", seed="x"))
    assert (said.code, said.out) == (2, "")
    assert len(said.error_lines) == 2
    assert "seed" in said.error_lines[0]
    assert server.asked == []


def test_a_new_sweep_is_sent_and_started_once(stabsearch: Command, server: Played, sweep: Path) -> None:
    """Two packages: the folder, and our own code; no core is taken for the driver."""
    said = stabsearch("submit", sweep)
    (name,) = server.jobs
    assert (said.code, said.out) == (0, f"{name}\n")
    assert len(server.packages) == 2
    request = server.jobs[name]["request"]
    assert request["entrypoint"] == "exec sh stabsearch-start.sh sweep.yaml"
    assert request["entrypoint_num_cpus"] == 0
    assert request["runtime_env"]["working_dir"].startswith("gcs://_ray_pkg_")
    assert request["metadata"]["folder"] == "/shared/runs/tiny"


def test_a_job_at_work_is_left_at_it_and_one_that_ended_is_started_again(
    stabsearch: Command, server: Played, sweep: Path
) -> None:
    """Numbers go up; the tenth start comes after the ninth."""
    first = json.loads(stabsearch("submit", sweep, "--json").out)
    assert first["is_new"] is True
    assert json.loads(stabsearch("submit", sweep, "--json").out)["is_new"] is False
    base = first["id"].removesuffix("-1")
    for number in range(1, 11):
        server.put(f"{base}-{number}", "FAILED", driver_exit_code=1)
    again = json.loads(stabsearch("submit", sweep, "--json").out)
    assert (again["id"], again["is_new"]) == (f"{base}-11", True)
    assert json.loads(stabsearch("submit", sweep, "--json", "--set", "seed=9").out)["id"].endswith("-1")


def test_of_two_who_submit_at_once_one_finds_the_job_of_the_other(
    stabsearch: Command, server: Played, sweep: Path
) -> None:
    """Ray refuses the second with the same id."""
    server.taken_by_another = True
    said = stabsearch("submit", sweep, "--json")
    assert json.loads(said.out)["is_new"] is False
    assert len(server.jobs) == 1
    assert "started with other files" in said.err


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ({"status": "SUCCEEDED", "driver_exit_code": 0}, 0),
        ({"status": "FAILED", "driver_exit_code": 1}, 1),
        ({"status": "FAILED", "driver_exit_code": 2}, 2),
        ({"status": "FAILED", "driver_exit_code": 130}, 130),
        ({"status": "STOPPED"}, 130),
        ({"status": "FAILED", "driver_exit_code": -9}, 2),
        ({"status": "FAILED", "driver_exit_code": 127}, 2),
    ],
)
@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_waiting_ends_as_the_sweep_did(
    stabsearch: Command, server: Played, sweep: Path, how: str, ends: dict[str, Any], code: int
) -> None:
    """The exit codes of `stabsearch run`; whatever else a process ends with could not judge."""
    server.ends = ends
    said = stabsearch("submit", sweep, how, "--json")
    assert said.code == code
    assert json.loads(said.out)["exit_code"] == code


def test_a_job_that_never_started_says_why(stabsearch: Command, server: Played, sweep: Path) -> None:
    """There is no log of a job whose environment could not be made."""
    server.ends = {
        "status": "FAILED",
        "message": "runtime_env setup failed: no space left\nmore\n\nlast line",
    }
    said = stabsearch("submit", sweep, "--wait")
    assert said.code == 2
    assert "failed: runtime_env setup failed: no space left\n  more\n  last line" in said.err


def test_a_log_is_followed_from_its_first_line_to_its_last(stabsearch: Command, server: Played) -> None:
    """What comes between two looks is neither lost nor shown twice."""
    server.put("stabsearch-tiny-1", logs="one\n")
    server.ends = {"status": "SUCCEEDED", "driver_exit_code": 0, "logs": "one\ntwo\nthree\n"}
    said = stabsearch("logs", "tiny", "--follow")
    assert (said.code, said.out) == (0, "one\ntwo\nthree\n")


def test_ctrl_c_leaves_the_job_at_work(
    stabsearch: Command, server: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 130, and how to see it again."""
    from stabsearch.driver import jobs

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    server.put("stabsearch-tiny-1", logs="one\n")
    monkeypatch.setattr(jobs.time, "sleep", interrupted)
    said = stabsearch("logs", "stabsearch-tiny-1", "--follow")
    assert (said.code, said.out) == (130, "one\n")
    assert "stabsearch-tiny-1 goes on" in said.err
    assert server.stopped == []


def test_jobs_is_a_table_of_sweeps(stabsearch: Command, server: Played) -> None:
    """In the order of their start; jobs of others by --all; variables never."""
    server.put("stabsearch-b-1", "FAILED", driver_exit_code=1, end_time=1_700_000_090_000)
    server.put("stabsearch-a-1")
    server.put("somebody", metadata={})
    said = stabsearch("jobs")
    head, first, second = said.out.splitlines()
    assert head.split() == ["id", "status", "exit", "code", "started", "minutes", "results"]
    assert first.split()[:3] == ["stabsearch-b-1", "failed", "1"]
    assert first.split()[-2:] == ["1.5", "/runs/tiny"]
    assert second.split()[:2] == ["stabsearch-a-1", "running"]
    listed = json.loads(stabsearch("jobs", "--all", "--json").out)["jobs"]
    assert [job["id"] for job in listed] == ["stabsearch-b-1", "stabsearch-a-1", "somebody"]
    assert "planted" not in json.dumps(listed)


def test_stop_waits_for_the_end(stabsearch: Command, server: Played) -> None:
    """By the id without its number, too: the latest start is meant, which is not the greatest text."""
    for number in range(1, 11):
        server.put(f"stabsearch-tiny-{number}", "RUNNING" if number == 10 else "FAILED")
    said = stabsearch("stop", "stabsearch-tiny")
    assert (said.code, said.out) == (0, "stabsearch-tiny-10 has ended: stopped\n")
    assert stabsearch("stop", "stabsearch-tiny-10").out == "stabsearch-tiny-10 had ended before: stopped\n"


def test_what_a_cluster_refuses_is_one_line_of_it(
    stabsearch: Command, server: Played, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that fails answers with a page of its inside; the last line says what it is."""
    monkeypatch.setattr(
        server, "post", lambda *_: (500, "Traceback (most recent call last):\nOSError: disk full\n")
    )
    said = stabsearch("submit", sweep)
    assert (said.code, said.out) == (2, "")
    assert len(said.error_lines) == 2
    assert said.error_lines[0].endswith(": OSError: disk full")


@pytest.mark.parametrize("how", [["logs", "tiny", "--follow"], ["submit", "SWEEP", "--wait"]])
def test_a_job_server_that_is_away_for_a_moment_is_asked_again(
    stabsearch: Command, server: Played, sweep: Path, how: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job does not notice; who waits for it is told only when it takes long, and that it may go on."""
    from stabsearch.driver.jobs import JobServer

    if how[0] == "logs":
        server.put("stabsearch-tiny-1")
    find, calls = JobServer.find, iter(range(100))

    def leaves(self: JobServer, name: str) -> Any:
        server.away = 3 if next(calls) == 1 else server.away
        return find(self, name)

    monkeypatch.setattr(JobServer, "find", leaves)
    command = [str(sweep) if part == "SWEEP" else part for part in how]
    assert stabsearch(*command).code == 0
    server.jobs.clear()
    if how[0] == "logs":
        server.put("stabsearch-tiny-1")
    calls = iter(range(100))
    monkeypatch.setattr("stabsearch.driver.jobs.AWAY_S", 0.0)
    said = stabsearch(*command)
    assert said.code == 2
    assert "no Ray job server at " in said.error_lines[-2]
    assert "the job may go on all the same: `stabsearch logs stabsearch-tiny-" in said.error_lines[-1]


def test_a_password_in_the_servers_address_is_not_shown(
    stabsearch: Command, server: Played, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in what to do next nor in an error."""
    address = os.environ["RAY_API_SERVER_ADDRESS"].replace("http://", "http://ada:planted@")
    assert "planted" not in stabsearch("submit", sweep, "--address", address).err
    away = stabsearch("submit", sweep, "--address", "http://ada:planted@127.0.0.1:1")
    assert away.code == 2
    assert "planted" not in away.err
