"""What a drift found, in words: for the terminal, as JSON, and as Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.frontier.drift import AGAINST, FOR, MOST, Drift, Judged, Standing
from stabsearch.frontier.shift import Movement, Shift
from stabsearch.records import Context, TrialRecord
from stabsearch.report.comparison import changes_between
from stabsearch.report.comparison_text import shift_json
from stabsearch.report.knobs import two_digits
from stabsearch.report.markdown import escaped, table
from stabsearch.report.wording import counted, percent, printable, rate

if TYPE_CHECKING:
    from stabsearch.errors import ExitCode
    from stabsearch.report.findings import Findings

DRIFT_VERSION = 1


@dataclass(frozen=True)
class DriftFindings:
    """What a handful of trials says of an old frontier, with everything that is shown of it."""

    folder: Path
    """Where the drift is."""
    sweep_folder: Path
    """Of the sweep whose frontier was tested."""
    drift: Drift
    """The frontier under test."""
    old: Findings
    """The sweep as it was."""
    now: Findings
    """The sweep as it is now, with the trials of the drift; its frontier and answer are the old ones."""
    judged: Judged
    budget: int
    """Trials that it may take."""

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Return the trials of the drift, labelled."""
        return self.now.records

    @property
    def exit_code(self) -> ExitCode:
        """Return what ``stabsearch drift`` exits with."""
        return self.judged.standing.exit_code

    @property
    def changes(self) -> tuple[str, ...]:
        """Return what differs from the old sweep: ``key: old → new``."""
        return changes_between(self.old, self.now)


@dataclass(frozen=True)
class Place:
    """The trials of a drift at one learning rate of one context, beside what was expected of them."""

    context: Context
    learning_rate: float
    num_trials: int
    num_failed: int
    expected: float
    """Failure probability of one trial there, by the old frontier."""
    low: float
    high: float
    is_recommended: bool

    @property
    def words(self) -> str:
        """Return counts and expectation: ``3 of 5 failed, expected 3.1 % (2 to 5.4 %)``."""
        interval = f"{percent(self.low)} to {percent(self.high)}"
        return (
            f"{self.num_failed} of {self.num_trials} failed, expected {percent(self.expected)} ({interval})"
        )


def places(tested: DriftFindings) -> list[Place]:
    """Return where the trials of a drift ran, the recommended configuration first."""
    return sorted(_places(tested), key=lambda each: (
        not each.is_recommended, each.context.order, each.learning_rate))  # fmt: skip


def _places(tested: DriftFindings) -> Iterator[Place]:
    best, frontier = tested.drift.recommended, tested.drift.frontier
    known = [trials.context for trials in frontier.trials]
    groups: dict[tuple[Context, float], list[bool]] = {}
    for record in tested.records:
        if record.outcome.is_evidence:
            key = record.plan.context, record.plan.learning_rate
            groups.setdefault(key, []).append(record.outcome.is_failure)
    for (context, learning_rate), failed in groups.items():
        expected = frontier.failure(known.index(context), math.log10(learning_rate))
        is_recommended = (context, learning_rate) == (best.context, best.learning_rate)
        yield Place(context, learning_rate, len(failed), sum(failed), *expected, is_recommended)


def sentences(tested: DriftFindings) -> list[str]:
    """Return what a drift found, the answer first, and what it rests on."""
    return [_answer(tested), *_reasons(tested)]


def _answer(tested: DriftFindings) -> str:
    name, judged = printable(tested.old.sweep.name), tested.judged
    match judged.standing:
        case Standing.SHRANK:
            return f"The frontier of {name} no longer holds: it {_moved(judged.shift)}."
        case Standing.HOLDS:
            return f"The frontier of {name} still holds."
        case Standing.GREW:
            return f"The frontier of {name} still holds, and lies higher now: it {_moved(judged.shift)}."
        case Standing.UNLEARNED:
            return (
                f"Whether the frontier of {name} still holds cannot be judged: no trial learned anything "
                f"within {tested.old.answer.horizon:,} steps."
            )
    return (
        f"Whether the frontier of {name} still holds is open after {counted(len(tested.records), 'trial')}."
    )


def _moved(shift: Shift) -> str:
    """Return how a frontier moved that did: ``moved down, by a factor of about 1.8 to 8.9``.

    >>> _moved(Shift(Movement.UP, 5.0, 2.24, 10.0))
    'moved up, by a factor of about 2.2 to 10 or more'
    """
    assert shift.ratio_low is not None, "a drift's shift has a size"
    assert shift.ratio_high is not None
    ends = (shift.ratio_low, shift.ratio_high)
    low, high = ends if shift.movement is Movement.UP else (1 / end for end in reversed(ends))
    size = " to ".join(dict.fromkeys((two_digits(low), two_digits(high))))
    more = " or more" if math.isclose(high, 10**MOST) else ""
    return f"moved {shift.movement}, by a factor of about {size}{more}"


def _moved_json(shift: Shift) -> dict[str, Any]:
    """Return the shift; it has words only where the verdict is that it moved."""
    has_moved = shift.movement in {Movement.DOWN, Movement.UP}
    return {**(shift_json(shift) or {}), "words": _moved(shift) if has_moved else ""}


def _reasons(tested: DriftFindings) -> Iterator[str]:
    best, judged = tested.drift.recommended, tested.judged
    at_safe = next((place for place in places(tested) if place.is_recommended), None)
    safe = f"the safe learning rate {rate(best.learning_rate)} ({best.context.label})"
    yield f"At {safe} {at_safe.words}." if at_safe else f"No trial ran at {safe}."
    low, high = judged.failure_now[1:]
    now = f"{percent(judged.failure_now[0])} ({percent(low)} to {percent(high)})"
    yield f"Failure probability there now: {now}, within {tested.old.answer.horizon:,} steps."
    yield _weighed(judged)


def _weighed(judged: Judged) -> str:
    if judged.standing is Standing.GREW:
        times = _times(judged.grew_factor)
        return f"A frontier that moved up explains the trials {times} as well as the old one."
    if judged.standing is Standing.HOLDS:
        return (
            f"The old frontier explains the trials {_times(1 / max(judged.doubt, 1e-9))} as well as one that "
            f"moved down by a factor of 2 or more ({FOR:g} times are enough)."
        )
    return (
        f"A frontier that moved down explains the trials {_times(judged.shrank_factor)} as well as the "
        f"old one (from {AGAINST:g} times on it has moved)."
    )


def _times(factor: float) -> str:
    return "above 1,000 times" if factor > 1000 else f"{two_digits(factor)} times"


def progress(judged: Judged) -> str:
    """Return how the evidence stands, on one short line."""
    words = {
        Standing.SHRANK: "it moved down", Standing.HOLDS: "it still holds", Standing.GREW: "it moved up",
        Standing.OPEN: "open", Standing.UNLEARNED: "nothing learned yet",
    }  # fmt: skip
    return (
        f"old frontier: {words[judged.standing]} (moved down {two_digits(judged.shrank_factor)} : 1, enough "
        f"is {AGAINST:g}; by 2 or more {two_digits(judged.doubt)} : 1, below {1 / FOR:g} it holds)"
    )


def next_step_of(tested: DriftFindings) -> str:
    """Return what to do now."""
    match tested.judged.standing:
        case Standing.SHRANK:
            return "Do not train with the old answer: run a sweep of another name with what changed."
        case Standing.HOLDS | Standing.GREW:
            return "Keep the old answer."
        case Standing.UNLEARNED:
            return "Compare the loss of a gentle run with one of before, then run a sweep of another name."
    return f"The same command with --trials {2 * tested.budget} goes on."


def drift_lines(tested: DriftFindings) -> list[str]:
    """Return a drift as plain lines."""
    rows = [
        f"  {place.context.label}, {rate(place.learning_rate)}: {place.words}"
        for place in places(tested)
        if not place.is_recommended
    ]
    changed = "; ".join(tested.changes) or "no difference in settings, versions or device is known"
    return [
        *sentences(tested),
        *(["Elsewhere:", *rows] if rows else []),
        f"Changed: {changed}",
        f"Next: {next_step_of(tested)}",
        f"{counted(len(tested.records), 'trial')} in {printable(str(tested.folder))}",
    ]


def drift_markdown(tested: DriftFindings) -> str:
    """Return a drift as ``drift.md`` shows it."""
    answer, *reasons = sentences(tested)
    heads = ("context", "#learning rate", "#trials", "#failed", "#expected")
    changes = "\n".join(f"- {escaped(change)}" for change in tested.changes) or "- nothing that is known"
    listed = "\n".join(f"- {reason}" for reason in reasons)
    return (
        f"# {answer}\n\n{listed}\n\nNext: {next_step_of(tested)}\n\n"
        f"{table(heads, map(_row, places(tested)))}\n\nChanged since the sweep:\n\n{changes}\n"
    )


def _row(place: Place) -> tuple[object, ...]:
    context = f"{place.context.label}{' (recommended)' if place.is_recommended else ''}"
    return context, rate(place.learning_rate), place.num_trials, place.num_failed, percent(place.expected)


def drift_json(tested: DriftFindings) -> dict[str, Any]:
    """Return a drift as strict JSON data."""
    judged, best = tested.judged, tested.drift.recommended
    mean, low, high = judged.failure_now
    return {
        "version": DRIFT_VERSION,
        "exit_code": int(tested.exit_code),
        "standing": judged.standing.value,
        "answer": sentences(tested),
        "next": next_step_of(tested),
        "drift": tested.folder.name,
        "folder": str(tested.folder),
        "sweep": tested.old.sweep.name,
        "sweep_folder": str(tested.sweep_folder),
        "max_failure_probability": tested.drift.frontier.max_failure_probability,
        "recommended": {"learning_rate": best.learning_rate, **best.context.settings},
        "failure_probability_now": {"mean": mean, "low": low, "high": high},
        "bayes_factors": {
            "moved_down": judged.shrank_factor,
            "moved_up": judged.grew_factor,
            "moved_down_by_2_or_more": judged.doubt,
        },
        "moved": _moved_json(judged.shift),
        "trials": len(tested.records),
        "budget": tested.budget,
        "places": [_place_json(place) for place in places(tested)],
        "changes": list(tested.changes),
    }


def _place_json(place: Place) -> dict[str, Any]:
    return {
        **place.context.settings,
        "learning_rate": place.learning_rate,
        "is_recommended": place.is_recommended,
        "trials": place.num_trials,
        "failed": place.num_failed,
        "expected_failure_probability": place.expected,
    }


def drift_document(tested: DriftFindings) -> str:
    """Return a drift as ``drift.json`` holds it."""
    return json.dumps(drift_json(tested), indent=2, allow_nan=False) + "\n"


def drift_line(folder: Path, found: Mapping[str, Any] | None) -> str:
    """Return a drift on one line, as ``drift.json`` has it; None: it has not ended."""
    if found is None:
        return f"Drift in {printable(str(folder))}: has not ended; `stabsearch drift` goes on with it"
    answer = found.get("answer")
    said = answer[0] if isinstance(answer, list) and answer else "cannot be read"
    return f"Drift in {printable(str(folder))}: {printable(str(said))}"
