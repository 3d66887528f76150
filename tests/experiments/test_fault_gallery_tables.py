"""What the gallery's tables say of results."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.fault_gallery import report, results, summary, tables
from experiments.fault_gallery.cell import Cell, Result
from experiments.fault_gallery.faults import GALLERY
from experiments.fault_gallery.other_tools import OTHER_TOOLS, Report
from experiments.fault_gallery.results import append, load, missing, plan
from experiments.fault_gallery.side_by_side import Asked
from experiments.fault_gallery.summary import Share

RIGHT = Result(
    key="target-nan | 0 | fp32", fault="target-nan", seed=0, precision="fp32", planted="data",
    outcome="data_fault", trial_cause="data", named="data", unaided="data", errors=("STAB-D015",),
    planted_rows=(3,), named_rows=(3,), unaided_rows=(3,), bundle_rows=(1, 3), replay="bit-exact",
    ladder_s=1.5, sentence="the data is at fault", origin="labels were not finite",
)  # fmt: skip
HEALTHY = replace(
    RIGHT, key="plain | 0 | fp32", fault="plain", planted=None, named=None, unaided=None, errors=(),
    outcome="stable", planted_rows=(), named_rows=(), unaided_rows=(), bundle_rows=None, replay=None,
    origin="",
)  # fmt: skip


def test_a_share_comes_with_its_count_and_exact_interval() -> None:
    """Reference: Clopper and Pearson, 19 of 20: 75.1 % to 99.9 %."""
    assert str(Share(19, 20)) == "19/20 = 95.0% [75.1%, 99.9%]"
    assert str(Share(0, 0)) == "–"


@pytest.mark.parametrize(
    ("change", "is_blamed"),
    [({}, False), ({"named": "data"}, True), ({"errors": ("STAB-D001",)}, True)],
    ids=["nothing said", "a cause", "an error of the preflight"],
)
def test_a_healthy_control_is_blamed_by_a_cause_and_by_an_error(change: dict, is_blamed: bool) -> None:
    assert summary.is_false_alarm(replace(HEALTHY, **change)) is is_blamed


def test_a_planted_fault_is_never_a_false_alarm() -> None:
    assert not summary.is_false_alarm(RIGHT)


@pytest.mark.parametrize(
    ("named", "finds", "finds_only"),
    [((3,), True, True), ((3, 7), True, False), ((7,), False, False), ((), False, False)],
)
def test_rows_are_found_when_all_are_named_and_found_alone_when_no_other_is(
    named: tuple[int, ...], finds: bool, finds_only: bool
) -> None:
    result = replace(RIGHT, named_rows=named)
    assert (summary.finds_rows(result), summary.finds_only_rows(result)) == (finds, finds_only)


def test_a_trial_that_failed_without_a_bundle_counts_against_the_bundles() -> None:
    lost = replace(RIGHT, key="b", bundle_rows=None, replay=None)
    assert "1/2 = 50.0%" in line_of(tables.headline([RIGHT, lost, HEALTHY]), "bundle of the failed trial")


def test_a_trial_that_did_not_fail_leaves_no_bundle_to_count() -> None:
    silent = replace(RIGHT, key="b", outcome="stable", bundle_rows=None, replay=None)
    assert "1/1 = 100.0%" in line_of(tables.headline([RIGHT, silent, HEALTHY]), "bundle of the failed trial")


def test_what_a_broken_machine_did_once_is_not_asked_to_happen_again() -> None:
    once = replace(RIGHT, planted="hardware_or_nondeterminism", replay="not reproduced")
    assert summary.replayable([once, RIGHT, HEALTHY]) == [RIGHT]


def test_a_fault_counts_as_whole_only_when_every_cell_of_it_is_right() -> None:
    cells = [RIGHT, replace(RIGHT, seed=1, named=None), replace(RIGHT, fault="weight-nan")]
    assert summary.whole_faults(cells, summary.is_right) == Share(1, 2)


def test_the_confusion_matrix_counts_planted_against_named() -> None:
    cells = [RIGHT, RIGHT, replace(RIGHT, named="learning_rate"), HEALTHY, replace(HEALTHY, named="data")]
    lines = tables.confusion(cells, lambda result: result.named).splitlines()
    assert lines[0] == "| planted \\ named | data | learning_rate | none |"
    assert lines[2:] == ["| data | 2 | 1 |  |", "| none | 1 |  | 1 |"]


def test_a_ladder_that_raised_has_a_column_of_its_own() -> None:
    table = tables.confusion([replace(RIGHT, named="the ladder raised")], lambda result: result.named)
    assert "the ladder raised" in table.splitlines()[0]


def test_misses_are_listed_by_name_with_their_places() -> None:
    wrong = [replace(RIGHT, named="learning_rate", seed=seed, sentence="too high") for seed in (1, 2)]
    assert tables.misses([RIGHT, HEALTHY]) == "None."
    line = tables.misses([RIGHT, *wrong]).splitlines()[-1]
    assert line == "| target-nan | data | learning_rate | fp32 seed 1, fp32 seed 2 | too high |"


def test_false_alarms_row_misses_and_replays_are_listed_or_said_to_be_none() -> None:
    bad = [replace(HEALTHY, named="data"), replace(RIGHT, named_rows=(), replay="reproduced")]
    for table in (tables.false_alarms, tables.row_misses, tables.replay_misses):
        assert table([RIGHT, HEALTHY]) == "None."
        assert len(table(bad).splitlines()) == 3


def test_a_fault_without_rows_or_bundle_has_empty_places_in_its_line() -> None:
    by_fault = tables.by_fault([RIGHT, HEALTHY])
    assert (
        line_of(by_fault, "target-nan") == "| target-nan | data | data_fault | 1/1 | 1/1 | 1/1 | 1/1 | 1/1 |"
    )
    assert line_of(by_fault, "plain") == "| plain | none | stable | 1/1 | 1/1 |  |  |  |"


def test_a_bar_in_what_was_said_does_not_break_the_table() -> None:
    assert tables.markdown(["said"], [["a | b"]]).splitlines()[-1] == "| a \\| b |"


def line_of(table: str, start: str) -> str:
    return next(line for line in table.splitlines() if start in line)


def asked(**changes: object) -> Asked:
    quiet = Report("", False, "nothing", False, False, False, 1.0)
    reports = [replace(quiet, tool=tool) for tool in OTHER_TOOLS]
    reports[0] = replace(reports[0], noticed=True, said="loss nan", **changes)
    return Asked(RIGHT.key, RIGHT.fault, tuple(reports))


def test_tools_are_counted_on_the_faults_that_all_of_them_saw() -> None:
    no_rows = replace(RIGHT, key="no rows", planted_rows=())
    found = {RIGHT.key: RIGHT, "no rows": no_rows, "not asked": replace(RIGHT, key="not asked")}
    said = {RIGHT.key: asked(names_row=True), "no rows": asked()}
    table = tables.tools_summary(found, said)
    assert line_of(table, "stabsearch") == "| stabsearch | 2/2 | 2/2 | 2/2 | 1/1 |"
    assert line_of(table, "stock logs") == "| stock logs | 2/2 | 0/2 | 0/2 | 1/1 |"
    assert line_of(table, "detect_anomaly") == "| detect_anomaly | 0/2 | 0/2 | 0/2 | 0/1 |"


def test_side_by_side_each_tool_speaks_for_itself() -> None:
    line = tables.side_by_side({RIGHT.key: RIGHT}, {RIGHT.key: asked()}).splitlines()[-1]
    assert line == "| target-nan | **data**, row 3; labels were not finite | loss nan | nothing | nothing |"


def test_results_survive_the_disk_and_the_later_of_two_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for each in (RIGHT, HEALTHY, replace(RIGHT, ladder_s=9.0)):
        append(path, each)
    append(tmp_path / "tools.jsonl", asked())
    assert load(path, Result.from_json) == {HEALTHY.key: HEALTHY, RIGHT.key: replace(RIGHT, ladder_s=9.0)}
    assert load(tmp_path / "tools.jsonl", Asked.from_json) == {RIGHT.key: asked()}


def test_results_from_before_origins_were_kept_can_still_be_read() -> None:
    values = {name: value for name, value in RIGHT.to_json().items() if name != "origin"}
    assert Result.from_json(json.loads(json.dumps(values))) == replace(RIGHT, origin="")


def test_results_of_a_fault_that_is_no_longer_planted_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(replace(RIGHT, fault="gone").to_json()) + "\n")
    assert load(path, Result.from_json) == {}


def test_a_cell_is_measured_again_when_the_code_has_changed_unless_told_otherwise() -> None:
    cell, done = Cell("target-nan", 0, "fp32"), {RIGHT.key: replace(RIGHT, fingerprint="now")}
    assert missing([cell], {}, "now") == missing([cell], {}, None) == [cell]
    assert missing([cell], done, "later") == [cell]
    assert missing([cell], done, "now") == missing([cell], done, None) == []


@pytest.mark.parametrize("source", ["faults/labels.py", "trainers.py"])
def test_a_change_to_what_is_planted_makes_all_results_stale(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = results.fingerprint.__wrapped__(), results.tools_fingerprint.__wrapped__()
    copy = shutil.copytree(results.FOLDER, tmp_path / "gallery", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(results, "FOLDER", copy)
    assert (results.fingerprint.__wrapped__(), results.tools_fingerprint.__wrapped__()) == before
    with (copy / source).open("a") as file:
        file.write("# changed")
    after = results.fingerprint.__wrapped__(), results.tools_fingerprint.__wrapped__()
    assert all(new != old for new, old in zip(after, before, strict=True))


def test_a_run_meets_every_fault_before_any_fault_again() -> None:
    cells = plan(["target-nan", "fp16-billion-mask"], 2, ("fp32", "fp16"))
    assert [(cell.seed, cell.fault, cell.precision) for cell in cells[:3]] == [
        (0, "target-nan", "fp32"), (0, "target-nan", "fp16"), (0, "fp16-billion-mask", "fp16"),
    ]  # fmt: skip
    assert {cell.seed for cell in cells[3:]} == {1}


def test_the_report_holds_what_is_planted_and_every_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.jsonl")
    monkeypatch.setattr(report, "TOOLS", tmp_path / "tools.jsonl")
    assert "No results yet." in report.generated()
    for each in (RIGHT, HEALTHY):
        append(tmp_path / "results.jsonl", each)
    append(tmp_path / "tools.jsonl", asked())
    text = report.generated()
    assert all(f"| {name} |" in text for name in GALLERY)
    assert "2 cells: 1 of" in text
    assert "Beside other tools" in text


def test_only_what_stands_between_the_markers_is_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- generated: begin -->\nold\n<!-- generated: end -->\nafter\n")
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(report, "generated", lambda: "new")
    report.rewrite()
    assert readme.read_text() == "before\n<!-- generated: begin -->\nnew\n<!-- generated: end -->\nafter\n"
