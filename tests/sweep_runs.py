"""Tiny sweeps run with the real command line, in processes of their own, and what they left behind."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).with_name("stabsearch"))
TRIALS = 14
SWEEP = """
name: tiny
output_dir: {home}
seed: 0
task: {{type: quickstart, hidden_size: 16, num_rows: 128}}
training: {{max_steps: 40, per_device_train_batch_size: 8}}
search:
  learning_rate: {{low: 1.0e-4, high: 1.0}}
  warmup: [0]
  max_grad_norm: [1.0]
  precision: [fp32, bf16]
budget: {{trials: 14, horizon: 40}}
risk: {{confirmation_trials: 2}}
resources: {{driver: {driver}}}
"""
PROGRESS = re.compile(r"\[ ?\d+/\d+\] lr|(so far|running|  frontier|  if stopped now|STAB-E005): ")
"""Lines that a sweep writes where nobody sits at a terminal; the last on machines that emulate bf16."""
SLOW = ("training.max_steps=4000", "budget.horizon=150")
"""Trials of a second or two: signals meet them in mid-step."""


@dataclass(frozen=True)
class Home:
    """A folder with a sweep file, whose results go beside it."""

    path: Path

    @classmethod
    def made(cls, path: Path, driver: str = "inline") -> Home:
        """Return the folder, with its sweep written."""
        path.mkdir(parents=True, exist_ok=True)
        (path / "sweep.yaml").write_text(SWEEP.format(home=path / "runs", driver=driver))
        return cls(path)

    @property
    def folder(self) -> Path:
        """Return where the results are."""
        return self.path / "runs" / "tiny"

    def run(self, *arguments: str, settings: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Return ``stabsearch run`` on the sweep, ended."""
        return stabsearch("run", str(self.path / "sweep.yaml"), *arguments, *_set(settings))

    def start(
        self, *arguments: str, settings: tuple[str, ...] = (),
        within: Callable[..., list[str]] = lambda *command: list(command),
        env: Mapping[str, str] | None = None,
    ) -> Running:  # fmt: skip
        """Return ``stabsearch run`` on the sweep, at work, in a process group of its own as in a shell.

        Args:
            arguments: of the command.
            settings: ``key=value`` texts.
            within: makes the command one that runs somewhere else, such as on another host.
            env: environment; default: this process's own.
        """
        command = [PROGRAM, "run", str(self.path / "sweep.yaml"), *arguments, *_set(settings)]
        process = subprocess.Popen(
            within(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
            start_new_session=True,
        )  # fmt: skip
        return Running(process)

    def trials(self) -> list[dict[str, str]]:
        """Return the rows of ``trials.csv``."""
        with (self.folder / "trials.csv").open() as file:
            return list(csv.DictReader(file))


@dataclass
class Running:
    """A sweep at work."""

    process: subprocess.Popen[str]
    seen: str = ""

    def wait_for(self, num_done: int) -> None:
        """Return when so many trials are done."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.seen += line
            if line.startswith("[") and line[1:].lstrip().startswith(f"{num_done}/"):
                return
        raise AssertionError(f"ended before trial {num_done}: {self.seen}")

    def stop(self, number: signal.Signals, times: int = 1) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr after a signal.

        Ctrl-C reaches the whole group, as a terminal sends it; the others this one process.
        """
        for _ in range(times):
            (os.killpg if number is signal.SIGINT else os.kill)(self.process.pid, number)
        return self.ended()

    def ended(self) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr once it has ended."""
        out, rest = self.process.communicate(timeout=300)
        return self.process.returncode, out, self.seen + rest

    def left_behind(self) -> list[str]:
        """Return the command lines of its group's processes that are still there."""
        return [text for _, group, text in _processes() if group == self.process.pid]

    def kill_part(self, name: str) -> None:
        """Kill the one process of its group whose program has this name."""
        group = [(pid, text) for pid, group, text in _processes() if group == self.process.pid]
        (pid,) = [pid for pid, text in group if text.split("\0")[0].endswith(f"/{name}")]
        os.kill(pid, signal.SIGKILL)


def stabsearch(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Return the command, ended."""
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, cwd=cwd, check=False)


def check_whole(home: Home, trials: int = TRIALS, store: str = "") -> None:
    """Check that no trial is lost, repeated or left open: in the study, in the table, in MLflow.

    Args:
        home: where the sweep is.
        trials: how many it should have.
        store: MLflow's; default: the sweep's own.
    """
    from stabsearch.search.stored import read_study, records_in, unfinished_in

    study = read_study(home.folder)
    numbers = [record.plan.number for record in records_in(study)]
    assert len(numbers) == len(set(numbers)) == trials
    assert unfinished_in(study) == []
    assert not [trial.number for trial in study.trials if not trial.state.is_finished()]
    assert [int(row["number"]) for row in home.trials()] == numbers
    check_mlflow(home, numbers, store)


def check_mlflow(home: Home, numbers: list[int], store: str = "") -> None:
    """Check that there is one finished run for the sweep, and one ended child per trial."""
    runs = mlflow_runs(home, store)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    named = Counter(int(run.info.run_name.rsplit("_s", 1)[1]) for run in children)
    assert named == dict.fromkeys(numbers, 1)
    assert "RUNNING" not in {run.info.status for run in children}


def mlflow_runs(home: Home, store: str = "") -> list[Any]:
    """Return every run in a store; default: the sweep's own."""
    from mlflow import MlflowClient

    client = MlflowClient(store or f"sqlite:///{home.folder / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=1000))


def only_json(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return stdout as the one JSON object that it is."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _set(settings: tuple[str, ...]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


def _processes() -> list[tuple[int, int, str]]:
    """Return number, group and command line of every process but zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            state, _, group = stat.read_text().rsplit(")", 1)[1].split()[:3]
            if state != "Z":
                found.append((int(stat.parent.name), int(group), stat.with_name("cmdline").read_text()))
    return found
