"""The rules of the preflight: pure functions of facts, each with a stable id, a symptom and a way out."""

from __future__ import annotations


def symptom_of_rule(id: str) -> str:
    """Return what a user sees where nobody checks for a rule, as it is pasted into a search."""
    from stabsearch.forensics.rules.catalog import all_rules

    return next(rule.symptom for rule in all_rules() if rule.id == id)
