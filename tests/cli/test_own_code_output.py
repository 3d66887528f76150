"""What code of the user's prints never gets into an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_code_samples import MAIN, module, script

LOUD = """
print("imported")
class Loud(Trainer):
    def compute_loss(self, *given, **named):
        print("a loss")
        return super().compute_loss(*given, **named)
"""


def factory_task(folder: Path) -> dict[str, Any]:
    code = 'def make_trainer(args):\n    print("made")\n'
    module(
        folder, "users_loud", LOUD + code + "    return Loud(model=model(), args=args, train_dataset=rows())"
    )
    return {"type": "trainer", "factory": "users_loud:make_trainer"}


def script_task(folder: Path) -> dict[str, Any]:
    script(folder, 'print("made")', LOUD + MAIN.replace("Trainer(model", "Loud(model"))
    return {"type": "script", "path": "train.py"}


@pytest.mark.parametrize("task", [factory_task, script_task])
def test_an_answer_stays_one_json_object(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path, task: Callable[[Path], dict[str, Any]]
) -> None:
    """It goes to stderr, with the progress."""
    said = stabsearch("check", "--json", sweep_file(task=task(tmp_path)))
    assert json.loads(said.out)["canary"]["outcome"] == "stable"
    assert "a loss" in said.err


def test_a_factory_that_raises_is_two_lines(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """With the place in the sweep, and in the code; nothing was judged."""
    module(tmp_path, "users_broken", "def make_trainer(args):\n    raise ValueError('no data')")
    task = {"type": "trainer", "factory": "users_broken:make_trainer"}
    said = stabsearch("check", sweep_file(task=task))
    assert (said.code, len(said.error_lines)) == (2, 2)
    assert "task.factory: users_broken:make_trainer raised ValueError: no data (" in said.error_lines[0]
    assert "users_broken.py:" in said.error_lines[0]


def test_code_in_a_folder_that_is_not_there(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Said before anything is imported."""
    task = {"type": "trainer", "factory": "users_away:make_trainer", "folder": "away"}
    said = stabsearch("check", sweep_file(task=task))
    assert said.code == 2
    assert "task.folder: no such folder: 'away'" in said.err
