"""The frontier as JSON."""

from __future__ import annotations

import json

import pytest
from frontier_samples import BF16, FP32, RANGE, bracket, table

from stabsearch.frontier import Frontier, fit
from stabsearch.frontier.row import FrontierRow


def test_the_document_shows_the_table_to_people() -> None:
    """Each context carries its row under the table's own names; unknown numbers are null."""
    frontier = fit(table(bracket(FP32, -4.0)), 0.1, RANGE, contexts=[BF16])
    document = json.loads(json.dumps(frontier.to_json(), allow_nan=False))
    shown, unknown = document["contexts"]
    assert set(FrontierRow.columns()) <= set(shown)
    assert shown["lr_safe"] == frontier.table.loc[0, "lr_safe"]
    assert unknown["lr_safe"] is None
    assert document["learning_rate_range"] == list(RANGE)


def test_the_document_suffices_to_predict() -> None:
    """Nothing but the JSON is needed, not even the trials."""
    frontier = fit(table(bracket(FP32, -4.0)), 0.1, RANGE)
    restored = Frontier.from_json(json.loads(json.dumps(frontier.to_json())))
    configs = table([(-5.0, FP32, False), (-3.9, FP32, False)])
    assert restored.predict(configs).equals(frontier.predict(configs))
    assert restored.recommend() == frontier.recommend()


def test_another_version_is_refused() -> None:
    """Rather than misread."""
    document = fit(table([]), 0.1, RANGE).to_json()
    with pytest.raises(ValueError, match="frontier of version 99, this reads 2"):
        Frontier.from_json({**document, "version": 99})
