"""The description of a sweep's run: the answer first, then picture, certainty and detail, as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from stabsearch.frontier.answer import Verdict
from stabsearch.frontier.sentences import counted
from stabsearch.tracking.layout import NOTE_TAG
from stabsearch.tracking.markdown import inert, markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stabsearch.frontier import Frontier
    from stabsearch.frontier.answer import Answer, Confirmation, Recommendation
    from stabsearch.records import TrialRecord

MAX_CHARACTERS = 5000  # what a tag takes in every MLflow store; newer ones take 8,000
PICTURE = "frontier.preview.png"


class Place(NamedTuple):
    """Where the run is, for links that hold on every server and under every prefix."""

    experiment_id: str
    run_id: str
    sweep_id: str
    files: frozenset[str] = frozenset()
    """Names of the files that are there to be linked."""

    def file(self, name: str) -> str:
        """Return the page of a file."""
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}/artifacts/{name}"

    def trials(self, **how: str) -> str:
        """Return the page of the sweep's trials, as its saved view has it."""
        query = urlencode({"workflowType": "machine_learning", "viewStateShareKey": self.sweep_id, **how})
        return f"#/experiments/{self.experiment_id}/runs?{query}"


def sweep_note(
    place: Place,
    answer: Answer | None,
    frontier: Frontier | None,
    records: Sequence[TrialRecord],
    *,
    next_step: str = "",
    sentence: str = "",
    budget: int | None = None,
) -> dict[str, str]:
    """Return the note as a tag; the sections that do not fit are left out whole.

    Args:
        place: of the run.
        answer: what the sweep found, or would have found had it ended now.
        frontier: as fitted last.
        records: every finished trial.
        next_step: what the reader should do now.
        sentence: what was found where that is no answer.
        budget: trials there are to be, while the sweep runs; None: it has ended.
    """
    note = ""
    for section in _sections(place, answer, frontier, records, next_step, sentence, budget):
        longer = f"{note}\n\n{section}" if note else section
        note = longer if len(longer) <= MAX_CHARACTERS else note
    return {NOTE_TAG: note}


def _sections(
    place: Place,
    answer: Answer | None,
    frontier: Frontier | None,
    records: Sequence[TrialRecord],
    next_step: str,
    sentence: str,
    budget: int | None,
) -> Iterator[str]:
    yield _head(answer, sentence, len(records), budget)  # MLflow folds a note after its first lines
    if next_step:
        yield f"Next: {inert(next_step)}"
    yield _links(place)
    if PICTURE in place.files and budget is None:
        address = urlencode({"path": PICTURE, "run_uuid": place.run_id})
        yield f"![frontier](get-artifact?{address})"
    if answer is not None:
        yield from _answer_sections(answer)
    if records:
        counts = Counter(record.outcome.value for record in records)
        yield "### How trials ended\n\n" + markdown_table(("outcome", "trials"), counts.most_common())
    if frontier is not None and frontier.rows:
        yield "### Frontier\n\n" + _frontier_table(frontier)


def _head(answer: Answer | None, sentence: str, num_done: int, budget: int | None) -> str:
    said = f"**{answer.verdict.heading}.** {inert(answer.sentence)}" if answer else inert(sentence)
    if budget is None:
        return said or f"Ended after {counted(num_done, 'trial')}, without an answer."
    running = f"**Running:** {num_done:,} of at most {budget:,} trials are done."
    return f"{running}\n\nIf it ended now: {said}" if said else running


def _links(place: Place) -> str:
    named = {
        "report.html": "Report",
        "drift.md": "Drift",
        "recommended.json": "TrainingArguments",
        "frontier.csv": "Frontier as a table",
    }
    files = [f"[{text}]({place.file(name)})" for name, text in named.items() if name in place.files]
    charts = place.trials(compareRunsMode="CHART")
    return " · ".join([*files, f"[Trials]({place.trials()})", f"[Trials as charts]({charts})"])


def _answer_sections(answer: Answer) -> Iterator[str]:
    if answer.recommendation is not None:
        label = "" if answer.verdict is Verdict.CONFIRMED else " (unconfirmed)"
        yield f"### Recommended{label}\n\n" + _recommended(answer.recommendation)
        yield "### How sure\n\n" + _certainty(answer)
    if answer.caveats:
        yield "### What this does not show\n\n" + "\n".join(f"- {inert(each)}" for each in answer.caveats)


def _recommended(best: Recommendation) -> str:
    rows = [("learning_rate", best.learning_rate), *best.context.settings.items()]
    return markdown_table(("setting", "value"), rows)


def _certainty(answer: Answer) -> str:
    best = answer.recommendation
    assert best is not None, "only a recommendation is more or less sure"
    interval = f"{best.probability_low:.2g} to {best.probability_high:.2g}"
    rows = [
        ("failure probability", f"{best.failure_probability:.2g} ({interval})"),
        ("measured up to", f"step {answer.horizon:,} of {answer.max_steps:,}"),
        *_fresh_seeds(answer.confirmation),
    ]
    return markdown_table(("what", "value"), rows)


def _fresh_seeds(confirmation: Confirmation | None) -> list[tuple[str, str]]:
    if confirmation is None:
        return [("fresh seeds", "none ran on it")]
    counts = f"{confirmation.survived} of {confirmation.required} survived, {confirmation.failed} failed"
    return [
        ("fresh seeds", counts),
        ("failure probability from these alone", f"at most {confirmation.bound:.2g}"),
    ]


def _frontier_table(frontier: Frontier) -> str:
    """Return as many contexts as a note has room for; all of them are in ``frontier.csv``."""
    names = ("context", "safe up to", "interval", "trials", "failed", "verdict")
    rows = [
        (
            row.context.label,
            row.lr_safe if math.isfinite(row.lr_safe) else "–",
            f"{row.lr_low:.2g} to {row.lr_high:.2g}" if math.isfinite(row.lr_low + row.lr_high) else "–",
            row.num_trials,
            row.num_failed,
            row.verdict.replace("_", " "),
        )
        for row in frontier.rows
    ]
    more = len(rows) - _MAX_ROWS
    rest = f"\n\n{more:,} more contexts are in frontier.csv." if more > 0 else ""
    return markdown_table(names, rows[:_MAX_ROWS]) + rest


_MAX_ROWS = 24  # chosen: about 2,000 characters
