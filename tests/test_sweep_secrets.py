"""One real sweep with passwords everywhere, among strangers' modules: what it writes, imports and hears."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sweep_runs import PROGRAM, Home

pytestmark = [pytest.mark.ray, pytest.mark.cli]
SECRET = b"pw-7Hq2Zr9-planted"
TEXT = SECRET.decode()
ENVIRONMENT = (
    "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN",
    "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD",
)  # fmt: skip
STRANGERS = ("torch", "yaml", "ray", "optuna", "mlflow", "numpy", "stabsearch", "sitecustomize", "own")
LISTENS = "0A"


@dataclass
class Watched:
    """What was seen while the sweep ran."""

    home: Home
    out: str = ""
    code: int = -1
    secrets: set[str] = field(default_factory=set)
    """Files that held the secret at some time."""
    elsewhere: set[str] = field(default_factory=set)
    """Addresses beyond this machine that its processes listened on."""
    num_listening: int = 0
    looks: int = 0

    def look(self, process: subprocess.Popen[str], *folders: Path) -> None:
        """Look into every file, and at every socket of the process's group."""
        self.looks += 1
        for folder in folders:
            self.secrets |= {str(path) for path in folder.rglob("*") if holds_secret(path)}
        addresses = listening(process.pid)
        self.num_listening = max(self.num_listening, len(addresses))
        self.elsewhere |= {address for address in addresses if not address.startswith(("127.", "::1"))}


def holds_secret(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink() and SECRET in path.read_bytes()
    except OSError:  # gone meanwhile
        return False


def listening(group: int) -> set[str]:
    """Return the addresses that the processes of a session listen on."""
    inodes = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.getsid(int(descriptor.parts[2])) == group and (
                link := str(descriptor.readlink())
            ).startswith("socket:"):
                inodes.add(link.removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    found = set()
    for table, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for line in Path(table).read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == LISTENS and parts[9] in inodes:
                found.add(_address(parts[1].partition(":")[0], family))
    return found


def _address(text: str, family: socket.AddressFamily) -> str:
    words = bytes.fromhex(text)
    packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    name = socket.inet_ntop(family, packed)
    return name.removeprefix("::ffff:")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Return a sweep on a private Ray that was looked at as long as it ran."""
    home = Home.made(tmp_path_factory.mktemp("secrets"), driver="ray")
    hostile = tmp_path_factory.mktemp("hostile")
    for name in STRANGERS:
        (hostile / f"{name}.py").write_text(f"open({str(hostile / 'imported')!r}, 'a').write({name!r})\n")
    database = f"sqlite:///file:{home.path / 'study.db'}?uri=true&mode=rwc&password={TEXT}"
    settings = (
        f"study.storage={database}", f"tracking.uri=http://ada:{TEXT}@127.0.0.1:9", "tracking.required=false",
        "budget.trials=6",
    )  # fmt: skip
    changes = [part for each in settings for part in ("--set", each)]
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as temporary:
        variables = {
            **os.environ,
            **dict.fromkeys(ENVIRONMENT, TEXT),
            "TMPDIR": temporary,
            "RAY_TMPDIR": temporary,
        }
        process = subprocess.Popen(
            [PROGRAM, "run", str(home.path / "sweep.yaml"), *changes],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=hostile, env=variables,
            start_new_session=True,
        )  # fmt: skip
        found, is_over = Watched(home), threading.Event()

        def look() -> None:
            while not is_over.wait(0.2):
                found.look(process, home.path, Path(temporary))

        looking = threading.Thread(target=look)
        looking.start()
        found.out, _ = process.communicate()
        is_over.set()
        looking.join()
        found.code = process.returncode
        found.look(process, home.path, Path(temporary))
        yield found


def test_it_ran_and_was_looked_at(watched: Watched) -> None:
    """Else none of the others would say anything."""
    assert watched.code in {0, 1, 2}, watched.out
    assert (watched.home.folder / "trials.csv").is_file(), watched.out
    assert (watched.home.path / "study.db").stat().st_size > 10_000
    assert watched.looks > 5


def test_no_file_ever_held_a_secret(watched: Watched) -> None:
    """Not the study, the resolved sweep, the reports, the tracker's own files, nor Ray's logs."""
    assert watched.secrets == set()
    assert "${STABSEARCH_STUDY_PASSWORD}" in (watched.home.folder / "sweep.resolved.yaml").read_text()


def test_nothing_was_printed_of_a_secret(watched: Watched) -> None:
    """Neither progress nor the tracker's complaints; a tracker that refuses is complained about."""
    assert TEXT not in watched.out
    assert "127.0.0.1:9" in watched.out


def test_it_listened_to_this_machine_only(watched: Watched) -> None:
    """Every socket of Ray's processes and ours."""
    assert watched.num_listening > 0
    assert watched.elsewhere == set()


def test_modules_of_the_current_folder_were_not_imported(watched: Watched) -> None:
    """Neither by the program nor by a worker: a sweep may be started anywhere."""
    imported = next(Path(watched.home.path.parent).glob("hostile*")) / "imported"
    assert not imported.exists(), imported.read_text()


@pytest.mark.parametrize("command", ["status", "report", "recommend"])
def test_it_is_read_with_the_password_of_the_environment(watched: Watched, command: str) -> None:
    """Without it two lines say which variable is missing; with it nothing is printed or kept of it."""
    asked = [PROGRAM, command, str(watched.home.folder)]
    bare = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    refused = subprocess.run(asked, capture_output=True, text=True, env=bare, check=False)
    assert refused.returncode == 2
    assert "set STABSEARCH_STUDY_PASSWORD" in refused.stderr
    known = {**bare, "STABSEARCH_STUDY_PASSWORD": TEXT}
    read = subprocess.run(asked, capture_output=True, text=True, env=known, check=False)
    assert read.returncode in {0, 1, 2}
    assert "Not enough evidence" in read.stdout + read.stderr or read.returncode < 2, read.stderr
    assert TEXT not in read.stdout + read.stderr
    assert not [path for path in watched.home.path.rglob("*") if holds_secret(path)]


def test_a_factory_is_looked_for_beside_its_sweep_and_not_where_one_stands(tmp_path: Path) -> None:
    """A module of the same name in the current folder is somebody else's."""
    sweep, here = tmp_path / "sweep", tmp_path / "here"
    for place in (sweep, here):
        place.mkdir()
    (here / "own_factory.py").write_text("raise SystemExit('the wrong one')\n")
    text = (
        "name: own\ntask: {type: trainer, factory: 'own_factory:make'}\ntraining: {max_steps: 9}\n"
        "search: {learning_rate: {low: 1.0e-4, high: 1.0}, warmup: [0], precision: [fp32]}\n"
        "tracking: {uri: none}\n"
    )
    (sweep / "sweep.yaml").write_text(text)
    said = subprocess.run(
        [sys.executable, "-P", PROGRAM, "run", str(sweep / "sweep.yaml"), "--dry-run"],
        capture_output=True, text=True, cwd=here, check=False,
    )  # fmt: skip
    assert said.returncode == 2
    assert "no module 'own_factory'" in said.stderr
