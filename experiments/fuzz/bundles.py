"""Damaged bundles of a first bad batch: replayed, or refused; never unpickled, never half."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from experiments.fuzz.mutations import byte_damage, value_damage
from experiments.fuzz.running import LIMIT_S, checked, stabsearch
from experiments.fuzz.tally import Tally

TENSORS = ("weights.safetensors", "initial.safetensors", "batch.safetensors")


def made(home: Path) -> Path:
    """Return the bundle of a trial that broke."""
    from stabsearch.config.tasks import QuickstartTask
    from stabsearch.records import Stage, TrialPlan
    from stabsearch.task.registry import build_workload
    from stabsearch.trial.run import run_trial
    from stabsearch.trial.setup import TrialSetup

    task = QuickstartTask(num_rows=64, hidden_size=16, num_hidden_layers=1)
    training = {"per_device_train_batch_size": 4}
    setup = TrialSetup(12, training=training, bundle_dir=str(home), max_bundle_bytes=1 << 30)
    plan = TrialPlan(0, Stage.SEARCH, 1e6, 0, 0.0, "fp32", 1, 2, horizon=12)
    record = run_trial(plan, build_workload(task), setup)
    assert record.bundle, f"no bundle of {record}"
    return home / record.bundle


def fuzz_bundles(num_cases: int, seed: int, home: Path) -> list[Tally]:
    """Return how replays of damaged bundles ended, one tally per kind of damage."""
    whole = made(home / "whole")
    tallies = {name: Tally(name, seed) for name in DAMAGES}
    for case in range(num_cases):
        rng = random.Random(f"{seed}/{case}")
        name = list(DAMAGES)[case % len(DAMAGES)]
        work = home / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(whole, work)
        DAMAGES[name](work, rng)
        said, problem = checked(partial(stabsearch, "replay", work, *rng.choice([(), ("--json",)])), home)
        end = "refused" if said.is_refusal else "replayed"
        tallies[name].count(end, problem, f"case {case}, at most {LIMIT_S} s")
    return list(tallies.values())


def _manifest_bytes(folder: Path, rng: random.Random) -> None:
    path = folder / "bundle.json"
    path.write_bytes(byte_damage(path.read_bytes(), rng))


def _manifest_values(folder: Path, rng: random.Random) -> None:
    path = folder / "bundle.json"
    data = value_damage(json.loads(path.read_text()), rng)
    path.write_text(json.dumps(data), errors="surrogatepass")


def _model_values(folder: Path, rng: random.Random) -> None:
    """Damage what is made anew from the manifest: the model's configuration, or the Trainer's arguments."""
    path = folder / "bundle.json"
    data = json.loads(path.read_text())
    part, key = rng.choice(
        [("model", "config"), ("trainer", "arguments"), ("model", "dropout"), ("model", "cls")]
    )
    data[part][key] = value_damage(data[part][key], rng)
    path.write_text(json.dumps(data), errors="surrogatepass")


def _tensors(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice([name for name in TENSORS if (folder / name).is_file()])
    path.write_bytes(byte_damage(path.read_bytes(), rng))


def _tensors_signed(folder: Path, rng: random.Random) -> None:
    """Damage tensors, and put their new checksum into the manifest: nobody notices by that."""
    path = folder / rng.choice([name for name in TENSORS if (folder / name).is_file()])
    content = path.read_bytes()
    if rng.random() < 0.5:  # the header: names, shapes, places
        length = int.from_bytes(content[:8], "little")
        header = json.dumps(value_damage(json.loads(content[8 : 8 + length]), rng)).encode(
            errors="surrogatepass"
        )
        content = len(header).to_bytes(8, "little") + header + content[8 + length :]
    else:
        content = byte_damage(content, rng)
    path.write_bytes(content)
    manifest: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    manifest["files"][path.name] = hashlib.sha256(content).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(manifest))


def _files(folder: Path, rng: random.Random) -> None:
    """Put a folder, a pipe, a link or nothing where a file was."""
    path = folder / rng.choice(["bundle.json", *TENSORS])
    path.unlink(missing_ok=True)
    how = rng.randrange(4)
    if how == 0:
        path.mkdir()
    elif how == 1:
        os.mkfifo(path)
    elif how == 2:
        path.symlink_to("/dev/zero")


DAMAGES = {
    "bundle.json, bytes": _manifest_bytes,
    "bundle.json, values": _manifest_values,
    "bundle.json, model and arguments": _model_values,
    "tensors, bytes": _tensors,
    "tensors, checksum to match": _tensors_signed,
    "bundle, no plain files": _files,
}
