"""Damaged studies and files beside them: read, resumed or refused, never half of each."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from experiments.fuzz.mutations import JSON_LINES, byte_damage, json_line_damage, line_damage, value_damage
from experiments.fuzz.running import checked, stabsearch
from experiments.fuzz.tally import Tally

SWEEP: dict[str, Any] = {
    "name": "tiny",
    "task": {"type": "quickstart", "num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1},
    "training": {"max_steps": 12, "per_device_train_batch_size": 4},
    "search": {"learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0], "precision": ["fp32", "bf16"]},
    "budget": {"trials": 10, "horizon": 8},
    "risk": {"confirmation_trials": 2},
    "tracking": {"uri": "none"},
    "resources": {"driver": "inline"},
}
READING = (
    ("status",),
    ("status", "--json"),
    ("report",),
    ("recommend",),
    ("recommend", "--format", "python"),
)
Damage = Callable[[Path, random.Random], None]


def made(home: Path, **changes: Any) -> Path:
    """Return the folder of a sweep whose trials were played by a script: all of its files are there.

    Args:
        home: where sweep file and results go.
        changes: parts of the sweep that are otherwise.
    """
    from stabsearch.config import load_sweep, resolve
    from stabsearch.search.campaign import Campaign
    from stabsearch.search.folder import SweepFolder
    from stabsearch.sweep.prepared import Prepared
    from stabsearch.sweep.reading import rebuild_reports
    from stabsearch.sweep.result import installed_versions
    from stabsearch.sweep.running import open_study
    from stabsearch.testing.records import breaks_above
    from stabsearch.testing.scripted import ScriptedDriver

    home.mkdir(parents=True, exist_ok=True)
    file = home / "sweep.yaml"
    file.write_text(yaml.safe_dump({**SWEEP, "output_dir": str(home / "runs"), **changes}, sort_keys=False))
    sweep = load_sweep(file).sweep
    prepared, folder = Prepared(sweep, resolve(sweep, 64)), SweepFolder(sweep)
    with folder.locked() as path:
        study = open_study(prepared, path)
        folder.write_resolved()
        study.keep_sweep(
            {**prepared.to_json(), "command": "stabsearch run", "versions": installed_versions()}
        )
        campaign = Campaign(
            study, sweep, prepared.resolved.contexts, prepared.stages, on_started=_ignore, on_finished=_ignore
        )
        ScriptedDriver(breaks_above(0.03)).run(campaign)
    rebuild_reports(path)
    return path


def _ignore(_: Any) -> None:
    """Nobody watches."""


def fuzz_studies(num_cases: int, seed: int, home: Path, *, resume_every: int = 10) -> list[Tally]:
    """Return how reading and resuming damaged studies ended, one tally per kind of damage."""
    journal, database = made(home / "journal"), home / "database"
    url = f"sqlite:///{database / 'study.db'}"
    whole = {"journal": journal, "database": made(database, study={"storage": url})}
    tallies = {name: Tally(name, seed) for name in DAMAGES}
    for case in range(num_cases):
        rng = random.Random(f"{seed}/{case}")
        name = list(DAMAGES)[case % len(DAMAGES)]
        kind, damage = DAMAGES[name]
        work = _copied(whole[kind].parent.parent, home / "work" if kind == "journal" else None)
        try:
            damage(work / "runs" / "tiny", rng)
            _count(tallies[name], work, case, rng, resume_every)
        finally:
            if kind == "database":
                shutil.rmtree(work)
                shutil.copytree(home / "database.whole", work)
    return list(tallies.values())


def _copied(home: Path, to: Path | None) -> Path:
    """Return a copy of a sweep's home; that of a database stays in place, since its address is absolute."""
    if to is None:
        if not (kept := home.with_name("database.whole")).exists():
            shutil.copytree(home, kept)
        return home
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(home, to)
    text = (to / "sweep.yaml").read_text().replace(str(home), str(to))
    (to / "sweep.yaml").write_text(text)
    return to


def _count(tally: Tally, work: Path, case: int, rng: random.Random, resume_every: int) -> None:
    folder = work / "runs" / "tiny"
    if case // len(DAMAGES) % resume_every == resume_every - 1:
        command: tuple[str | Path, ...] = ("run", work / "sweep.yaml", "--resume", "auto", "--quiet")
    else:
        command, *options = rng.choice(READING)  # type: ignore[assignment]
        command = (str(command), folder, *options)
    said, problem = checked(lambda: stabsearch(*command), work)
    end = "refused" if said.is_refusal else "resumed" if command[0] == "run" else "read"
    tally.count(end, problem, f"case {case}, {command[0]}")


def _in_file(name: str, how: Callable[[bytes, random.Random], bytes]) -> Damage:
    def damage(folder: Path, rng: random.Random) -> None:
        path = folder / name
        path.write_bytes(how(path.read_bytes(), rng))

    return damage


def _yaml_values(content: bytes, rng: random.Random) -> bytes:
    text: str = yaml.safe_dump(value_damage(yaml.safe_load(content), rng), allow_unicode=True)
    return text.encode(errors="surrogatepass")


def _foreign(_: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        [b"", *(line + b"\n" for line in JSON_LINES), rng.randbytes(400), b"\x00" * 4096, b"PK\x03\x04"]
    )


def _other_kind(folder: Path, rng: random.Random) -> None:
    """Put a folder, a pipe, a link or nothing where a file was."""
    path = folder / rng.choice(
        ["study.journal", "sweep.resolved.yaml", ".lock", "frontier.json", "study.journal.lock"]
    )
    path.unlink(missing_ok=True)
    how = rng.randrange(5)
    if how == 0:
        path.mkdir()
    elif how == 1:
        os.mkfifo(path)
    elif how == 2:
        path.symlink_to(path.name)
    elif how == 3:
        path.symlink_to("/dev/zero" if path.name != "study.journal.lock" else "nowhere")


def _beside(folder: Path, rng: random.Random) -> None:
    """Damage files that are written and hardly ever read."""
    names = ["frontier.json", "trials.csv", "trials.parquet", "recommended.json", "report.html", ".lock"]
    for name in rng.sample(names, 2):
        path = folder / name
        path.write_bytes(byte_damage(path.read_bytes() if path.exists() else b"x", rng))
    (folder / "diagnosis.json").write_bytes(rng.choice([*JSON_LINES, b'{"cause": 1}', rng.randbytes(99)]))
    (folder / ".trials.csv.123.part").write_bytes(b"half")


def _database_bytes(folder: Path, rng: random.Random) -> None:
    path = folder.parent.parent / "study.db"
    content = bytearray(path.read_bytes())
    how = rng.randrange(4)
    if how == 0:
        del content[rng.randrange(len(content)) :]
    else:
        for _ in range(rng.choice([1, 20, 2000])):
            content[rng.randrange(len(content) if how > 1 else 4096)] = rng.randrange(256)
    path.write_bytes(bytes(content))


def _database_values(folder: Path, rng: random.Random) -> None:
    """Change what a row says, or lose rows or tables."""
    database = sqlite3.connect(folder.parent.parent / "study.db")
    with database:
        how = rng.randrange(5)
        table = rng.choice(["trial_user_attributes", "study_user_attributes"])
        rows = database.execute(f"select rowid, value_json from {table}").fetchall()
        row, value = rng.choice(rows)
        if how <= 1:
            new = json.dumps(value_damage(json.loads(value), rng))
            database.execute(f"update {table} set value_json = ? where rowid = ?", (new, row))
        elif how == 2:
            text = rng.choice([line.decode(errors="replace") for line in JSON_LINES])
            database.execute(f"update {table} set value_json = ? where rowid = ?", (text, row))
        elif how == 3:
            lost = rng.choice([table, "trials", "trial_params", "trial_values", "studies"])
            database.execute(f"delete from {lost} where rowid = (select min(rowid) from {lost})")
        else:
            database.execute(
                f"drop table {rng.choice([table, 'trials', 'studies', 'version_info', 'alembic_version'])}"
            )
    database.close()


DAMAGES: dict[str, tuple[str, Damage]] = {
    "journal, bytes": ("journal", _in_file("study.journal", byte_damage)),
    "journal, lines": ("journal", _in_file("study.journal", line_damage)),
    "journal, values": ("journal", _in_file("study.journal", json_line_damage)),
    "journal, another file": ("journal", _in_file("study.journal", _foreign)),
    "resolved sweep, bytes": ("database", _in_file("sweep.resolved.yaml", byte_damage)),
    "resolved sweep, values": ("database", _in_file("sweep.resolved.yaml", _yaml_values)),
    "resolved sweep, of a journal": ("journal", _in_file("sweep.resolved.yaml", byte_damage)),
    "files beside it": ("journal", _beside),
    "no plain files": ("journal", _other_kind),
    "database, bytes": ("database", _database_bytes),
    "database, values": ("database", _database_values),
}
