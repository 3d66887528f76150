"""Every rule speaks of data that breaks it, and is silent on data that does not."""

from __future__ import annotations

from typing import Any

import pytest
import rule_samples_batches
import rule_samples_language
import rule_samples_rows
import rule_samples_settings
import rule_samples_table
import rule_samples_tokens

from stabsearch.forensics.rules import symptom_of_rule
from stabsearch.forensics.rules.catalog import BOOKS, all_rules

SAMPLES = (
    rule_samples_rows.SAMPLES
    | rule_samples_table.SAMPLES
    | rule_samples_tokens.SAMPLES
    | rule_samples_language.SAMPLES
    | rule_samples_batches.SAMPLES
    | rule_samples_settings.SAMPLES
)


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_speaks_where_it_is_broken_and_only_there(rule: Any) -> None:
    """A rule without both samples fails here."""
    broken, healthy = SAMPLES[rule.id]
    assert rule.id in {finding.rule for finding in broken()}
    assert rule.id not in {finding.rule for finding in healthy()}


def test_there_is_no_sample_of_a_rule_that_is_gone() -> None:
    """Samples and rules are the same set."""
    assert set(SAMPLES) == {rule.id for rule in all_rules()}


def test_an_id_is_given_once() -> None:
    """A rule may look at facts of several kinds, but two rules never share an id."""
    rules = {(rule.id, rule.title) for book in BOOKS for rule in book.rules}
    assert len(rules) == len({id for id, _ in rules}) == len(all_rules())


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_every_rule_names_what_is_seen_and_the_way_out(rule: Any) -> None:
    """One line each, and nothing that breaks a table of Markdown."""
    for text in (rule.title, rule.symptom, rule.fix):
        assert text
        assert "\n" not in text
        assert "|" not in text
    assert symptom_of_rule(rule.id) == rule.symptom
