"""What a stranger may have written: nothing of it is run, nothing outside of the folder is touched."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from experiments.fuzz.bundles import made as made_bundle
from experiments.fuzz.running import Said, snapshot, stabsearch
from experiments.fuzz.studies import made
from stabsearch.search.attributes import PLAN, RECORD, SWEEP, VOID
from stabsearch.search.stored import read_study, records_in

READING = ("status", "report", "recommend")
_unpickled: list[str] = []


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class" and _is_listening:
        _unpickled.append(".".join(map(str, arguments)))


_is_listening = False
sys.addaudithook(_heard)


@pytest.fixture
def unpickled() -> Iterator[list[str]]:
    """Listen to what is looked up by a pickle: Python tells of every class, whoever reads it."""
    global _is_listening  # noqa: PLW0603 - a hook cannot be taken away again
    _unpickled.clear()
    _is_listening = True
    yield _unpickled
    _is_listening = False


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a sweep whose trials are all there."""
    return made(tmp_path_factory.mktemp("whole")).parent.parent


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of it, whose results are its own."""
    copy = tmp_path / "home"
    shutil.copytree(whole, copy)
    text = (copy / "sweep.yaml").read_text().replace(str(whole), str(copy))
    (copy / "sweep.yaml").write_text(text)
    return copy


@pytest.fixture
def folder(home: Path) -> Path:
    """Return the folder of its results."""
    return home / "runs" / "tiny"


def with_line(
    folder: Path, change: Callable[[dict[str, Any]], None], key: str, trial: int | None = None
) -> int:
    """Change the last line of a journal that says something, and return its number."""
    path = folder / "study.journal"
    lines = path.read_text().splitlines()
    for at in reversed(range(len(lines))):
        log = json.loads(lines[at])
        if key in log.get("user_attr", {}) and log.get("trial_id") == trial:
            change(log["user_attr"][key])
            lines[at] = json.dumps(log)
            path.write_text("".join(f"{line}\n" for line in lines))
            return at + 1
    raise AssertionError(f"no line says {key}")


def refused(folder: Path, *commands: str) -> Said:
    """Return what the last command said; each has to refuse in two lines, and to change nothing."""
    before = snapshot(folder.parent.parent)
    for command in commands or READING:
        sweep = folder.parent.parent / "sweep.yaml"
        said = stabsearch(*((command, sweep, "--quiet") if command == "run" else (command, folder)))
        assert said.is_refusal, f"{command}: {said}"
        assert snapshot(folder.parent.parent) == before
    return said


NO_SUCH_TRIAL = '{"op_code": 8, "worker_id": "w", "trial_id": 77, "user_attr": {"a": 1}}'
NO_DATE = '{"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": "yesterday"}'
NO_OPERATION = "damaged: it is no operation of a study"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: lines[4:5] + lines[:4] + lines[5:], "study.journal:1: damaged: it is about trial"),
        (lambda lines: [*lines[:6], "{", *lines[6:]], f"study.journal:7: {NO_OPERATION}"),
        (lambda lines: [*lines, "{}"], NO_OPERATION),
        (lambda lines: [*lines, "nonsense"], NO_OPERATION),
        (lambda lines: [*lines[:9], NO_SUCH_TRIAL], "study.journal:10: damaged: it is about trial 77"),
        (lambda lines: [*lines[:9], NO_DATE], "study.journal:10: damaged: Optuna says ValueError"),
        (lambda lines: [line for line in lines if RECORD not in line], "it has ended and has no record"),
        (lambda lines: [], "is empty or missing, and the sweep was begun"),
    ],
    ids=["moved", "torn", "foreign", "last", "missing", "date", "no records", "empty"],
)
def test_a_damaged_journal_is_named_with_its_line(
    folder: Path, damage: Callable[[list[str]], list[str]], words: str
) -> None:
    """Reading and resuming both refuse it, and leave every byte as it was."""
    path = folder / "study.journal"
    path.write_text("".join(f"{line}\n" for line in damage(path.read_text().splitlines())))
    commands = ("run",) if "nonsense" in path.read_text() else (*READING, "run")
    assert words in refused(folder, *commands).err


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("version", 99, "trial record of version 99"),
        ("steps", "many", "steps is 'many'"),
        ("steps", -3, "a count is out of range"),
        ("outcome", "wonderful", "'wonderful' is not a valid Outcome"),
        ("bundle", "../../../etc", "'../../../etc' is no name of a bundle"),
        ("bundle", "/etc", "'/etc' is no name of a bundle"),
        ("trace", {"steps": [1], "losses": [], "grad_norms": []}, "its curves have different lengths"),
        ("suspect_rows", [-1], "a count is out of range"),
    ],
)
def test_a_record_that_no_worker_writes_is_named(folder: Path, field: str, value: object, words: str) -> None:
    """With its trial and its line; above all a path that would lead out of the sweep's folder."""
    line = with_line(folder, lambda record: record.update({field: value}), RECORD, 3)
    said = refused(folder, *READING, "run")
    assert said.err.startswith(f"{folder / 'study.journal'}:{line}: damaged: trial 3: ")
    assert words in said.err


def test_a_plan_that_was_changed_is_named(folder: Path) -> None:
    """Each is stored twice: a learning rate that differs from what was asked for is no measurement."""
    with_line(folder, lambda plan: plan.update({"learning_rate": 0.123}), PLAN, 2)
    assert "trial 2: its plan is not the one that was asked for" in refused(folder, *READING, "run").err


def test_a_sweep_in_the_study_that_is_none_is_named(folder: Path) -> None:
    """With the first field that is wrong."""
    with_line(folder, lambda sweep: sweep["sweep"]["budget"].update({"trials": -1}), SWEEP)
    assert "the sweep that the study holds is damaged: budget.trials" in refused(folder, *READING, "run").err


def test_control_characters_of_a_record_stay_off_the_terminal(folder: Path) -> None:
    """A message is text, whatever a terminal would make of it."""
    message = "\x1b]0;owned\x07\nsecond line"
    with_line(folder, lambda record: record.update({"message": message}), RECORD, 3)
    record = records_in(read_study(folder))[3]
    assert record.message == r"\x1b]0;owned\x07\nsecond line"


def test_a_trial_that_was_killed_before_it_had_a_plan_is_no_damage(folder: Path) -> None:
    """It has ended without a record, without parameters and without a start: nothing was run for it."""
    study = read_study(folder)
    study.enqueue_trial({"learning_rate": 0.01})
    waiting = study.get_trials(states=(TrialState.WAITING,))[0]
    study._storage.set_trial_user_attr(waiting._trial_id, VOID, True)
    study._storage.set_trial_state_values(waiting._trial_id, TrialState.FAIL)
    assert len(records_in(read_study(folder))) == 10
    assert stabsearch("status", folder).code in {0, 1, 2}
    assert "damaged" not in stabsearch("status", folder).err


def test_a_lock_that_is_a_link_empties_nobody_elses_file(folder: Path, tmp_path: Path) -> None:
    """A driver empties its lock to write its name: through a link, that would be another file."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (folder / ".lock").unlink(missing_ok=True)
    (folder / ".lock").symlink_to(precious)
    assert "cannot write into" in refused(folder, "run").err
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("name", [".sweep.resolved.yaml.part", ".diagnosis.json.part"])
def test_a_half_written_file_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    """What a killed driver left is written anew, not through."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (folder / name).symlink_to(precious)
    assert not stabsearch("run", folder.parent.parent / "sweep.yaml", "--quiet").problem
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("name", [".lock", "study.journal", "sweep.resolved.yaml", "frontier.json"])
def test_a_pipe_is_not_waited_for(folder: Path, name: str) -> None:
    """Nobody may ever write to it."""
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    refused(folder, "run")


def test_a_database_of_another_program_is_given_no_tables(folder: Path, tmp_path: Path) -> None:
    """The resolved sweep of a stranger may name any file; to read a study is to write nothing."""
    theirs = tmp_path / "theirs.db"
    database = sqlite3.connect(theirs)
    database.execute("create table money (amount integer)")
    database.close()
    before = theirs.read_bytes()
    (folder / "sweep.resolved.yaml").write_text(f"name: tiny\nstudy: {{storage: 'sqlite:///{theirs}'}}\n")
    assert "it lacks studies" in refused(folder).err
    assert theirs.read_bytes() == before


def test_studies_and_bundles_are_never_unpickled(folder: Path, tmp_path: Path, unpickled: list[str]) -> None:
    """Read, resumed, reported, replayed: no class is ever looked up by a pickle."""
    database = made(tmp_path / "database", study={"storage": f"sqlite:///{tmp_path / 'study.db'}"})
    bundle = made_bundle(tmp_path / "bundles")
    unpickled.clear()  # what makes them may do as it likes
    for each in (folder, database):
        for command in READING:
            assert not stabsearch(command, each).problem
        assert not stabsearch("run", each.parent.parent / "sweep.yaml", "--quiet").problem
    assert stabsearch("replay", bundle).code == 0
    assert unpickled == []


def test_the_ear_for_pickles_hears_one(unpickled: list[str]) -> None:
    """A test that hears nothing would pass everything."""
    pickle.loads(pickle.dumps(Path("x")))
    assert unpickled
