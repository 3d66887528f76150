"""docs/gate.md is what the gate does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from typer.main import get_command

from stabsearch.cli.app import app
from stabsearch.config.document import parse

PAGE = (Path(__file__).parent.parent / "docs" / "gate.md").read_text(encoding="utf-8")


def workflow() -> str:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    return str(block)


def test_the_workflow_is_one(tmp_path: Path) -> None:
    """By GitHub's own schema of workflows."""
    path = tmp_path / "stability.yml"
    path.write_text(workflow(), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_command_has_only_options_that_exist() -> None:
    steps = parse(workflow()).data["jobs"]["gate"]["steps"]
    (line,) = [step["run"] for step in steps if "gate configs" in step.get("run", "")]
    words = shlex.split(line.partition(">")[0])
    command = get_command(app).commands["gate"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert words[:2] == ["stabsearch", "gate"]
    assert {word for word in words if word.startswith("--")} <= known
    with command.make_context("gate", words[2:]) as context:
        assert context.params["form"] == "sarif"
        assert context.params["max_risk"] == 0.05
