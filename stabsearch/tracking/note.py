"""The answer of a sweep as the Markdown note on its run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from stabsearch.tracking.layout import NOTE_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stabsearch.frontier import Frontier
    from stabsearch.frontier.answer import Answer, Recommendation
    from stabsearch.records import TrialRecord

_MAX_CHARACTERS = 8000  # MLflow cuts a tag there, in the middle of a row


def sweep_note(
    answer: Answer | None, frontier: Frontier | None, records: Sequence[TrialRecord]
) -> dict[str, str]:
    """Return the note as a tag; the sections that do not fit are left out whole."""
    sections = [*_answer_sections(answer), _counts(records)]
    if frontier is not None:
        table = frontier.table
        sections.append("### Frontier\n\n" + markdown_table(table.columns, table.itertuples(index=False)))
    note = ""
    for section in sections:
        longer = f"{note}\n\n{section}" if note else section
        note = longer if len(longer) <= _MAX_CHARACTERS else note
    return {NOTE_TAG: note}


def _answer_sections(answer: Answer | None) -> list[str]:
    if answer is None:
        return []
    sections = [f"**{answer.verdict.value}**: {answer.sentence}"]
    if answer.recommendation is not None:
        sections.append("### Recommended\n\n" + _recommended(answer.recommendation))
    if answer.caveats:
        sections.append("### Limits\n\n" + "\n".join(f"- {caveat}" for caveat in answer.caveats))
    return sections


def _recommended(best: Recommendation) -> str:
    interval = f"{best.probability_low:.3g} to {best.probability_high:.3g}"
    rows = [
        ("learning_rate", best.learning_rate),
        *best.context.settings.items(),
        ("failure probability", f"{best.failure_probability:.3g} ({interval})"),
    ]
    return markdown_table(("setting", "value"), rows)


def _counts(records: Sequence[TrialRecord]) -> str:
    counts = Counter(record.outcome.value for record in records)
    return "### Trials\n\n" + markdown_table(("outcome", "trials"), counts.most_common())


def markdown_table(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown, numbers with three digits.

    >>> print(markdown_table(("a", "b"), [(1, 0.12345)]))
    | a | b |
    | --- | --- |
    | 1 | 0.123 |
    """
    names = list(columns)
    cells = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _cell(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
