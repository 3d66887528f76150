"""Where a sweep stands while it runs: what it would answer if it ended now."""

from __future__ import annotations

from dataclasses import dataclass

from stabsearch.frontier import Answer, Frontier
from stabsearch.frontier.problem import Goal
from stabsearch.frontier.stopping import mean_error
from stabsearch.records import Context
from stabsearch.report.findings import ContextRow, frontier_rows
from stabsearch.report.wording import HEADINGS, printable


@dataclass(frozen=True)
class Standing:
    """What the trials up to now come to."""

    num_trials: int
    """How many they are."""
    rows: tuple[ContextRow, ...]
    """The frontier, a row per context."""
    error: float | None
    """How far it may lie from where it seems to, decades on average; None: there is none yet."""
    answer: Answer

    @classmethod
    def of(cls, num_trials: int, frontier: Frontier, answer: Answer, goal: Goal) -> Standing:
        """Return where a sweep stands; takes some tenths of a second where contexts are many."""
        rows = frontier_rows(frontier)
        return cls(num_trials, rows, mean_error(frontier, goal) if rows else None, answer)

    @property
    def best(self) -> Context | None:
        """Return the context that would be recommended."""
        recommendation = self.answer.recommendation
        return None if recommendation is None else recommendation.context

    @property
    def line(self) -> str:
        """Return the answer in a line."""
        heading, sentence = HEADINGS[self.answer.verdict], printable(self.answer.sentence)
        return sentence if sentence.startswith(heading) else f"{heading}: {sentence}"
