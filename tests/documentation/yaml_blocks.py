"""YAML of a page: a sweep, a part of one, or a workflow of GitHub's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markdown_pages import Block

from stabsearch.config import Sweep
from stabsearch.config.document import parse
from stabsearch.config.starter import starter_text


def check_yaml(block: Block, folder: Path) -> None:
    """Check that a block is what it seems to be; one that is written to a file of its own may be anything."""
    data = parse(block.text).data
    if "jobs" in data:
        _check_workflow(block, folder)
    elif set(data) <= set(Sweep.model_fields):
        Sweep.model_validate(data if "name" in data else _completed(data))
    else:
        assert "file" in block.notes, f"{block.place}: what is it? unknown to a sweep: {sorted(data)}"


def _completed(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the starter sweep with a part of a sweep in it; another task replaces its task as a whole."""
    whole = dict(parse(starter_text()).data)
    for section, value in part.items():
        is_merged = section != "task" and isinstance(whole.get(section), dict)
        whole[section] = {**whole[section], **value} if is_merged else value
    return whole


def _check_workflow(block: Block, folder: Path) -> None:
    path = folder / "workflow.yml"
    path.write_text(block.text, encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.place}\n{done.stdout}{done.stderr}"


def shell_lines(block: Block) -> str:
    """Return the shell lines of a workflow's steps; nothing for other YAML."""
    jobs = parse(block.text).data.get("jobs", {})
    return "\n".join(step["run"] for job in jobs.values() for step in job["steps"] if "run" in step)
