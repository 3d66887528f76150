"""Sweeps under kills, one after another, and the end of each."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from experiments.chaos.checks import Damage, damage_of
from experiments.chaos.nodes import cluster
from experiments.chaos.processes import PROGRAM
from experiments.chaos.story import Story, play
from experiments.on_loopback.servers import Server, mlflow_server


@dataclass(frozen=True)
class Ended:
    """A sweep's story, and what is left of the sweep."""

    where: str
    """``private`` Ray or ``cluster``."""
    story: Story
    damage: Damage


def end_of(where: str, story: Story, tracker: Server, temporary: Path) -> Ended:
    """Return a sweep's end, once everything that MLflow missed was delivered.

    Raises:
        RuntimeError: it cannot be delivered.
    """
    tracker.wait()
    command = [PROGRAM, "report", str(story.folder), "--sync"]
    synced = subprocess.run(command, capture_output=True, text=True, check=False)
    if synced.returncode not in {0, 1, 2} or "not in MLflow" in synced.stderr:
        raise RuntimeError(synced.stderr)
    return Ended(where, story, damage_of(story, tracker.url, temporary))


def run(
    home: Path, kills: int, seed: int, trials: int, per_sweep: int, *, on_cluster: bool,
    say: Callable[[str], None] = lambda _: None, keep: Callable[[Ended], None] = lambda _: None,
) -> list[Ended]:  # fmt: skip
    """Return the ends of as many sweeps as it takes for so many kills.

    Args:
        home: an empty folder, its path short enough for Ray's sockets; temporary files of all runs go there.
        kills: in all.
        seed: of the first sweep; each has one of its own.
        trials: budget of each sweep.
        per_sweep: kills of one sweep, at most.
        on_cluster: whether they run on a cluster whose nodes are killed, or each on a private Ray.
        say: told of each end.
        keep: given each end, at once: what comes later may fail.
    """
    os.environ["TMPDIR"] = tempfile.tempdir = str(home)
    ends: list[Ended] = []
    with mlflow_server(home / "mlflow") as tracker:
        tracker.start()
        while (left := kills - sum(end.story.kills.total() for end in ends)) > 0:
            number = len(ends)
            where = "cluster" if on_cluster else "private"
            place = home / f"{where}{number}"
            with cluster() if on_cluster else contextlib.nullcontext() as nodes:
                story = play(place, seed + number, trials, min(left, per_sweep), tracker, nodes)
            ends.append(end_of(where, story, tracker, home))
            keep(ends[-1])
            say(sentences(ends[-1], place))
    return ends


def sentences(end: Ended, place: Path) -> str:
    """Return what happened to a sweep; where something was lost, also how its runs ended."""
    story = end.story
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(story.kills.items()))
    lines = [f"{end.where} {story.seed}: {story.runs} runs; killed {told}; {end.damage}"]
    if not end.damage.is_none:
        lines.append(f"exit codes {story.codes}; the runs ended so:")
        for log in sorted(place.glob("run*.log")):
            lines.append(f"{log.name}: {log.read_text(errors='replace')[-600:]}")
    return "\n".join(lines)
