"""``stabsearch gate`` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gate_samples import LIKE_THE_SWEEP, write_folder


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Write TrainingArguments that differ from the sweep's in some settings."""

    def write(**settings: Any) -> Path:
        path = tmp_path / "training_args.json"
        path.write_text(json.dumps({"learning_rate": 1e-5, **LIKE_THE_SWEEP, **settings}, indent=2))
        return path

    return write


def test_exit_codes_and_words(stabsearch: Any, config: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "gated")
    inside = stabsearch("gate", config(), "--frontier", folder, "--max-risk", "0.05")
    assert (inside.code, inside.err) == (0, "")
    assert inside.out.startswith("inside the safe region: learning_rate 1e-5 is ")
    risky = stabsearch("gate", config(learning_rate=7e-4, bf16=True), "--frontier", folder)
    assert (risky.code, risky.err) == (1, "")
    assert risky.out.startswith("too risky: learning_rate 7e-4 is ")
    assert "; or warmup 100" in risky.out
    unknown = stabsearch("gate", config(fp16=True, warmup_steps=100), "--frontier", folder)
    assert (unknown.code, unknown.err) == (2, "")
    assert unknown.out.startswith("not enough evidence: ")


def test_what_cannot_be_judged_is_exit_code_2(stabsearch: Any, config: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "gated")
    for arguments in (
        ("gate", config()),
        ("gate", tmp_path / "none.json", "--frontier", folder),
        ("gate", config(), "--frontier", tmp_path / "none"),
        ("gate", config(), "--frontier", folder, "--max-risk", "0.5"),
        ("gate", config(), "--frontier", folder, "--max-risk", "nan"),
        ("gate", config(), "--frontier", folder, "--rows", "0"),
        ("gate", config(), "--frontier", folder, "--format", "xml"),
        ("gate", config(optim="sgd"), "--frontier", folder),
        ("gate", config(learning_rate=None), "--frontier", folder),
    ):
        said = stabsearch(*arguments)
        assert (said.code, said.out) == (2, ""), arguments
        assert "Traceback" not in said.err


def test_json_and_sarif(stabsearch: Any, config: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "gated")
    risky = config(learning_rate=7e-4)
    data = json.loads(stabsearch("gate", risky, "--frontier", folder, "--format", "json").out)
    assert (data["exit_code"], data["verdict"], data["max_risk"], data["horizon"]) == (
        1,
        "too_risky",
        0.1,
        300,
    )
    said = stabsearch("gate", risky, "--frontier", folder, "--format", "sarif")
    (result,) = json.loads(said.out)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 2}
    refused = stabsearch("gate", config(optim="sgd"), "--frontier", folder, "--format", "sarif")
    assert refused.code == 2
    assert "optim is 'sgd'" in refused.err
    (run,) = json.loads(refused.out)["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False


def test_a_list_through_a_pipe(config: Any, tmp_path: Path) -> None:
    """A process of its own: standard input, exit code, nothing heavy on the way."""
    folder = write_folder(tmp_path / "gated")
    words = " ".join(f"--{name} {value}" for name, value in LIKE_THE_SWEEP.items())
    code = (
        "import sys; from stabsearch.cli import main\n"
        "try: main()\n"
        "finally: print([n for n in ('torch', 'ray', 'mlflow') if n in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "gate", "-", "--frontier", str(folder)]
    done = subprocess.run(
        command, input=f"{words} --learning_rate 2e-2\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("too risky: learning_rate 2e-2 is ")
    assert done.stderr == "[]\n"


def test_hostile_settings_reach_no_terminal(stabsearch: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "gated")
    path = tmp_path / "evil.json"
    path.write_text(json.dumps({"learning_rate": "\x1b[2J\n::error::x", "optim": "\x1b]0;x\x07"}))
    said = stabsearch("gate", path, "--frontier", folder, "--format", "sarif")
    assert said.code == 2
    assert "\x1b" not in said.err
    assert len(said.error_lines) == 2
    assert (
        "\x1b"
        not in json.loads(said.out)["runs"][0]["invocations"][0]["toolExecutionNotifications"][0]["message"][
            "text"
        ]
    )
