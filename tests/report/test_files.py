"""The files of a sweep: all of them, readable, strict, whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_samples import make_answer, make_findings, make_frontier, make_sweep, make_trial
from transformers import HfArgumentParser, TrainingArguments

from stabsearch.errors import UserError
from stabsearch.frontier import Frontier, Verdict
from stabsearch.frontier.answer import Extrapolated
from stabsearch.records import Context, Outcome
from stabsearch.report import files
from stabsearch.report.files import read_answer, write_atomically, write_reports
from stabsearch.report.findings import Findings

ALWAYS = {
    "trials.csv", "trials.parquet", "frontier.json", "frontier.csv", "frontier.png", "report.md",
    "report.html",
}  # fmt: skip


def write(folder: Path, findings: Findings) -> list[Path]:
    return write_reports(
        folder, findings.sweep, findings.records, findings.frontier, findings.answer,
        command=findings.command, versions=findings.versions,
    )  # fmt: skip


def findings_of(records: list[Any], verdict: Verdict = Verdict.NOT_ENOUGH_EVIDENCE) -> Findings:
    sweep = make_sweep()
    return Findings.of(sweep, records, make_frontier(sweep, records), make_answer(verdict))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "quickstart"


def test_writes_every_file_of_the_contract_and_nothing_else(folder: Path) -> None:
    """No temporary file stays behind."""
    written = write(folder, make_findings(30))
    assert {path.name for path in folder.iterdir()} == ALWAYS | {"recommended.json"}
    assert set(written) == set(folder.iterdir())


def test_recommended_json_is_read_by_the_argument_parser(folder: Path) -> None:
    """The user's own script starts from it: bf16 on this machine's CPU included."""
    write(folder, make_findings(30))
    (arguments,) = HfArgumentParser((TrainingArguments,)).parse_json_file(folder / "recommended.json")
    assert arguments.learning_rate == 2.5e-3
    assert (arguments.bf16, arguments.fp16, arguments.warmup_steps) == (True, False, 100)
    assert (arguments.max_steps, arguments.max_grad_norm) == (2000, 1.0)
    assert arguments.logging_nan_inf_filter is False


def test_a_stale_recommendation_is_removed(folder: Path) -> None:
    """Once nothing is safe, no earlier recommended.json may be found."""
    write(folder, make_findings(30))
    write(folder, make_findings(30, answer=make_answer(Verdict.NOTHING_SAFE)))
    assert {path.name for path in folder.iterdir()} == ALWAYS


@pytest.mark.parametrize("verdict", Verdict)
def test_the_answer_reads_back_as_it_was(folder: Path, verdict: Verdict) -> None:
    """Status and recommend show exactly what the run concluded."""
    answer = make_answer(verdict)
    write(folder, make_findings(12, answer=answer))
    found = read_answer(folder)
    assert found == answer
    assert found.recommendation is None or isinstance(found.recommendation.context, Context)


def test_what_was_assumed_reads_back_as_labelled(folder: Path) -> None:
    """Why the search ended, and the extrapolated frontier with its label, also where an end is open."""
    wide = Context("fp32", 0, 0.0, adam_beta2=0.95, per_device_train_batch_size=32)
    far = (Extrapolated(Context("bf16", 100, 1.0), 1e-3, 5e-4, 2e-3), Extrapolated(wide, 1e-3, None, 2e-3))
    answer = make_answer(ended="The search ended.", extrapolated=far)
    write(folder, make_findings(12, answer=answer))
    assert read_answer(folder) == answer
    content = json.loads((folder / "frontier.json").read_text())["answer"]["extrapolated"]
    assert {each["label"] for each in content} == {"extrapolated, not measured"}


def test_the_frontier_reads_back_as_it_was(folder: Path) -> None:
    """frontier.json holds enough to predict without the trials."""
    findings = make_findings(30)
    write(folder, findings)
    content = json.loads((folder / "frontier.json").read_text())
    assert Frontier.from_json(content["frontier"]) == findings.frontier


def test_json_files_are_strict(folder: Path) -> None:
    """No NaN and no Infinity, which other JSON readers refuse, even where a frontier has no number."""
    write(folder, findings_of([make_trial(0, Outcome.NONFINITE)]))
    json.loads((folder / "frontier.json").read_text(), parse_constant=pytest.fail)


def test_trial_tables_agree(folder: Path) -> None:
    """CSV and Parquet hold the same trials, one row each."""
    findings = make_findings(30)
    write(folder, findings)
    csv, parquet = pd.read_csv(folder / "trials.csv"), pd.read_parquet(folder / "trials.parquet")
    assert list(csv.columns) == list(parquet.columns)
    assert csv["outcome"].tolist() == parquet["outcome"].tolist()
    assert csv["number"].tolist() == list(range(30))


@pytest.mark.parametrize(
    "records",
    [
        [],
        [make_trial(0)],
        [make_trial(0, Outcome.OOM, steps=0, effective=None)],
        [make_trial(number, Outcome.DIVERGED) for number in range(12)],
        [make_trial(number, Outcome.CRASHED, cause=None, chance_loss=math.nan) for number in range(3)],
    ],
    ids=["no trials", "one trial", "one without a step", "only failed", "only crashed"],
)
def test_odd_sweeps_get_every_file_too(folder: Path, records: list[Any]) -> None:
    """Whatever was run, the reports can be written."""
    write(folder, findings_of(records))
    assert {path.name for path in folder.iterdir()} == ALWAYS


@pytest.mark.parametrize("num_warmups", [1, 15])
def test_one_context_and_sixty(folder: Path, num_warmups: int) -> None:
    """The smallest and the largest space of contexts get every file."""
    search = {"warmup": list(range(0, 10 * num_warmups, 10)), "max_grad_norm": [1.0], "precision": ["fp32"]}
    if num_warmups > 1:
        search |= {"max_grad_norm": [0, 1.0], "precision": ["fp32", "bf16"]}
    sweep = make_sweep(search=search)
    write(folder, make_findings(2 * num_warmups, sweep))
    assert {path.name for path in folder.iterdir()} == ALWAYS | {"recommended.json"}


def test_nothing_is_replaced_when_rendering_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old reports stay whole, and no half-written one appears."""
    write(folder, make_findings(10))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(files, "report_html", lambda findings: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(folder, make_findings(20))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in mid-write is not seen by readers, and leaves nothing behind."""
    path = tmp_path / "report.md"
    write_atomically(path, b"old")
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_sweep_gives_the_same_bytes(tmp_path: Path) -> None:
    """Reports rebuilt from the study are the reports of the run."""
    for name in ("one", "two"):
        write(tmp_path / name, make_findings(20))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_folder_without_an_answer_is_the_users_to_mend(tmp_path: Path) -> None:
    """A wrong folder gives two lines, not a traceback."""
    with pytest.raises(UserError, match="no such file"):
        read_answer(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 99}', '{"answer": {}}'])
def test_a_broken_frontier_file_is_named(tmp_path: Path, content: str) -> None:
    """The message names the file and the way to rebuild it."""
    (tmp_path / "frontier.json").write_text(content)
    with pytest.raises(UserError, match=r"frontier\.json") as raised:
        read_answer(tmp_path)
    assert "stabsearch report" in raised.value.hint
