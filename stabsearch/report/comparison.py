"""Two or more sweeps side by side: what changed between them, and how the frontier moved."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stabsearch.config.resolve import DEFAULT_OPTIMIZER, DEFAULT_SCHEDULER
from stabsearch.config.write import difference
from stabsearch.errors import UserError
from stabsearch.frontier import Frontier
from stabsearch.frontier.shift import Movement, Shift, read_at, shifts
from stabsearch.records import Context, OutcomeRules
from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS
from stabsearch.report.findings import ContextRow, Findings, frontier_rows
from stabsearch.report.wording import percent, printable

_SAYS_NOTHING = ("name: ", "study", "tracking")
"""Differences between two sweeps that change nothing that is measured."""


@dataclass(frozen=True)
class Side:
    """One of the sweeps."""

    label: str
    """Its name; where two share one, its folder below the one that all are in. Without control characters."""
    folder: Path
    findings: Findings
    frontier: Frontier
    """At the risk and confidence that all are read at."""
    contexts: Mapping[Context, Context] = field(repr=False)
    """Context with what only others searched filled in from its section ``training`` -> as it is here."""
    rows: Mapping[Context, ContextRow] = field(repr=False)
    """By the context as it is here."""

    def row(self, context: Context) -> ContextRow | None:
        """Return what is said of a filled-in context; None where it was not searched."""
        here = self.contexts.get(context)
        return None if here is None else self.rows[here]


@dataclass(frozen=True)
class Line:
    """One context that the first sweep shares with another."""

    context: Context
    rows: tuple[ContextRow | None, ...]
    """One per sweep; None where it was not searched."""
    shifts: tuple[Shift | None, ...]
    """One per sweep, against the first: None for the first itself and where it was not searched."""


@dataclass(frozen=True)
class Comparison:
    """Sweeps side by side; everything is said against the first."""

    sides: tuple[Side, ...]
    risk: float
    confidence: float
    lines: tuple[Line, ...]
    overall: tuple[Shift | None, ...]
    """One per sweep, over the contexts that it shares with the first; None for the first itself."""
    alone: tuple[tuple[str, tuple[Context, ...]], ...]
    """Contexts that cannot be compared: which sweeps have them, by label, and the contexts."""
    changes: tuple[tuple[str, ...], ...]
    """One per sweep: what differs from the first, ``key: old → new``; empty for the first itself."""
    warnings: tuple[str, ...]
    """Why learning rates of these sweeps do not mean the same, one sentence each."""

    @property
    def others(self) -> range:
        """Return the indices of the sweeps that are compared with the first."""
        return range(1, len(self.sides))

    @property
    def is_judged(self) -> bool:
        """True when something can be said of at least one context."""
        known = (shift for line in self.lines for shift in line.shifts if shift)
        return any(shift.movement is not Movement.NOT_ENOUGH_EVIDENCE for shift in known)

    def moves(self, other: int) -> list[Movement]:
        """Return how each context that a sweep shares with the first moved."""
        return [shift.movement for line in self.lines if (shift := line.shifts[other])]


def compared(results: Sequence[tuple[Path, Findings]], max_risk: float | None = None) -> Comparison:
    """Return sweeps side by side.

    Args:
        results: folder and findings of each; the first is what the others are compared with.
        max_risk: failure probability that all are read at; default: the first's.

    Raises:
        UserError: fewer than two, one twice, an impossible risk, or no context in common.
    """
    check_folders([folder for folder, _ in results])
    _check_risk(max_risk)
    first = results[0][1].sweep.risk
    risk, confidence = max_risk or first.max_failure_probability, first.confidence
    axes = [row.name for row in FURTHER if any(row.name in found.frontier.further for _, found in results)]
    labels = _labels(results)
    sides = tuple(
        _side(label, folder, found, axes, risk, confidence)
        for label, (folder, found) in zip(labels, results, strict=True)
    )
    found = {side.label: _shifts(sides[0], side) for side in sides[1:]}
    shared = sorted({context for each, _ in found.values() for context in each}, key=lambda each: each.order)
    if not shared:
        raise UserError(
            f"no context of {sides[0].label} ({_some(sides[0])}) was searched by "
            f"{' or '.join(side.label for side in sides[1:])} ({_some(sides[1])})",
            "compare sweeps that share a precision, a warmup in steps, a clip norm and what else they search",
        )
    lines = tuple(
        Line(
            context,
            tuple(side.row(context) for side in sides),
            (None, *(found[side.label][0].get(context) for side in sides[1:])),
        )
        for context in shared
    )
    return Comparison(
        sides,
        risk,
        confidence,
        lines,
        (None, *(found[side.label][1] for side in sides[1:])),
        _alone(sides, set(shared)),
        ((), *(changes_between(sides[0].findings, side.findings) for side in sides[1:])),
        _warnings(sides, axes, risk),
    )


def check_folders(folders: Sequence[Path]) -> None:
    """Raise where there is nothing to compare.

    Raises:
        UserError: fewer than two folders, or one of them twice.
    """
    if len(folders) < 2:
        raise UserError(
            "one sweep only: there is nothing to compare it with", "give two or more folders of sweeps"
        )
    seen: set[str] = set()
    for folder in folders:
        if os.path.realpath(folder) in seen:
            raise UserError(f"{folder} is given twice", "give the folders of different sweeps")
        seen.add(os.path.realpath(folder))


def _check_risk(max_risk: float | None) -> None:
    if max_risk is not None and not 0 < max_risk < 0.5:
        raise UserError(
            f"--max-risk {max_risk:g}: a failure probability above 0 and below 0.5 is needed",
            "0.05 allows one run in twenty to fail",
        )


def _labels(results: Sequence[tuple[Path, Findings]]) -> list[str]:
    names = [found.sweep.name for _, found in results]
    if len(set(names)) == len(names):
        return list(map(printable, names))
    whole = [os.path.realpath(folder) for folder, _ in results]
    paths = [printable(os.path.relpath(path, os.path.commonpath(whole))) for path in whole]
    is_told_apart = len(set(paths)) == len(paths)
    return paths if is_told_apart else [f"{path} ({place})" for place, path in enumerate(paths, 1)]


def _side(
    label: str, folder: Path, found: Findings, axes: Sequence[str], risk: float, confidence: float
) -> Side:
    frontier = read_at(found.frontier, risk, confidence)
    given = found.sweep.training.arguments
    contexts = {}
    for row in frontier.rows:
        missing = [name for name in axes if getattr(row.context, name) is None]
        fixed = {name: given.get(name, HYPERPARAMETERS[name].usual) for name in missing}
        contexts[row.context._replace(**fixed)] = row.context
    rows = {row.context: row for row in frontier_rows(frontier)}
    return Side(label, folder, found, frontier, contexts, rows)


def _shifts(first: Side, other: Side) -> tuple[dict[Context, Shift], Shift]:
    """Return how each shared context moved, and all of them together."""
    shared = [context for context in first.contexts if context in other.contexts]
    pairs = [(first.contexts[context], other.contexts[context]) for context in shared]
    each, overall = shifts(first.frontier, other.frontier, pairs)
    return dict(zip(shared, each, strict=True)), overall


def _some(side: Side) -> str:
    first, *more = side.contexts or [None]
    if first is None:
        return "no context at all"
    return f"{first.label}{f' and {len(more)} more' if more else ''}"


def _alone(sides: Sequence[Side], shared: set[Context]) -> tuple[tuple[str, tuple[Context, ...]], ...]:
    """Return the contexts that are not compared, grouped by who searched them."""
    searched = {context for side in sides for context in side.contexts} - shared
    groups: dict[str, list[Context]] = {}
    for context in sorted(searched, key=lambda each: each.order):
        owners = " and ".join(side.label for side in sides if context in side.contexts)
        groups.setdefault(owners, []).append(context)
    return tuple((owners, tuple(contexts)) for owners, contexts in groups.items())


def changes_between(first: Findings, other: Findings) -> tuple[str, ...]:
    """Return what differs between two sweeps, ``key: old → new``: settings, versions, and devices."""
    settings = [line for line in difference(first.sweep, other.sweep) if not line.startswith(_SAYS_NOTHING)]
    settings.sort(key=lambda line: line.startswith("seed: "))  # the least of causes
    named = _named_differences("version of ", first.versions, other.versions)
    places = _named_differences("", _machines(first), _machines(other))
    return tuple(printable(line).replace(" -> ", " → ") for line in [*settings, *named, *places])


def _named_differences(prefix: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys([*old, *new])
    return [
        f"{prefix}{name}: {old.get(name, 'not known')} -> {new.get(name, 'not known')}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _machines(found: Findings) -> dict[str, str]:
    """Return on what the trials ran; a version only where a sweep's trials had several."""
    values: dict[str, set[str]] = {}
    for record in found.records:
        for name, value in record.machine.items():
            values.setdefault(name, set()).add(str(value))
    return {
        f"{name} of the trials": ", ".join(sorted(seen))
        for name, seen in values.items()
        if name == "device" or (len(seen) > 1 and name != "host")
    }


@dataclass(frozen=True)
class _Term:
    """Something that has to be equal for learning rates to mean the same."""

    name: str
    why: str
    of: Callable[[Findings, Sequence[str]], str]


def _rows_per_step(found: Findings, axes: Sequence[str]) -> int:
    training, rows = found.sweep.training, found.sweep.resources.num_processes
    for name in ("per_device_train_batch_size", "gradient_accumulation_steps"):
        rows *= 1 if name in axes else getattr(training, name)
    return rows


def _optimizer(found: Findings, axes: Sequence[str]) -> str:
    given = found.sweep.training.arguments
    names = [name for name in ("adam_beta1", "adam_beta2", "adam_epsilon") if name not in axes]
    settings = [HYPERPARAMETERS[name].label(given.get(name, HYPERPARAMETERS[name].usual)) for name in names]
    return ", ".join([str(given.get("optim", DEFAULT_OPTIMIZER)), *settings])


def _thresholds(found: Findings) -> str:
    usual = asdict(OutcomeRules())
    changed = [
        f"{name} {value:g}" for name, value in asdict(found.sweep.outcomes).items() if value != usual[name]
    ]
    return ", ".join(changed) or "the usual thresholds"


def _schedule(found: Findings, _: Sequence[str]) -> str:
    if found.sweep.budget.schedule == "hold":
        return "hold"
    scheduler = found.sweep.training.lr_scheduler_type or DEFAULT_SCHEDULER
    return f"exact ({scheduler} over {found.answer.max_steps:,} steps)"


_TERMS = (
    _Term(
        "the horizon", "a longer trial has more time to fail",
        lambda found, _: f"{found.answer.horizon:,} steps",
    ),
    _Term(
        "the batch", "equal learning rates train at a different pace per step",
        lambda found, axes: f"{_rows_per_step(found, axes):,} rows per step",
    ),
    _Term("the optimizer", "a learning rate means another step size", _optimizer),
    _Term("the schedule", "trials spend different times at their peak learning rate", _schedule),
    _Term(
        "what counts as a failure", "the same trial may fail in one and survive in the other",
        lambda found, _: _thresholds(found),
    ),
)  # fmt: skip
"""What ``records/hyperparameters.py`` and the resolution of a sweep say makes rates incomparable."""


def _warnings(sides: Sequence[Side], axes: Sequence[str], risk: float) -> tuple[str, ...]:
    first, *others = sides
    said = []
    for side in others:
        for term in _TERMS:
            old, new = term.of(first.findings, axes), term.of(side.findings, axes)
            if old != new:
                values = f"{old} in {first.label}, {new} in {side.label}"
                said.append(f"{term.name} differs: {values} ({term.why})")
    risks = {side.findings.sweep.risk.max_failure_probability for side in sides}
    if len(risks) > 1:
        asked = " and ".join(map(percent, sorted(risks)))
        said.append(
            f"the risk differs: {asked} (all are read at {percent(risk)} here; each sweep "
            "looked for its own, and knows another less well)"
        )
    leaning = [side.label for side in sides if side.findings.sweep.search.prior.earlier]
    if leaning:
        said.append(
            f"{' and '.join(leaning)} began with an earlier frontier as its prior (the intervals take the "
            "sweeps for independent; a move from that frontier is understated)"
        )
    return tuple(map(printable, said))
