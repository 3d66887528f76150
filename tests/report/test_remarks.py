"""What has to be said beside the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_samples import make_answer, make_bridge, make_findings, make_island, make_ramp, make_trial

from stabsearch.frontier import Confirmation, Recommendation, Verdict
from stabsearch.frontier.answer import Extrapolated
from stabsearch.records import Context, Outcome, Stage
from stabsearch.report.remarks import (
    FLAG,
    ending_note,
    extrapolated_text,
    extrapolation_title,
    non_monotone_text,
    purposes_text,
    verdict_words,
)

STRESS = Confirmation(5, 5, 0, 0.09, "stress", 4e-3, 8.0)
FLAGGED = Recommendation(Context("fp32", 0, 1.0), 2.5e-3, 0.03, 0.01, 0.08)


def test_a_contradicted_frontier_is_flagged_with_the_trials_to_look_at() -> None:
    """Which trials, what it means, and what still holds."""
    text = non_monotone_text(make_island())
    assert text.startswith(f"{FLAG} In fp32 · warmup 0 · clip 1 trials failed below learning rates")
    assert "look at the failing trials below the frontier (trials 40, 41, 42, 43, 44)" in text
    assert text.endswith("the confirmation of the recommended rate still holds.")
    assert verdict_words(make_island().rows[0]).endswith(f"{FLAG} non-monotone")


def test_nothing_is_said_of_a_frontier_that_fits() -> None:
    """No flag, no sentence."""
    findings = make_findings(60)
    assert non_monotone_text(findings) == ""
    assert not any(FLAG in verdict_words(row) for row in findings.rows)


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"confirmation": None}, "only fresh seeds at a learning rate itself can vouch for it."),
        ({"confirmation": STRESS}, "the confirmation of the recommended rate still holds."),
        (
            {"confirmation": STRESS, "recommendation": FLAGGED},
            "confirm the recommended rate itself (risk.confirmation).",
        ),
    ],
    ids=["unconfirmed", "stressed elsewhere", "stressed there"],
)
def test_a_flag_says_what_still_holds(changes: dict[str, object], end: str) -> None:
    """A stress test leans on the very boundary that the trials contradict."""
    assert non_monotone_text(make_island(answer=make_answer(**changes))).endswith(end)


def test_an_extrapolated_frontier_says_so_first() -> None:
    """Of the recommended context, with an end that may be open; nothing when there is none."""
    fp32, bf16 = Context("fp32", 0, 0.0), Context("bf16", 100, 1.0)
    far = (Extrapolated(fp32, 9e-3, 8e-3, 1e-2), Extrapolated(bf16, 1e-3, None, 2e-3))
    findings = make_findings(8, answer=make_answer(extrapolated=far))
    text = extrapolated_text(findings)
    assert text.startswith("Extrapolated, not measured: over all 2,000 steps")
    assert "bf16 · warmup 100 · clip 1 would lie near 1.0e-3 (perhaps none, to 2.0e-3)" in text
    assert extrapolation_title(findings) == "Over the full run: extrapolated, not measured"
    assert extrapolated_text(replace(findings, answer=make_answer(Verdict.NOTHING_SAFE))) == ""
    assert extrapolation_title(make_findings(8)) == ""


def test_trials_are_counted_by_what_they_were_run_for() -> None:
    """Bridges apart from the other confirmation trials, ramps last."""
    records = (
        make_ramp(0), make_trial(1), make_trial(2), make_trial(3, stage=Stage.CONFIRM), make_bridge(4),
    )  # fmt: skip
    text = purposes_text(make_findings(1, records=records))
    assert text == "2 search, 1 confirmation, 1 bridge, 1 ramp"


def test_trials_that_moved_nothing_are_named() -> None:
    """A ramp is no evidence, however it ended; and it is not among those that failed to say anything."""
    note = ending_note(make_findings(1, records=(make_ramp(0), make_trial(1, Outcome.OOM))))
    assert "1 trial says nothing about stability" in note
    assert "1 learning-rate ramp is not counted here" in note
    assert ending_note(make_findings(1, records=(make_trial(0),))) == ""
