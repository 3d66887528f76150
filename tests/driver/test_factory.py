"""The driver that a sweep names."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from stabsearch.config import Sweep
from stabsearch.driver.base import WorkOrder
from stabsearch.driver.factory import make_driver
from stabsearch.trial.setup import TrialSetup
sweep = Sweep.model_validate({"name": "t", "task": {"type": "quickstart"}, "training": {"max_steps": 2},
                              "resources": {"driver": sys.argv[1]}})
driver = make_driver(sweep.budget, sweep.resources, WorkOrder(sweep.task, TrialSetup(2), 60.0))
print(type(driver).__name__, "ray" in sys.modules, "torch" in sys.modules)
"""


def made(name: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_inline_needs_no_ray() -> None:
    """A debugger should not have to step through it."""
    assert made("inline") == "InlineDriver False False"


def test_ray_is_the_default_and_the_driver_itself_needs_no_torch() -> None:
    """The workers train; the driver's process stays small."""
    assert made("ray") == "RayTuneDriver True False"
