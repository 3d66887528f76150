"""What is wrong with label columns is counted in all rows, before anything is tokenised."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from preflight_samples import Look
from rule_samples_table import TAGS, WORDS, classes, marks, numbers, sets, several, tagged

from stabsearch.config import Sweep
from stabsearch.forensics.finding import Finding, Severity
from stabsearch.forensics.preflight import preflight

NONE: float = math.nan
ROWS_OF_WORDS = [["good"], ["bad", "film"]]


def found(looked: list[Finding], rule: str) -> list[Finding]:
    return [finding for finding in looked if finding.rule == f"STAB-{rule}"]


@pytest.mark.parametrize(
    "healthy",
    [
        lambda: numbers(0.5, -1, 2),
        lambda: numbers("1e1", "-.5", "+2."),
        lambda: several(a=[1, 2, 3], b=[0.0, 0.5, 1.0]),
        lambda: sets(["a", "b"], [], ["a", "a"]),
        lambda: sets([0, 2], [1], []),
        lambda: sets([0, 1], [1, 1], [0.0, True]),
        lambda: sets('["a"]', "[]"),
        lambda: marks(a=[0, 1, 0], b=[1, 1, 1]),
        lambda: marks(a=["0", "1", "1.0"]),
        tagged,
        lambda: tagged([[0, 1, 2], [1], [0, 0]]),
        lambda: tagged(list(map(json.dumps, TAGS)), list(map(json.dumps, WORDS))),
        lambda: classes(["good", "bad", "1 star"]),
        lambda: classes([True, False]),
    ],
)
def test_healthy_columns_pass(healthy: Look) -> None:
    """Whatever format they come in; a label that all rows have is no fault as long as another differs."""
    assert healthy() == []


@pytest.mark.parametrize(
    ("looked", "rule", "message", "rows"),
    [
        (lambda: numbers(1, None, 3, None), "D007", "2 of 4 rows are empty in label column 'y'", (1, 3)),
        (lambda: numbers("1", " ", "3"), "D007", "1 of 3 rows are empty", (1,)),
        (
            lambda: several(a=[1, NONE, 3], b=[NONE, 2, 5], c=[1, 2, 3]),
            "D007",
            "2 of 3 rows are empty in label columns 'a', 'b'",
            (0, 1),
        ),
        (lambda: numbers("1", "{good}", "bad"), "D025", "2 of 3 rows hold what is no number, such as "
         "'{good}', in label column 'y'", (1, 2)),
        (lambda: numbers([1.0], [2.0], [3.0]), "D025", "such as [1.0], in", (0, 1, 2)),
        (lambda: numbers(1, 1e39, -math.inf, 2), "D015", "2 of 4 rows hold a number that is infin", (1, 2)),
        (lambda: numbers(1, 2, 30_000, -50_000), "D016", "2 of 4 targets are beyond 10000, up to 5e+04",
         (2, 3)),
        (lambda: several(a=[1, 2], b=[4, 4]), "D026", "label column 'b' holds one number only: 4", ()),
        (lambda: numbers(1990, 2000), "D027", "label column 'y' has mean 2e+03 and standard deviation 5: the "
         "loss begins at about 3.98e+06", ()),
        (lambda: numbers(1e-4, -1e-4), "D027", "the loss of always saying the mean is 1e-08", ()),
        (lambda: marks(a=[0, 2, 1], b=[1, 0, -1]), "D017", "2 of 3 rows hold neither 0 nor 1, such as 2, in "
         "label columns 'a', 'b'", (1, 2)),
        (lambda: marks(a=["0", "yes", "1"]), "D017", "1 of 3 rows hold neither 0 nor 1, such as 'yes'", (1,)),
        (lambda: marks(a=[0, None, 1]), "D007", "1 of 3 rows are empty in label column 'a'", (1,)),
        (lambda: marks(a=[1, 1], b=[0, 0]), "D026", "same labels in label columns 'a', 'b'", ()),
        (lambda: marks(a=[1, 0], b=[0, 0]), "D023", "1 of 2 labels are in no row: label column 'b'", ()),
        (lambda: sets(["a"], None, [None, "b"], ["c"]), "D007", "empty entry, in 2 of 4 rows", (1, 2)),
        (lambda: sets(["a"], 7, "b, c"), "D043", "no list in 2 of 3 rows, such as 7", (1, 2)),
        (lambda: sets(["a"], ["b", 1], [2]), "D014", "something else in 2 of 3 rows, such as 1", (1, 2)),
        (lambda: sets([0.5], [math.inf], [2]), "D014", "no label in 2 of 3 rows, such as 0.5", (0, 1)),
        (lambda: sets([0], [-1, 2], [-100]), "D011", "an id below 0 in 2 of 3 rows", (1, 2)),
        (lambda: sets([1], [0, 1], [1, 1], [1, 0], [0, 0, 0]), "D028", "holds 2 zeros and ones in most rows, "
         "and more or fewer in 2 of 5", (0, 4)),
        (lambda: sets([0, 0, 2], [1], [3, 1, 3]), "D029", "twice in 2 of 3 rows; labels are 0 to 3", (0, 2)),
        (lambda: sets(["a", "b"], ["b", "a"]), "D026", "all rows have the same labels", ()),
        (lambda: sets([], []), "D026", "all rows have the same labels", ()),
        (lambda: sets([0, 1, 0], [1, 1, 0]), "D023", "1 of 3 labels are in no row of label column 'y'", ()),
        (lambda: sets([0], [3], [2]), "D023", "1 of 4 labels are in no row of label column 'y'", ()),
        (lambda: tagged([["O"], None], ROWS_OF_WORDS), "D007", "in 1 of 2 rows", (1,)),
        (lambda: tagged([["O"], ["P", NONE]], ROWS_OF_WORDS), "D007", "in 1 of 2 rows", (1,)),
        (lambda: tagged([["O"], "P O"], ROWS_OF_WORDS), "D043", "such as 'P O'", (1,)),
        (lambda: tagged([["O", "O"], ["P"]], ROWS_OF_WORDS), "D020", "has not one label per word in 2 of 2 "
         "rows, the first 2 labels for 1 words", (0, 1)),
        (lambda: tagged([["O"], ["O", "O"]], ROWS_OF_WORDS), "D010", "holds one class only: 'O'", ()),
        (lambda: tagged([[0], [0, -100]], ROWS_OF_WORDS), "D011", "in 1 of 2 rows", (1,)),
        (lambda: tagged([[0.5], [0, 1]], ROWS_OF_WORDS), "D014", "1 of 2 rows, such as 0.5", (0,)),
        (lambda: tagged([[0], [0, 2]], ROWS_OF_WORDS), "D023", "1 of 3 labels are in no row", ()),
        (lambda: tagged(words=["a good plot", *WORDS[1:]]), "D043", "column 'text' holds no list", (0,)),
        (lambda: tagged(words=[None, *WORDS[1:]]), "D008", "in 1 of 3 rows", (0,)),
        (lambda: tagged(words=[["a", None, "b"], *WORDS[1:]]), "D008", "in 1 of 3 rows", (0,)),
        (lambda: tagged(words=[*WORDS[:1], [7], *WORDS[2:]]), "D044", "1 of 3 rows, such as 7", (1,)),
        (lambda: tagged([[], *TAGS[1:]], [[], *WORDS[1:]]), "D009", "no word in 1 of 3 rows", (0,)),
        (lambda: classes([0, 1, 1], ["a", 7, ["b"]]), "D044", "no text in 2 of 3 rows, such as 7", (1, 2)),
        (lambda: classes([["a"], "b", {"c": 1}]), "D014", "number in 2 of 3 rows, such as ['a']", (0, 2)),
        (lambda: classes(["bad", 1, "good", "0"]), "D045", "a number in 2 of 4 rows, such as 1", (1, 3)),
        (lambda: classes(["1", "1.0"]), "D010", "holds one class only: '1'", ()),
    ],
)  # fmt: skip
def test_what_is_wrong_is_counted(looked: Look, rule: str, message: str, rows: tuple[int, ...]) -> None:
    """One finding per rule, with how many rows are concerned and the first of them."""
    [finding] = found(looked(), rule)
    assert message in finding.message
    assert (finding.rows, finding.num_rows) == (rows, len(rows))
    assert finding.key[:2] in {("task", "label"), ("task", "text")}


@pytest.mark.parametrize(
    ("looked", "rule", "severity"),
    [
        (lambda: numbers(1, 20_000), "D016", Severity.WARNING),
        (lambda: numbers(1, 2e19), "D016", Severity.ERROR),
        (lambda: numbers(1990, 2000), "D027", Severity.WARNING),
        (lambda: sets([0], [3], [1]), "D023", Severity.INFO),
        (lambda: sets([0], [500], [1]), "D023", Severity.WARNING),
        (lambda: tagged([[], *TAGS[1:]], [[], *WORDS[1:]]), "D009", Severity.ERROR),
    ],
)
def test_how_much_it_weighs(looked: Look, rule: str, severity: Severity) -> None:
    """What certainly breaks is an error."""
    assert [finding.severity for finding in found(looked(), rule)] == [severity]


@pytest.mark.parametrize(
    ("looked", "rule"),
    [
        (lambda: sets([0, 1], [1, 0], None), "D007"),
        (lambda: sets([0], [-1], [1, 2]), "D011"),
        (lambda: tagged([None, *TAGS[1:]]), "D007"),
        (lambda: tagged(["O", *TAGS[1:]]), "D043"),
        (lambda: numbers("1", "inf", "good"), "D025"),
    ],
)
def test_one_fault_is_one_finding(looked: Look, rule: str) -> None:
    """A row that holds no labels has not too few of them, an id below 0 is not a fraction as well."""
    assert [finding.rule[5:] for finding in looked() if finding.rule[5:] != "D015"] == [rule]


@pytest.mark.parametrize("looked", [lambda: numbers(1, 30_000), lambda: numbers(*range(20_000, 20_010))])
def test_huge_targets_are_said_once(looked: Look) -> None:
    """A row that is beyond everything is not the scale of the others."""
    assert [finding.rule for finding in looked()] == ["STAB-D016"]


def test_the_way_out_knows_what_may_have_been_meant() -> None:
    """A text with commas is no list, and no 0 or 1 either."""
    for looked in (sets(["a"], "b, c"), marks(y=["b, c", "a"])):
        assert any("in CSV and TSV as JSON text" in finding.hint for finding in looked)


@pytest.mark.parametrize("label", ["label", ["label"]])
def test_one_column_of_0_and_1_may_be_right(label: Any) -> None:
    """A sweep that names a list of one column means this; the table cannot tell, and the builder can."""
    assert marks(label=[0, 1, 1]) == []


def test_all_faults_of_a_table_are_said_together(tmp_path: Path) -> None:
    """Those of texts and of labels, without a model: it is not there."""
    path = tmp_path / "rows.jsonl"
    pd.DataFrame({"tokens": [["a"], ["b", 7], None, ["c"]], "ner_tags": [["O"], ["P"], ["O"], [-1]]}).to_json(
        path, orient="records", lines=True
    )
    task = {"type": "token-classification", "model": "./absent", "data": {"train": str(path)}}
    sweep = Sweep.model_validate({"name": "s", "task": task, "training": {"max_steps": 50}})
    seen = preflight(sweep)
    assert [finding.rule[5:] for finding in seen.findings] == ["D008", "D014", "D020", "D044"]
    assert (seen.num_rows, seen.workload) == (4, None)
