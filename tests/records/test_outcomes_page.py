"""docs/outcomes.md says what the names mean and what they count as."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from stabsearch.config import Sweep
from stabsearch.records import Cause, Grade, Outcome, OutcomeRules, Stage
from stabsearch.records.documented import texts_under_names
from stabsearch.records.frame import READERS
from stabsearch.records.outcomes_page import outcomes_page


def row(name: str) -> list[str]:
    (found,) = re.findall(rf"^\| `{re.escape(name)}` \|(.*)\|$", outcomes_page(), re.MULTILINE)
    return [cell.strip() for cell in found.split("|")]


@pytest.mark.parametrize("name", [*Outcome, *Grade, *Cause, *Stage])
def test_every_name_is_explained(name: str) -> None:
    assert row(name)[0]


def test_an_outcome_says_what_it_counts_as() -> None:
    assert row("stable")[-1] == "evidence for"
    assert row("collapsed")[-1] == "evidence against"
    assert row("oom")[-1] == "nothing"


def test_a_cause_says_whether_it_is_a_setting() -> None:
    assert row("precision_after_drift")[-1] == "yes"
    assert row("data")[-1] == "no"
    assert row("unknown")[-1] == ""


def test_every_threshold_has_its_key_in_the_sweep_and_its_default() -> None:
    assert "outcomes" in Sweep.model_fields
    for field in fields(OutcomeRules):
        default, meaning = row(f"outcomes.{field.name}")
        assert float(default.strip("`")) == field.default
        assert meaning


def test_the_columns_that_it_names_are_columns() -> None:
    assert {"outcome", "grade", "cause", "stage"} <= set(READERS)


def test_texts_are_those_under_their_names() -> None:
    class Sample:
        """Of a class."""

        first: int = 1
        """Of the
        first."""
        second = 2
        third = 3
        "Of the third."

    assert texts_under_names(Sample) == {"first": "Of the first.", "third": "Of the third."}
