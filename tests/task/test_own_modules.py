"""A factory of the user's: found, imported, and named with its own place where that fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from own_code_samples import SOUND, arguments, module, task

from stabsearch.config import TrainerTask
from stabsearch.errors import UserError
from stabsearch.records import Stage, TrialPlan
from stabsearch.task.own_code import NAMED_OTHERWISE
from stabsearch.task.own_trainer import build
from stabsearch.trial.setup import TrialSetup

pytestmark = pytest.mark.usefixtures("own_path")
PLAN = TrialPlan(0, Stage.SEARCH, 1e-3, 2, 1.0, "fp32", 3, 5, 6)
SETUP = TrialSetup(max_steps=40, training={"per_device_train_batch_size": 4})

PLACES = {
    "a file": ("train.py:make_trainer", "no module 'train.py'", r"write train:\.\.\., without \.py"),
    "no module": ("nowhere_at_all:make_trainer", "no module 'nowhere_at_all'", "it is looked for in"),
    "no function": ("{name}:make", "no 'make' in users_", "it holds .*make_trainer"),
    "no callable": ("{name}:NUMBER", "is a int, and cannot be called", "name a function"),
}


def test_modules_of_one_name_in_two_folders(tmp_path: Path) -> None:
    """Each sweep gets its own, in one process too."""
    found = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        code = f"def make_trainer(args):\n    t = Trainer(model=model(), args=args, train_dataset=rows())\n" \
               f"    t.place = {name!r}\n    return t"  # fmt: skip
        module(folder, "users_train", code)
        workload = build(TrainerTask(type="trainer", factory="users_train:make_trainer", folder=str(folder)))
        found.append(workload.trainer(arguments(tmp_path), 0).place)  # type: ignore[attr-defined]
    assert found == ["one", "other"]


def test_a_module_that_is_called_like_another(tmp_path: Path) -> None:
    """Python would give the other one, without a word."""
    module(tmp_path, "textwrap")
    with pytest.raises(UserError, match=r"'textwrap' was imported from .*textwrap\.py before") as raised:
        build(TrainerTask(type="trainer", factory="textwrap:make_trainer", folder=str(tmp_path)))
    assert raised.value.hint == "give your module a name of its own"


def test_a_folder_that_another_machine_has(tmp_path: Path) -> None:
    """A worker on a cluster says what it misses."""
    away = TrainerTask(type="trainer", factory="train:make_trainer", folder=str(tmp_path / "away"))
    with pytest.raises(UserError, match=r"no folder .*away on this machine"):
        build(away)


@pytest.mark.parametrize("place", PLACES)
def test_a_factory_that_is_not_there(tmp_path: Path, place: str) -> None:
    """The error says where it was looked for, or what there is."""
    factory, message, hint = PLACES[place]
    whole = task(tmp_path, SOUND + "\nNUMBER = 5")
    name = whole.factory.partition(":")[0]
    with pytest.raises(UserError, match=message) as raised:
        build(whole.model_copy(update={"factory": factory.format(name=name)}))
    assert re.search(hint, raised.value.hint)
    assert raised.value.key == ("task", "factory")


def test_a_module_that_cannot_be_imported(tmp_path: Path) -> None:
    """What it lacks is not taken for the module itself."""
    with pytest.raises(
        UserError, match=r"raised ModuleNotFoundError: No module named 'not_installed'"
    ) as raised:
        build(task(tmp_path, "import not_installed"))
    assert raised.value.hint.startswith("pip install not_installed, where stabsearch runs")


def test_a_package_that_it_lacks(tmp_path: Path) -> None:
    """Also where it is imported late."""
    workload = build(task(tmp_path, "def make_trainer(args):\n    import not_installed.metrics"))
    with pytest.raises(UserError) as raised:
        workload.trainer(arguments(tmp_path), 0)
    assert raised.value.hint.startswith("pip install not_installed, where stabsearch runs")


def test_a_part_that_an_installed_package_lacks(tmp_path: Path) -> None:
    """Another version may have it; installing it again does not help."""
    workload = build(task(tmp_path, "def make_trainer(args):\n    import torch.not_there"))
    with pytest.raises(UserError) as raised:
        workload.trainer(arguments(tmp_path), 0)
    assert "pip install" not in raised.value.hint


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("ModuleNotFoundError('no', name='PIL_.Image')", "pip install PIL_,"),
        ("ModuleNotFoundError('no', name='users_known.part')", "pip install users-known,"),
        ("importlib.metadata.PackageNotFoundError('x>=1: not found')", "call it by itself"),
        ("ModuleNotFoundError('no name')", "call it by itself"),
    ],
)
def test_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, hint: str) -> None:
    """By the name that it is installed by, where there is one."""
    monkeypatch.setitem(NAMED_OTHERWISE, "users_known", "users-known")
    code = f"import importlib.metadata\ndef make_trainer(args):\n    raise {error}"
    with pytest.raises(UserError) as raised:
        build(task(tmp_path, code)).trainer(arguments(tmp_path), 0)
    assert raised.value.hint.startswith(hint)


def test_the_place_is_found_through_a_link(tmp_path: Path) -> None:
    """The last line of the user's own, not that of the library that it called."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    code = "import json\ndef make_trainer(args):\n    json.loads('{')"
    with pytest.raises(UserError, match=r"\(.*users_\w+\.py:\d+\)"):
        build(task(tmp_path / "link", code)).trainer(arguments(tmp_path), 0)


def test_a_module_that_is_no_python(tmp_path: Path) -> None:
    """The place is in the error."""
    with pytest.raises(UserError, match=r"raised SyntaxError: .*users_\w+\.py"):
        build(task(tmp_path, "def make_trainer(:"))
