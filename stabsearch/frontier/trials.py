"""Trials as a table, checked and reduced to what each context's frontier needs."""

from __future__ import annotations

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stabsearch.errors import UserError
from stabsearch.frontier.evidence import Evidence, Observation, Result, tallied
from stabsearch.frontier.kept import Kept
from stabsearch.records import PRECISIONS, Context, Grade, Outcome, Stage, TrialRecord
from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS, Value, of_role

CONTEXT_COLUMNS = tuple(row.name for row in of_role("context"))
FURTHER_COLUMNS = tuple(row.name for row in FURTHER)
"""What else tells contexts apart where a table has it; a missing value: not searched."""
TRIAL_COLUMNS = ("learning_rate", *CONTEXT_COLUMNS, "outcome")


class TableError(UserError, ValueError):
    """A table that cannot be read as trials or configurations; names the row and the column."""


@dataclass(frozen=True)
class ContextTrials:
    """The evidence of one context."""

    context: Context
    evidence: Evidence
    """Outcomes per log10 learning rate."""
    num_learned: int
    """Survivors that learned; survivors count as having learned when the table has no grades."""

    @cached_property
    def num_trials(self) -> int:
        """Return how many trials are evidence."""
        return sum(tally.num_trials for tally in self.evidence)

    @cached_property
    def num_failed(self) -> int:
        """Return how many of them failed because of their hyperparameters."""
        return sum(tally.failed for tally in self.evidence)

    @cached_property
    def lowest_failed(self) -> float:
        """Return the lowest log10 learning rate that failed; infinity when none did."""
        return min((tally.x for tally in self.evidence if tally.failed), default=math.inf)


def context_trials(trials: pd.DataFrame, contexts: Sequence[Context] = ()) -> tuple[ContextTrials, ...]:
    """Return the evidence of every context that is declared or occurs, in a fixed order.

    Rows whose outcome proves nothing (out of memory, lost, ...) and learning-rate ramps are left
    out; their other columns are not looked at. An interrupted trial was alive for as long as it ran
    at its peak learning rate, and one that broke past the shortest horizon survived that. The order
    of the rows does not matter.

    Raises:
        TableError: missing column, unknown outcome, unusable learning rate or context value.
    """
    require_columns(trials, TRIAL_COLUMNS)
    outcomes = [_outcome(value, row) for row, value in trials["outcome"].items()]
    exposures = _exposures(trials, outcomes)
    kept = trials[np.array(exposures) > 0]
    endings = zip(outcomes, _grades(trials), _broke_later(trials), exposures, strict=True)
    results = [
        (Result.SURVIVED if broke_later else _result(outcome, grade), exposure)
        for outcome, grade, broke_later, exposure in endings
        if exposure > 0
    ]
    learned = _learned(kept, [result is Result.FAILED for result, _ in results])
    groups: dict[Context, list[tuple[Observation, bool]]] = {_plain(context): [] for context in contexts}
    points = zip(contexts_of(kept), log_learning_rates(kept), results, learned, strict=True)
    for context, x, (result, exposure), has_learned in points:
        observation = Observation(x, result, exposure)
        groups.setdefault(context, []).append((observation, has_learned and exposure >= 1))
    return tuple(
        ContextTrials(
            context,
            tallied(observation for observation, _ in groups[context]),
            sum(has_learned for _, has_learned in groups[context]),
        )
        for context in sorted(groups, key=lambda context: context.order)
    )


class _Point(NamedTuple):
    """What one trial says of its context's frontier."""

    observation: Observation
    has_learned: bool


class _Look(NamedTuple):
    """What one record comes to."""

    group: int
    """A number for its context."""
    horizon: int
    point: _Point | None
    """None: it proves nothing."""


def record_trials(records: Sequence[TrialRecord], contexts: Sequence[Context]) -> tuple[ContextTrials, ...]:
    """Return the evidence of some contexts, as ``context_trials`` of a table of these records has it.

    Each record is looked at once, and a context is counted again only when one of its trials changed:
    this is asked after every trial.
    """
    in_order = sorted({_plain(context) for context in contexts}, key=lambda context: context.order)
    wanted = {_group(context) for context in in_order}
    points = _LATEST.points(records)
    if len({horizon for group in wanted for horizon in points[group].horizons}) > 1:
        points = _beside_shorter(records, wanted)
    return tuple(_counted(context, points[_group(context)]) for context in in_order)


class _Points:
    """What the trials of one context say."""

    def __init__(self) -> None:
        self.by_record: dict[int, _Point] = {}
        """By the id of the record; trials that prove nothing are left out."""
        self.horizons: Counter[int] = Counter()
        """How many trials have each horizon, whatever they prove."""
        self.counted: ContextTrials | None = None
        """What they come to; None: it has to be counted."""

    def change(self, key: int, look: _Look, by: int) -> None:
        """Take a trial in (+1), or out (-1)."""
        self.horizons[look.horizon] += by
        self.horizons += Counter()  # without those that nobody has any more
        if look.point is not None:
            self.counted = None
            if by > 0:
                self.by_record[key] = look.point
            else:
                del self.by_record[key]


class _Latest(threading.local):
    """The records that were looked at last, by context: of the next ones, most are the same.

    Each thread has its own: who looks at a running sweep from beside it has other records in hand.
    """

    def __init__(self) -> None:
        self._records: dict[int, TrialRecord] = {}
        self._groups: defaultdict[int, _Points] = defaultdict(_Points)

    def points(self, records: Sequence[TrialRecord]) -> defaultdict[int, _Points]:
        """Return what records say, by the number of their context."""
        now = dict(zip(map(id, records), records, strict=True))
        for keys, of, by in (
            (self._records.keys() - now.keys(), self._records, -1),
            (now.keys() - self._records.keys(), now, 1),
        ):
            for key in keys:
                look = _LOOKS(of[key])
                self._groups[look.group].change(key, look, by)
        self._records = now
        return self._groups


_LATEST = _Latest()


def _beside_shorter(records: Sequence[TrialRecord], wanted: Set[int]) -> defaultdict[int, _Points]:
    """Return what records say where some go on past the horizon of others."""
    looks = [(id(record), _LOOKS(record), record) for record in records]
    shortest = min(look.horizon for _, look, _ in looks if look.group in wanted)
    groups: defaultdict[int, _Points] = defaultdict(_Points)
    for key, look, record in looks:
        groups[look.group].change(key, _seen_beside(look, record, shortest), 1)
    return groups


_GROUPS: dict[Context, int] = {}
_NUMBERS = count()


def _group(context: Context) -> int:
    # With len(_GROUPS) as the next number, two threads could give it to two contexts.
    return _GROUPS.setdefault(context, next(_NUMBERS))


def _look(record: TrialRecord) -> _Look:
    return _Look(_group(record.plan.context), record.plan.horizon, _point(record, broke_later=False))


_LOOKS: Kept[TrialRecord, _Look] = Kept(_look)


def _seen_beside(look: _Look, record: TrialRecord, shortest: int) -> _Look:
    """Return what a record comes to beside trials of a shorter horizon."""
    broke_later = look.horizon > shortest and (record.first_bad_step or 0) > shortest
    return look._replace(point=_point(record, broke_later=True)) if broke_later else look


def _point(record: TrialRecord, *, broke_later: bool) -> _Point | None:
    plan, outcome = record.plan, record.outcome
    exposure = 1.0 if outcome.is_evidence else 0.0
    if outcome is Outcome.INTERRUPTED:
        exposure = _alive_share(record.steps, plan.horizon, plan.warmup_steps)
    if plan.stage is Stage.RAMP or exposure <= 0:
        return None
    x = math.log10(_number(plan.learning_rate, plan.number, "learning_rate", positive=True))
    result = Result.SURVIVED if broke_later else _result(outcome, record.grade)
    is_graded = record.grade is Grade.CLEAN or record.grade is Grade.DEGRADED
    has_learned = result is not Result.FAILED and is_graded and exposure >= 1
    return _Point(Observation(x, result, exposure), has_learned)


def _counted(context: Context, points: _Points) -> ContextTrials:
    """Return the trials of a context; the same object until one of them changes."""
    if points.counted is None:
        seen = points.by_record.values()
        evidence = tallied(point.observation for point in seen)
        points.counted = ContextTrials(context, evidence, sum(point.has_learned for point in seen))
    return points.counted


def log_learning_rates(table: pd.DataFrame) -> list[float]:
    """Return log10 of the column ``learning_rate``, one per row."""
    return [
        math.log10(_number(value, row, "learning_rate", positive=True))
        for row, value in table["learning_rate"].items()
    ]


def contexts_of(table: pd.DataFrame) -> list[Context]:
    """Return the context of each row."""
    names = [*CONTEXT_COLUMNS, *(name for name in FURTHER_COLUMNS if name in table.columns)]
    require_columns(table, names)
    rows = zip(table.index, *(table[name] for name in names), strict=True)
    return [_context(row, dict(zip(names, values, strict=True))) for row, *values in rows]


def require_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise when the table lacks one of the columns, or has it twice, naming all that are amiss."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise TableError(
            f"missing column {', '.join(map(repr, missing))}",
            f"needed: {', '.join(columns)}; found: {', '.join(map(str, table.columns)) or 'none'}",
        )
    repeated = [column for column in columns if list(table.columns).count(column) > 1]
    if repeated:
        raise TableError(
            f"column {', '.join(map(repr, repeated))} stands more than once", "name columns apart"
        )


def _context(row: Any, values: Mapping[str, Any]) -> Context:
    precision = values["precision"]
    if not isinstance(precision, str) or not precision:
        raise TableError(
            f"row {row}: column 'precision': not a precision: {precision!r}",
            f"known: {', '.join(sorted(PRECISIONS))}",
        )
    steps = _number(values["warmup_steps"], row, "warmup_steps")
    if steps != int(steps):
        raise TableError(
            f"row {row}: column 'warmup_steps': not a whole number: {steps:g}",
            "warmup counts optimizer steps of the full run; resolve ratios first",
        )
    further = {name: _further(name, values[name], row) for name in values.keys() & set(FURTHER_COLUMNS)}
    clip = _number(values["max_grad_norm"], row, "max_grad_norm")
    return Context.of({"precision": precision, "warmup_steps": int(steps), "max_grad_norm": clip, **further})


def _further(name: str, value: Any, row: Any) -> Value | None:
    if value is None or value is pd.NA or value != value:  # noqa: PLR0124 - NaN is not itself
        return None
    try:
        return HYPERPARAMETERS[name].read(value)
    except ValueError as error:
        raise TableError(f"row {row}: column {name!r}: got {value!r}", str(error)) from None


def _plain(context: Context) -> Context:
    """Return the context without NumPy's numbers, which JSON cannot hold."""
    return Context.of({name: HYPERPARAMETERS[name].read(value) for name, value in context.settings.items()})


def _number(value: Any, row: Any, column: str, *, positive: bool = False) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isfinite(number) and (number > 0 or (number == 0 and not positive)):
        return number
    allowed = "a finite number above 0" if positive else "a finite number, 0 or above"
    raise TableError(f"row {row}: column {column!r}: got {value!r}", f"allowed: {allowed}")


def _outcome(value: Any, row: Any) -> Outcome:
    try:
        return Outcome(value)
    except ValueError:
        raise TableError(
            f"row {row}: column 'outcome': unknown outcome {value!r}", f"known: {', '.join(sorted(Outcome))}"
        ) from None


def _exposures(trials: pd.DataFrame, outcomes: Sequence[Outcome]) -> list[float]:
    """Return the share of its horizon each row was seen for: 1 for evidence, 0 where nothing is proven."""
    ramps = trials["stage"].eq(Stage.RAMP.value) if "stage" in trials.columns else np.zeros(len(trials), bool)
    shares = [
        1.0
        if outcome.is_evidence
        else _alive_share_of(trials.iloc[place])
        if outcome is Outcome.INTERRUPTED
        else 0.0
        for place, outcome in enumerate(outcomes)
    ]
    return [0.0 if is_ramp else share for is_ramp, share in zip(ramps, shares, strict=True)]


def _broke_later(trials: pd.DataFrame) -> list[bool]:
    """Return which rows broke past the horizon of the others: bridge trials, which survived it."""
    if not {"horizon", "first_bad_step"} <= set(trials.columns):
        return [False] * len(trials)
    horizon = pd.to_numeric(trials["horizon"], errors="coerce")
    first_bad = pd.to_numeric(trials["first_bad_step"], errors="coerce")
    broke_later = (horizon > horizon.min()) & (first_bad > horizon.min())
    return list(map(bool, broke_later.fillna(False)))


def _alive_share_of(row: pd.Series[Any]) -> float:
    try:
        steps, horizon, warmup = (float(row[name]) for name in ("steps", "horizon", "warmup_steps"))
    except (KeyError, TypeError, ValueError):
        return 0.0
    return _alive_share(steps, horizon, warmup)


def _alive_share(steps: float, horizon: float, warmup: float) -> float:
    """Return how much of its time at the peak learning rate a stopped trial had behind it."""
    share = (steps - warmup) / (horizon - warmup) if horizon > warmup else 0.0
    return min(max(share, 0.0), 0.999) if math.isfinite(share) else 0.0


def _grades(trials: pd.DataFrame) -> list[Any]:
    return list(trials["grade"]) if "grade" in trials.columns else [None] * len(trials)


def _result(outcome: Outcome, grade: Any) -> Result:
    if outcome.is_failure:
        return Result.FAILED
    graded = {Grade.CLEAN.value: Result.CLEAN, Grade.DEGRADED.value: Result.DEGRADED}
    return graded.get(grade, Result.SURVIVED) if isinstance(grade, str) else Result.SURVIVED


def _learned(trials: pd.DataFrame, failed: Sequence[bool]) -> list[bool]:
    survived = ~np.array(failed, dtype=bool)
    if "grade" not in trials.columns:
        return list(map(bool, survived))
    graded = trials["grade"].isin([Grade.CLEAN.value, Grade.DEGRADED.value]).to_numpy(dtype=bool)
    return list(map(bool, survived & graded))
