"""How many cases there were, how they ended, and those that ended as none may."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

SHOWN_EVERY = 250
"""Cases after which a line says that something still happens."""


@dataclass
class Tally:
    """The cases of one part."""

    part: str
    seed: int
    ends: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    """What went wrong, with what makes it happen again."""

    def count(self, end: str, problem: str = "", case: str = "") -> None:
        """Count a case."""
        self.ends["wrong" if problem else end] += 1
        if (total := self.ends.total()) % SHOWN_EVERY == 0:
            print(f"{self.part}: {total} cases, {self.ends['wrong']} wrong", file=sys.stderr, flush=True)
        if problem:
            self.problems.append(f"{self.part}, {case}: {problem}")

    @property
    def row(self) -> str:
        """Return the row of the table."""
        total, wrong = sum(self.ends.values()), self.ends["wrong"]
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()) if end != "wrong")
        return f"| {self.part} | {self.seed} | {total} | {ends} | {wrong} |"


def table(tallies: list[Tally]) -> str:
    """Return the Markdown table of all parts."""
    head = "| part | seed | cases | how they ended | wrong |\n|---|---|---|---|---|"
    return "\n".join([head, *(tally.row for tally in tallies)])
