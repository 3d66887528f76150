"""The description of a sweep's run."""

from __future__ import annotations

import json

from tracking_samples import failed_record, make_frontier, make_record, make_sweep

from stabsearch.frontier.answer import Answer, Confirmation, Recommendation, Verdict
from stabsearch.records import Context
from stabsearch.tracking.markdown import inert
from stabsearch.tracking.model_card import model_card
from stabsearch.tracking.note import MAX_CHARACTERS, PICTURE, Place, sweep_note
from stabsearch.tracking.saved_view import saved_view

PLACE = Place("7", "abc", "quick-1", frozenset({PICTURE, "report.html"}))
BEST = Recommendation(Context("bf16", 100, 1.0), 0.0012, 0.05, 0.01, 0.09)
ANSWER = Answer(Verdict.CONFIRMED, "Up to 0.0012 is safe.", BEST, Confirmation(22, 22, 0, 0.099), 120, 2000)
HOSTILE = "<img src=x> ![p](http://example.invalid/p.png) [l](javascript:x) @ada `c` | http://e.invalid www.e"


def note(answer: Answer | None = ANSWER, **how: object) -> str:
    """Return the text of a note on two trials."""
    records = [make_record(0), failed_record(1)]
    (text,) = sweep_note(PLACE, answer, make_frontier(), records, **how).values()  # type: ignore[arg-type]
    return text


def test_the_answer_and_the_next_step_come_before_anything_else() -> None:
    """MLflow folds a description after its first lines."""
    first, second, *_ = note(next_step="Start the full run.").split("\n\n")
    assert first == "**Safe configuration, confirmed.** Up to 0.0012 is safe."
    assert second == "Next: Start the full run."


def test_a_drift_begins_with_its_verdict_and_links_its_page() -> None:
    """It has no answer of a sweep; without a sentence, one trial is one trial."""
    place, records = Place("7", "abc", "drift-1", frozenset({"drift.md"})), [make_record(0)]
    (text,) = sweep_note(place, None, None, records, sentence="It holds.", next_step="Keep it.").values()
    assert text.split("\n\n")[:2] == ["It holds.", "Next: Keep it."]
    assert "[Drift](#/experiments/7/runs/abc/artifacts/drift.md)" in text
    (bare,) = sweep_note(place, None, None, records).values()
    assert bare.startswith("Ended after 1 trial, without an answer.")


def test_picture_and_report_are_shown_only_where_they_are() -> None:
    assert "![frontier](get-artifact?path=frontier.preview.png&run_uuid=abc)" in note()
    assert "[Report](#/experiments/7/runs/abc/artifacts/report.html)" in note()
    (bare,) = sweep_note(Place("7", "abc", "quick-1"), ANSWER, None, []).values()
    assert "get-artifact" not in bare
    assert "Report" not in bare


def test_a_running_sweep_says_how_far_it_is_and_what_it_would_say_now() -> None:
    head = note(budget=60)
    assert head.startswith("**Running:** 2 of at most 60 trials are done.\n\nIf it ended now: **Safe")
    assert "get-artifact" not in head
    assert note(None, budget=60).startswith("**Running:** 2 of at most 60 trials are done.\n\n[Report]")


def test_how_sure_it_is_names_interval_horizon_and_seeds() -> None:
    text = note()
    assert "| failure probability&ensp; | 0.05 (0.01 to 0.09) |" in text
    assert "| measured up to&ensp; | step 120 of 2,000 |" in text
    assert "| fresh seeds&ensp; | 22 of 22 survived, 0 failed |" in text


def test_hostile_texts_are_shown_as_they_are_written() -> None:
    """No element, picture, link, mention or cell comes from a text of a trial or a sweep."""
    for text in (
        inert(HOSTILE),
        note(Answer(Verdict.UNCONFIRMED, HOSTILE, None, None, 1, 2, caveats=(HOSTILE,))),
        note(next_step=HOSTILE),
        model_card(make_sweep(), Answer(Verdict.UNCONFIRMED, HOSTILE, None, None, 1, 2), make_frontier(), []),
    ):
        for part in ("<img", "![p]", "[l]", "@ada", "`c`", "http://", "www.e"):
            assert part not in text, part


def test_a_note_fits_every_store_with_its_answer_whole() -> None:
    """Sections that do not fit are left out; no table is cut in the middle."""
    long = Answer(Verdict.CONFIRMED, "Safe.", BEST, None, 120, 2000, caveats=("word " * 990,))
    text = note(long)
    assert len(text) <= MAX_CHARACTERS
    assert "word" not in text
    assert "### Frontier" in text


def test_the_saved_view_fits_a_tag_and_colours_settings_by_failure() -> None:
    """The first 100, which is all that charts take, are no part of a sweep's beginning or end."""
    ((key, tag),) = saved_view("quick", "quick-1", ("precision", "warmup_steps"), 5).items()
    state = json.loads(json.loads(tag)["state"])
    assert (key, len(tag) <= 5000) == ("mlflow.sharedViewState.quick-1", True)
    assert state["compareRunCharts"][0]["selectedMetrics"][-1] == "failed"
    assert state["orderByKey"] == "attributes.`run_id`"
    assert "tags.`stabsearch.outcome`" in state["selectedColumns"]


def test_a_card_names_horizon_data_batch_risk_and_limits() -> None:
    card = model_card(make_sweep(), ANSWER, make_frontier(), [make_record(0)])
    assert "first **120 optimizer steps**" in card
    assert "| per_device_train_batch_size&ensp; | 16 |" in card
    assert "| interval&ensp; | 90% credible |" in card
    assert "| risk at the frontier&ensp; | 0.1 |" in card
    assert "- Anything past step 120 of 2,000: nothing is extrapolated." in card
    assert "- bf16 · warmup 100 · clip 1" in card
