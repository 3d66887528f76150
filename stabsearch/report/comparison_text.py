"""A comparison of sweeps in words: for the terminal, for JSON, and beside pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stabsearch.frontier.shift import Movement, Shift
from stabsearch.records import Context
from stabsearch.report.comparison import Comparison
from stabsearch.report.findings import ContextRow
from stabsearch.report.knobs import two_digits
from stabsearch.report.wording import HEADINGS, NONE, counted, percent, rate, rate_interval

MAX_CHANGES = 3  # chosen: a sentence that names more is no longer read
MAX_CHANGE = 80  # characters; chosen: of one of them
MAX_LISTED = 6  # chosen: of contexts that are not compared
MANY = 10  # contexts; chosen: from here on, at 0.9, one is expected to look moved by chance
STYLES = {Movement.UP: "bold green", Movement.DOWN: "bold red"}
_COUNTED = {
    Movement.DOWN: "down",
    Movement.UP: "up",
    Movement.UNCLEAR: "no difference can be seen",
    Movement.NOT_ENOUGH_EVIDENCE: "not enough evidence",
}


def movement_words(shift: Shift) -> str:
    """Return how a frontier moved: ``moved down 2.1x (1.3 to 3.4)``.

    >>> movement_words(Shift(Movement.DOWN, 0.476, 0.294, 0.77))
    'moved down 2.1x (1.3 to 3.4)'
    >>> movement_words(Shift(Movement.UNCLEAR, 1.1, 0.7, 1.6))
    'no difference can be seen (0.7 to 1.6)'
    >>> movement_words(Shift(Movement.UP, 9.0, 4.0, math.inf, is_bound=True))
    'moved up at least 4.0x'
    """
    if shift.ratio is None or shift.ratio_low is None or shift.ratio_high is None:
        moved = shift.movement in {Movement.UP, Movement.DOWN}
        return f"moved {shift.movement}" if moved else "not enough evidence"
    if shift.movement is Movement.UNCLEAR:
        return f"no difference can be seen ({_range(shift.ratio_low, shift.ratio_high)})"
    is_up = shift.movement is Movement.UP
    ends = shift.ratio_low, shift.ratio, shift.ratio_high
    low, middle, high = ends if is_up else (_inverse(each) for each in reversed(ends))
    if shift.is_bound:
        return f"moved {shift.movement} at least {_factor(low)}x"
    return f"moved {shift.movement} {_factor(middle)}x ({_range(low, high)})"


def _inverse(ratio: float) -> float:
    return 1 / ratio if ratio else math.inf


def _range(low: float, high: float) -> str:
    if math.isinf(high):
        return f"{_factor(low)} or more"
    return f"{_factor(low)} to {_factor(high)}"


def _factor(ratio: float) -> str:
    return two_digits(ratio) if math.isfinite(ratio) else "infinitely many "


def certainty(shift: Shift) -> str:
    """Return how probable it is that the frontier moved, and where to; empty where it is not known.

    >>> certainty(Shift(Movement.UNCLEAR, 1.1, 0.7, 1.6, probability_down=0.38, probability_up=0.62))
    '62 % up'
    """
    if shift.probability_down is None or shift.probability_up is None:
        return ""
    is_up = shift.probability_up > shift.probability_down
    probability = shift.probability_up if is_up else shift.probability_down
    said = "above 99 %" if probability > 0.99 else percent(probability)
    return f"{said} {'up' if is_up else 'down'}"


def side_words(row: ContextRow | None) -> str:
    """Return the safe learning rate of one sweep in one context, with its credible interval."""
    if row is None:
        return "not searched"
    interval = rate_interval(row.lr_low, row.lr_high)
    match row.verdict:
        case "stable_to_top":
            return f"≥ {rate(row.lr_safe)}, stable to the top"
        case "no_stable_region":
            return "no stable region"
        case "not_enough_evidence":
            so_far = f", so far {interval}" if row.num_trials and interval != NONE else ""
            return f"not enough evidence{so_far}"
    return f"{rate(row.lr_safe)} ({interval})"


def answer_sentences(comparison: Comparison) -> list[str]:
    """Return what came out, one sentence per sweep that is compared with the first."""
    return [_sentence(comparison, other) for other in comparison.others]


def _sentence(comparison: Comparison, other: int) -> str:
    first, side, shift = comparison.sides[0], comparison.sides[other], comparison.overall[other]
    moves = Counter(comparison.moves(other))
    between = f"From {first.label} to {side.label} ({_changed(comparison.changes[other])})"
    if not moves:
        return f"{between} nothing can be compared: they share no context."
    assert shift is not None, "only the first has none"
    return f"{between} {_overall(shift, moves)}{_each(shift, moves)}."


def _each(shift: Shift, moves: Counter[Movement]) -> str:
    """Return how many contexts moved where; nothing of a single one, of which all is said."""
    number = sum(moves.values())
    if number == 1:
        return ""
    if set(moves) == {shift.movement}:
        return f"; the same in each of {number} shared contexts"
    counts = [f"{_COUNTED[move]} in {moves[move]}" for move in _COUNTED if moves[move]]
    return f"; of {number} shared contexts: {', '.join(counts)}"


def _overall(shift: Shift, moves: Counter[Movement]) -> str:
    if moves[Movement.UP] and moves[Movement.DOWN]:
        return "the frontier moved up in some contexts and down in others"
    if shift.movement is Movement.UNCLEAR:
        return f"no difference of the frontier can be seen overall ({movement_words(shift).split(' (')[1]}"
    if shift.movement is Movement.NOT_ENOUGH_EVIDENCE:
        return "there is not enough evidence to say whether the frontier moved"
    return f"the frontier {movement_words(shift)}"


def _changed(changes: Sequence[str]) -> str:
    if not changes:
        return "no difference in settings, versions or device is known"
    more = len(changes) - MAX_CHANGES
    named = "; ".join(
        change if len(change) <= MAX_CHANGE else f"{change[: MAX_CHANGE - 1]}…"
        for change in changes[:MAX_CHANGES]
    )
    return f"{named}{f'; and {more} more' if more > 0 else ''}"


def notes(comparison: Comparison) -> list[str]:
    """Return what stands below the contexts: what is not compared, and how to read many intervals."""
    said = [f"Only in {owners}: {_listed(contexts)}" for owners, contexts in comparison.alone]
    many = max(len(comparison.moves(other)) for other in comparison.others)
    if many >= MANY:
        chance = many * (1 - comparison.confidence)
        said.append(
            f"Of {many} contexts about {chance:.0f} may seem to have moved although nothing did "
            f"({percent(comparison.confidence)} intervals, one by one)."
        )
    return said


def _listed(contexts: Sequence[Context]) -> str:
    more = len(contexts) - MAX_LISTED
    named = "; ".join(context.label for context in contexts[:MAX_LISTED])
    return f"{named}{f'; and {more} more' if more > 0 else ''}"


def warning_text(comparison: Comparison) -> str:
    """Return why the comparison is not sound, on one line; empty where nothing speaks against it."""
    return f"Not a sound comparison: {'; '.join(comparison.warnings)}." if comparison.warnings else ""


def terms_text(comparison: Comparison) -> str:
    """Return at what risk the safe learning rates are given, and what the factors are."""
    return (
        f"Highest learning rate with a failure probability of at most {percent(comparison.risk)}; "
        f"{percent(comparison.confidence)} credible intervals; factors against {comparison.sides[0].label}."
    )


def print_comparison(comparison: Comparison, stream: TextIO) -> None:
    """Write the answer, why it may not be sound, every context, and what could not be compared.

    Args:
        comparison: of the sweeps.
        stream: a terminal gets colours (none when NO_COLOR is set) and wrapped columns, a file plain lines.
    """
    console = Console(file=stream, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        stream.write("\n".join(comparison_lines(comparison)) + "\n")
        return
    if comparison.warnings:
        console.print(Text(warning_text(comparison), style="bold yellow"))
    for sentence in answer_sentences(comparison):
        console.print(Text(sentence, style="bold"))
    console.print(Text(_sides_text(comparison), style="dim"))
    console.print(Text(terms_text(comparison), style="dim"))
    for line in comparison.lines:
        console.print(Text(f"\n{line.context.label}"))
        console.print(_context_table(comparison, line.rows, line.shifts))
    for note in notes(comparison):
        console.print(Text(f"\n{note}", style="dim"))


def _context_table(
    comparison: Comparison, rows: Sequence[ContextRow | None], found: Sequence[Shift | None]
) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    widest = max(len(side.label) for side in comparison.sides)
    table.add_column(min_width=min(widest, 18), max_width=18, overflow="fold")
    table.add_column(min_width=26)
    table.add_column()
    for side, row, shift in zip(comparison.sides, rows, found, strict=True):
        style = STYLES.get(shift.movement, "dim") if shift else ""
        table.add_row(Text(f"  {side.label}"), side_words(row), Text(shift_words(shift), style=style))
    return table


def shift_words(shift: Shift | None) -> str:
    """Return how a frontier moved, and how probable that is; nothing of the first sweep's own."""
    if shift is None:
        return ""
    moved, certain = movement_words(shift), certainty(shift)
    if not certain:
        return moved
    if shift.movement is Movement.UNCLEAR:
        return f"{moved}, {certain}"
    return f"{moved}, probability {certain.rpartition(' ')[0]}"


def _sides_text(comparison: Comparison) -> str:
    return "\n".join(
        f"{side.label}: {len(side.findings.records):,} of "
        f"{counted(side.findings.sweep.budget.trials, 'trial')}, "
        f"{HEADINGS[side.findings.answer.verdict][0].lower()}{HEADINGS[side.findings.answer.verdict][1:]}"
        for side in comparison.sides
    )


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return the comparison as plain lines."""
    lines = [*filter(None, [warning_text(comparison)]), *answer_sentences(comparison)]
    lines += [*_sides_text(comparison).split("\n"), terms_text(comparison)]
    widest = max(len(side.label) for side in comparison.sides)
    for line in comparison.lines:
        lines += ["", line.context.label]
        for side, row, shift in zip(comparison.sides, line.rows, line.shifts, strict=True):
            said = f"  {side.label.ljust(widest)}  {side_words(row).ljust(26)}  {shift_words(shift)}"
            lines.append(said.rstrip())
    below = notes(comparison)
    return [*lines, *([""] if below else []), *below]


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as strict JSON data; a number that is not finite is null."""
    return {
        "answer": answer_sentences(comparison),
        "warnings": list(comparison.warnings),
        "max_failure_probability": comparison.risk,
        "confidence": comparison.confidence,
        "sweeps": [
            {
                "sweep": side.label,
                "folder": str(side.folder),
                "trials": len(side.findings.records),
                "verdict": side.findings.answer.verdict.value,
                "changes": list(comparison.changes[place]),
                "overall": shift_json(comparison.overall[place]),
            }
            for place, side in enumerate(comparison.sides)
        ],
        "contexts": [
            {
                **line.context.settings,
                "sweeps": [
                    {"sweep": side.label, **_row_json(row), "moved": shift_json(shift)}
                    for side, row, shift in zip(comparison.sides, line.rows, line.shifts, strict=True)
                ],
            }
            for line in comparison.lines
        ],
        "not_compared": [
            {"only_in": owners, **context.settings}
            for owners, contexts in comparison.alone
            for context in contexts
        ],
    }


def _row_json(row: ContextRow | None) -> dict[str, Any]:
    names = ("lr_safe", "lr_low", "lr_high", "num_trials", "num_failed", "verdict")
    return {name: getattr(row, name, None) for name in names}


def shift_json(shift: Shift | None) -> dict[str, Any] | None:
    """Return how a frontier moved as strict JSON data."""
    if shift is None:
        return None
    names = ("ratio", "ratio_low", "ratio_high", "probability_down", "probability_up")
    numbers = {name: getattr(shift, name) for name in names}
    finite = {name: value if value is not None and math.isfinite(value) else None
              for name, value in numbers.items()}  # fmt: skip
    return {
        "movement": shift.movement.value,
        **finite,
        "is_bound": shift.is_bound,
        "words": movement_words(shift),
    }
