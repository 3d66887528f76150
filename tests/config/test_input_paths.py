"""Input paths start at the folder of the sweep file; ids on the Hub stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from stabsearch.config import HubData, LocalData, SequenceClassificationTask, load_sweep
from stabsearch.errors import UserError

TEXT = """\
name: a
training: {{max_steps: 400}}
task:
  type: sequence-classification
  model: {model}
  data: {data}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there/train.tsv", "there/dev.tsv", "outside.tsv"):
        (tmp_path / name).write_text("text\tlabel\n")
    (tmp_path / "there/tiny").mkdir()
    monkeypatch.chdir(tmp_path)


def task_of(model: str = "a/b", data: str = "{train: train.tsv}") -> SequenceClassificationTask:
    """Return the task of ``there/sweep.yaml``, loaded from the folder above it."""
    Path("there/sweep.yaml").write_text(TEXT.format(model=model, data=data))
    task = load_sweep(Path("there/sweep.yaml")).sweep.task
    assert isinstance(task, SequenceClassificationTask)
    return task


def test_data_files_become_absolute(tmp_path: Path) -> None:
    """A sweep can be run from any folder."""
    data = task_of(data="{train: train.tsv, eval: ../outside.tsv}").data
    there = tmp_path.resolve()
    assert data == LocalData(train=str(there / "there/train.tsv"), eval=str(there / "outside.tsv"))


@pytest.mark.parametrize("name", ["tiny", "./tiny", "../there/tiny"])
def test_an_existing_model_folder_becomes_absolute(name: str, tmp_path: Path) -> None:
    """With or without a leading dot."""
    assert task_of(model=name).model == str(tmp_path.resolve() / "there/tiny")


def test_ids_on_the_hub_stay() -> None:
    """What is no folder here is an id."""
    task = task_of(model="google-bert/bert-base-uncased", data="{path: nyu-mll/glue, name: sst2}")
    assert (task.model, task.data) == (
        "google-bert/bert-base-uncased",
        HubData(path="nyu-mll/glue", name="sst2"),
    )


def test_a_data_set_folder_becomes_absolute(tmp_path: Path) -> None:
    """A Hub data set may lie here as a folder."""
    assert task_of(data="{path: tiny}").data == HubData(path=str(tmp_path.resolve() / "there/tiny"))


def test_a_missing_file_is_named_with_its_line_and_neighbour(tmp_path: Path) -> None:
    """Where it was looked for, and what lies there under a similar name."""
    with pytest.raises(UserError) as caught:
        task_of(data="{train: trian.tsv}")
    read_as = tmp_path.resolve() / "there/trian.tsv"
    assert str(caught.value) == (
        f"there/sweep.yaml:6: task.data.train: no such file: 'trian.tsv' (read as {read_as})\n"
        "  did you mean 'train.tsv'?"
    )


def test_a_missing_held_out_file_is_an_error_too() -> None:
    """A wrong path never passes silently."""
    with pytest.raises(UserError, match=r"task\.data\.eval: no such file: 'nothing\.tsv'"):
        task_of(data="{train: train.tsv, eval: nothing.tsv}")


def test_a_folder_is_no_data_file() -> None:
    """The other form is named."""
    with pytest.raises(UserError) as caught:
        task_of(data="{train: tiny}")
    assert str(caught.value) == (
        "there/sweep.yaml:6: task.data.train: 'tiny' is a folder, not a file\n"
        "  name the file itself, or write data: {path: FOLDER} for a data set folder"
    )


@pytest.mark.parametrize("name", ["./tinny", "../there/tinny"])
def test_a_missing_local_model_is_not_looked_for_on_the_hub(name: str, tmp_path: Path) -> None:
    """A leading dot means a folder; both ways out are named."""
    with pytest.raises(UserError) as caught:
        task_of(model=name)
    assert str(caught.value) == (
        f"there/sweep.yaml:5: task.model: no such folder: {name!r} "
        f"(read as {tmp_path.resolve() / 'there/tinny'})\n"
        "  did you mean 'tiny'?; for a model or data set on the Hub write its id, without a leading '.'"
    )


def test_the_output_folder_starts_at_the_current_folder() -> None:
    """Results are no input: they go where the command is run."""
    Path("there/sweep.yaml").write_text("name: a\ntask: {type: quickstart}\ntraining: {max_steps: 3}\n")
    assert load_sweep(Path("there/sweep.yaml")).sweep.output_dir == "runs"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The first part of the path that is wrong."""
    with pytest.raises(UserError) as caught:
        task_of(data="{train: nowhere/train.tsv}")
    folder = tmp_path.resolve() / "there/nowhere"
    assert caught.value.hint == (
        f"the folder {folder} is not there either; relative paths start at the sweep file"
    )
