"""A sweep made ready for a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stabsearch.config.load import load_as_written, load_sweep
from stabsearch.config.schema import all_properties
from stabsearch.config.shipping import INPUTS
from stabsearch.config.write import difference
from stabsearch.driver.submission import prepared
from stabsearch.errors import UserError
from stabsearch.search.folder import SweepFolder

TASKS: dict[str, dict[str, Any]] = {
    "quickstart": {"type": "quickstart"},
    "trainer": {"type": "trainer", "factory": "mine:make"},
    "script": {"type": "script", "path": "train.py", "folder": "."},
    "text": {
        "type": "sequence-classification", "model": "./model", "tokenizer": "org/tokenizer",
        "data": {"train": "data/train.tsv", "eval": "data/dev.tsv"}, "text": "text", "label": "label",
    },
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder with code, data and a model."""
    folder = tmp_path / "project"
    for name in (
        "mine.py",
        "train.py",
        "data/train.tsv",
        "data/dev.tsv",
        "model/config.json",
        ".hidden/x.tsv",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text\tlabel\n")
    return folder


@pytest.fixture
def sweep(project: Path) -> Callable[..., Path]:
    """Write the project's sweep, and return its path."""

    def write(task: str | dict[str, Any] = "quickstart", **parts: Any) -> Path:
        known = TASKS[task] if isinstance(task, str) else task
        data = {"name": "tiny", "output_dir": "/shared/runs", "task": known,
                "training": {"max_steps": 40}, **parts}  # fmt: skip
        (project / "sweep.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
        return project / "sweep.yaml"

    return write


def sent(path: Path, *overrides: str, **options: Any) -> dict[str, bytes]:
    """Return what the archive holds."""
    with (
        prepared(path, overrides, **options) as submission,
        zipfile.ZipFile(submission.runtime_env["working_dir"]) as archive,
    ):
        return {name: archive.read(name) for name in archive.namelist()}


def refusal(path: Path, *overrides: str, **options: Any) -> UserError:
    with pytest.raises(UserError) as raised, prepared(path, overrides, **options):
        pass
    return raised.value


@pytest.mark.parametrize("task", TASKS)
def test_a_sweep_travels_with_all_that_it_names(sweep: Callable[..., Path], task: str) -> None:
    """Code, data and models beside the sweep come along, its bytes unchanged."""
    path = sweep(task)
    files = sent(path)
    assert files["sweep.yaml"] == path.read_bytes()
    assert {"mine.py", "data/train.tsv", "model/config.json", "stabsearch-start.sh"} <= set(files)
    assert ".hidden/x.tsv" not in files


def test_set_is_written_into_the_sweep_and_onto_no_command_line(sweep: Callable[..., Path]) -> None:
    """What --set gives would stand in the list of jobs."""
    path, url = sweep(), "study.storage=postgresql://me:${STABSEARCH_STUDY_PASSWORD}@a-host/x"
    with prepared(path, [url, "budget.trials=7"]) as submission:
        shown = repr((submission.base, submission.entrypoint, submission.metadata, submission.runtime_env))
    assert "a-host" not in shown
    (path.parent / "sent.yaml").write_bytes(sent(path, url, "budget.trials=7")["sweep.yaml"])
    there = load_as_written(path.parent / "sent.yaml").sweep
    assert there == load_as_written(path, [url, "budget.trials=7"]).sweep
    assert there.budget.trials == 7


def test_no_variable_goes_along_unless_it_is_named(
    sweep: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of who submits holds tokens; the list of jobs shows every variable of a job."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "planted-token")
    monkeypatch.setenv("GREETING", "hello")
    with prepared(sweep()) as submission:
        assert set(submission.runtime_env["env_vars"]) == {"RAY_JOB_STOP_WAIT_TIME_S"}
        assert submission.warnings == ()
    with prepared(sweep(), variables=["GREETING", "MLFLOW_TRACKING_TOKEN"]) as submission:
        assert submission.runtime_env["env_vars"]["GREETING"] == "hello"
        plain, secret = submission.warnings
    assert plain.startswith("--env GREETING: it is readable for everybody who may list this cluster's jobs")
    assert secret.startswith("--env MLFLOW_TRACKING_TOKEN: looks like a secret; it is readable")
    assert "planted-token" not in secret


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NOT_SET_ANYWHERE", "--env NOT_SET_ANYWHERE: not set here"),
        ("OMP_NUM_THREADS", "stabsearch or Ray sets it itself"),
        ("RAY_AUTH_TOKEN", "stabsearch or Ray sets it itself"),
        ("TOKEN=planted", "--env TOKEN=…: a value on a command line is seen by others"),
    ],
)
def test_a_variable_that_cannot_be_passed(sweep: Callable[..., Path], name: str, message: str) -> None:
    """Not set, already decided, or given with its value, which is not repeated."""
    error = refusal(sweep(), variables=[name])
    assert message in error.message
    assert "planted" not in str(error)


def test_an_id_tells_sweeps_apart_by_what_they_measure_and_where_they_are(sweep: Callable[..., Path]) -> None:
    """The same sweep is found again, whatever else changed; another one never is."""

    def base(*overrides: str, **parts: Any) -> str:
        with prepared(sweep(**parts), overrides) as submission:
            return submission.base

    first = base()
    assert first.startswith("stabsearch-tiny-")
    same = ("budget.trials=9", "resources.cpus_per_trial=2", "budget.concurrency=3", "training.max_steps=40")
    assert {base(each) for each in same} == {first}
    others = ("seed=1", "output_dir=/other", "search.precision=[bf16]", "training.max_steps=41", "name=tin")
    assert len({first, *(base(each) for each in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("output_dir", "place"), [("runs", "sweep.yaml:2: output_dir"), ("./here", "sweep.yaml:2: output_dir")]
)
def test_results_may_not_go_with_the_job(sweep: Callable[..., Path], output_dir: str, place: str) -> None:
    """A job's folder is a copy that Ray throws away."""
    error = refusal(sweep(output_dir=output_dir))
    assert place in error.message
    assert f"results in {output_dir!r} would go with the job's own copy" in error.message
    assert "--set output_dir=/PATH" in error.hint
    assert "stabsearch-tiny" in _base_of(sweep(output_dir=output_dir), "output_dir=/shared")


def _base_of(path: Path, *overrides: str) -> str:
    with prepared(path, overrides) as submission:
        return submission.base


def test_absolute_paths_are_of_the_cluster(sweep: Callable[..., Path], project: Path) -> None:
    """They need not be here, and nothing of them is sent."""
    data = {"train": "/nowhere/here/train.tsv", "eval": "~/dev.tsv"}
    assert "sweep.yaml" in sent(sweep({**TASKS["text"], "model": "/models/bert", "data": data}))
    assert "sweep.yaml" in sent(sweep({**TASKS["script"], "path": "/code/train.py", "folder": "/code"}))
    hub = {"path": "/data/saved", "split": "train"}
    assert "sweep.yaml" in sent(sweep({**TASKS["text"], "data": hub}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"train": "data/trian.tsv"}}, "task.data.train: no such file: 'data/trian.tsv'"),
        ({"data": {"train": "../outside.tsv"}}, "task.data.train: {root}/outside.tsv is outside of"),
        ({"data": {"train": ".hidden/x.tsv"}}, "task.data.train: {root}/project/.hidden/x.tsv is left out"),
        ({"model": "./modle"}, "task.model: no such folder: './modle'"),
    ],
)
def test_inputs_that_would_be_missing_there(
    sweep: Callable[..., Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """Told here, with file and line, instead of by a job that fails an hour later."""
    (tmp_path / "outside.tsv").write_text("x")
    error = refusal(sweep({**TASKS["text"], **change}))
    assert message.format(root=tmp_path) in error.message
    assert "sweep.yaml:" in error.message
    assert error.hint


def test_a_wider_folder_takes_in_what_lies_outside(sweep: Callable[..., Path], tmp_path: Path) -> None:
    """The sweep is then started from its place inside of it."""
    (tmp_path / "outside.tsv").write_text("x")
    path = sweep({**TASKS["text"], "data": {"train": "../outside.tsv"}})
    with prepared(path, working_dir=tmp_path) as submission:
        assert submission.entrypoint == "exec sh stabsearch-start.sh project/sweep.yaml"
    assert {"outside.tsv", "project/sweep.yaml"} <= set(sent(path, working_dir=tmp_path))


def test_a_folder_without_the_sweep_is_refused(sweep: Callable[..., Path], tmp_path: Path) -> None:
    """Beside it, hidden, or taken away by a pattern."""
    path = sweep()
    (tmp_path / "other").mkdir()
    assert "is outside of" in refusal(path, working_dir=tmp_path / "other").message
    assert "would not be sent itself" in refusal(path, excludes=["*.yaml"]).message
    assert "no such folder" in refusal(path, working_dir=tmp_path / "gone").message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("resources.driver=inline", "inline runs every trial in one process"),
        ("resources=auto", "resources: auto measures what one machine holds"),
        ("search.precision=[fp61]", "fp61"),
    ],
)
def test_a_sweep_that_cannot_run_there_is_refused_here(
    sweep: Callable[..., Path], override: str, message: str
) -> None:
    """Before anything is sent."""
    assert message in refusal(sweep(), override).message


def test_our_own_code_goes_along_unless_the_cluster_has_it(sweep: Callable[..., Path]) -> None:
    """One version decides what a sweep is."""
    with prepared(sweep()) as submission:
        (module,) = submission.runtime_env["py_modules"]
        assert (Path(module) / "driver" / "job_start.sh").is_file()
    with prepared(sweep(), ships_own_code=False) as submission:
        assert "py_modules" not in submission.runtime_env


def test_a_file_name_is_no_shell_code(project: Path, sweep: Callable[..., Path]) -> None:
    """The entrypoint is read by a shell."""
    odd = project / "a b;$(touch x).yaml"
    sweep().rename(odd)
    with prepared(odd) as submission:
        assert submission.entrypoint == "exec sh stabsearch-start.sh 'a b;$(touch x).yaml'"


def test_inputs_are_all_keys_that_name_files() -> None:
    """A new key whose description speaks of files or folders cannot be forgotten."""
    spoken = {key for key, node in all_properties() if "file" in (text := node.get("description", "").lower())
              or "folder" in text}  # fmt: skip
    no_inputs = {
        ("name",), ("output_dir",), ("task", "factory"), ("study", "storage"), ("tracking", "uri"),
        ("bad_batches", "max_gib"), ("budget", "disk_gib"),
    }  # fmt: skip
    assert spoken - no_inputs == set(INPUTS) - {("task", "data", "eval")}


@pytest.mark.parametrize("key", ["study.storage", "tracking.uri"])
def test_a_database_may_not_go_with_the_job_either(sweep: Callable[..., Path], key: str) -> None:
    """SQLite's three slashes are a relative path, four an absolute one."""
    error = refusal(sweep(), f"{key}=sqlite:///here.db")
    assert f"{key}=sqlite:///here.db: the database would go with the job's own copy" in error.message
    assert "stabsearch-tiny" in _base_of(sweep(), f"{key}=sqlite:////shared/there.db")


@pytest.mark.parametrize("key", ["study.storage", "tracking.uri"])
def test_a_password_stays_here(sweep: Callable[..., Path], key: str) -> None:
    """The cluster keeps the archive of every job; a variable in the place of the password is as good."""
    error = refusal(sweep(), f"{key}=postgresql://me:secret@db/x")
    assert "the password in it would lie in the job's archive" in error.message
    assert "secret" not in error.message + error.hint
    (written,) = [word.rstrip(",") for word in error.hint.split() if "@db/x" in word]
    assert "stabsearch-tiny" in _base_of(sweep(), f"{key}={written.replace('db/x', 'db/y')}")


@pytest.mark.parametrize("folder", ["/tmp/ray/s1/w/_ray_pkg_0a", "/other/s2/w/_ray_pkg_ff99"])
def test_a_job_goes_on_with_what_another_job_began(
    project: Path, sweep: Callable[..., Path], folder: str, tmp_path: Path
) -> None:
    """Every job has its files somewhere else; the sweep is the same until another file is meant."""
    there = load_sweep(sweep("text")).sweep
    moved = _moved(there, folder)
    assert difference(_moved(there, "/tmp/ray/s0/w/_ray_pkg_77"), moved) == []
    renamed = moved.model_copy(update={"task": moved.task.model_copy(update={"model": f"{folder}/other"})})
    assert difference(_moved(there, "/tmp/ray/s0/w/_ray_pkg_77"), renamed) == [
        "task.model: <package>/model -> <package>/other"
    ]
    assert difference(there, moved) != []


def test_a_job_goes_on_where_the_files_of_the_first_are_gone(
    tmp_path: Path, sweep: Callable[..., Path]
) -> None:
    """A cluster that was started anew has nothing of what it unpacked before."""
    first = load_sweep(sweep("text"), [f"output_dir={tmp_path}"]).sweep
    SweepFolder(_moved(first, "/gone/_ray_pkg_12")).path.mkdir()
    SweepFolder(_moved(first, "/gone/_ray_pkg_12")).write_resolved()
    SweepFolder(_moved(first, "/also/_ray_pkg_34"), "must").check()


def _moved(sweep: Any, folder: str) -> Any:
    """Return a sweep with its files in another folder."""
    text = sweep.model_dump_json()
    project = str(Path(sweep.task.data.train).parent.parent)
    return type(sweep).model_validate_json(text.replace(project, folder))


def test_the_start_script_takes_the_first_python_that_has_everything(
    tmp_path: Path, sweep: Callable[..., Path]
) -> None:
    """Where Ray's own cannot be told, one on the path does; without any, the error says what is missing."""
    script = tmp_path / "start.sh"
    script.write_bytes(sent(sweep())["stabsearch-start.sh"])
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    variables = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    lacking = _started(script, variables, "x.yaml")
    assert lacking.returncode == 2
    assert "the cluster's head cannot run stabsearch: python3 lacks: stabsearch ray torch" in lacking.stderr
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    ran = _started(script, {**variables, "PYTHONPATH": os.pathsep.join(sys.path)}, "missing.yaml")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("missing.yaml: no such file")


def _started(script: Path, variables: dict[str, str], name: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(script), name]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, check=False, cwd=script.parent
    )
