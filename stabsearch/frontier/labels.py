"""Labels that depend on other trials: collapsed, degraded, untrained; recomputed at each fit.

Legend: a trial's *tail* is its mean loss over the last quarter of its horizon, its *progress* the
share of the best tail's way down from the common start (from chance where models start far above it),
its *dose* the sum of its learning rates. Shape letter: N trials.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from operator import is_
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stabsearch.frontier.kept import Kept
from stabsearch.records import Cause, Grade, Outcome, OutcomeRules, Stage, StepTrace, TrialRecord
from stabsearch.records.hyperparameters import FURTHER, Value

Floats: TypeAlias = NDArray[np.float64]
Pace: TypeAlias = tuple[Value | None, ...]
PACED_BY = tuple(row.name for row in FURTHER if row.sets_pace)
TAIL_SHARE = 0.25
MIN_TAIL_POINTS = 3
NEARLY_ALL = 0.8  # chosen: four of five; a single early learner shows luck, not what its rate can do
MIN_NEIGHBOURS = 5  # chosen: fewer say little about a share
NOISE_ERRORS = 4.0  # chosen: the low is the smallest of many stretches, so more than the usual two
NOISE_SHARE = 0.25  # chosen: a tail this share of the possible progress above its low has come back up


@dataclass(frozen=True)
class _Curve:
    """One trial's loss curve in six numbers, nats per example."""

    first: float
    tail: float
    """Mean loss over the last quarter."""
    peak: float
    """Largest smoothed loss."""
    low: float
    """Smallest mean over any stretch as long as the tail."""
    noise: float
    """Standard error of the difference of two such means, by how much the loss jumps from batch to batch."""
    peak_noise: float
    """Standard error of a smoothed loss."""


class _Facts(NamedTuple):
    """What labels depend on, of each trial; arrays of shape [N]."""

    horizon: Floats
    dose: Floats
    pace: Floats
    """A number per pace: equal doses of trials of unequal pace do not compare."""
    chance: Floats
    first: Floats
    tail: Floats
    peak: Floats
    low: Floats
    noise: Floats
    peak_noise: Floats

    @classmethod
    def of(cls, rows: Iterable[bytes]) -> _Facts:
        """Return the facts of some trials from a row each."""
        return cls(*np.frombuffer(b"".join(rows), dtype=float).reshape(-1, len(cls._fields)).T)

    def where(self, chosen: NDArray[np.bool_]) -> _Facts:
        """Return the facts of some of the trials."""
        return _Facts(*(column[chosen] for column in self))


def relabel(records: Sequence[TrialRecord], rules: OutcomeRules) -> list[TrialRecord]:
    """Return the records with outcome and grade of every finished trial decided among its peers.

    A finished trial is ``collapsed`` when it made less than ``rules.collapse_progress`` of the best
    trial's progress at the same step, and it is not merely slow: its loss rose above its start,
    or came back up after falling, or trials with no larger dose had nearly all learned by then (one
    of them may have been lucky). Trials of a shorter horizon are peers too: what they had learned by
    their end, a longer one should have. How slow is too slow is told by trials of the same pace: with the
    same batch size, for example. The order of the records does not matter, and relabelling twice
    changes nothing. Ramps are nobody's peers: they stay as they are.
    """
    looks = _looks_by(rules.smoothing).of(records)
    places = [place for place, look in enumerate(looks) if look is not None]
    if not places:
        return list(records)
    finished = [records[place] for place in places]
    relabelled = list(records)
    for place, record in _LATEST.changed(finished, [look for look in looks if look is not None], rules):
        relabelled[places[place]] = record
    return relabelled


def _is_finished(record: TrialRecord) -> bool:
    is_whole = record.outcome is Outcome.STABLE or record.outcome is Outcome.COLLAPSED
    return is_whole and record.steps > 0 and record.plan.stage is not Stage.RAMP


class _Latest(threading.local):
    """What was decided last: of the records that came out of it, deciding again changes nothing.

    Each thread has its own: who looks at a running sweep from beside it has other records in hand.
    """

    def __init__(self) -> None:
        self._rules: OutcomeRules | None = None
        self._decided: list[TrialRecord] = []

    def changed(
        self, finished: list[TrialRecord], looks: Sequence[_Look], rules: OutcomeRules
    ) -> list[tuple[int, TrialRecord]]:
        """Return the place and the labelled record of each finished trial whose label is another."""
        is_known = rules == self._rules and len(finished) == len(self._decided)
        if is_known and all(map(is_, finished, self._decided)):
            return []
        kinds, progress = _decided(_Facts.of(look.row for look in looks), rules)
        everything = zip(finished, looks, kinds, progress, strict=True)
        decided = [
            record if look.kind == kind and kind != UNLEARNED else _as(record, look.forms, kind, share)
            for record, look, kind, share in everything
        ]
        changed = [(place, record) for place, record in enumerate(decided) if record is not finished[place]]
        self._rules, self._decided = rules, decided
        return changed


_LATEST = _Latest()


def _decided(facts: _Facts, rules: OutcomeRules) -> tuple[list[int], list[float]]:
    """Return kind and progress of each trial among those whose horizon is no longer than its own."""
    kind_N, progress_N = np.empty(len(facts.horizon), dtype=int), np.ones(len(facts.horizon))
    for horizon in np.unique(facts.horizon):
        is_peer_N, is_judged_N = facts.horizon <= horizon, facts.horizon == horizon
        kinds, progress = _among_peers(facts.where(is_peer_N), rules)
        kind_N[is_judged_N] = kinds[is_judged_N[is_peer_N]]
        progress_N[is_judged_N] = progress[is_judged_N[is_peer_N]]
    return kind_N.tolist(), progress_N.tolist()


CLEAN, DEGRADED, UNTRAINED, UNLEARNED, RUINED = range(5)
"""Kinds of finished trials; the last two have collapsed: others learned, or nobody did and its loss rose."""
_GRADES = {CLEAN: Grade.CLEAN, DEGRADED: Grade.DEGRADED, UNTRAINED: Grade.UNTRAINED}


def _among_peers(peers: _Facts, rules: OutcomeRules) -> tuple[NDArray[np.int_], Floats]:
    """Return the kind of each trial, and its progress: [N], [N]."""
    start = float(np.median(peers.first))
    known_N = peers.chance[np.isfinite(peers.chance)]
    chance = float(np.median(known_N)) if len(known_N) else math.nan
    floor = min((level for level in (start, chance) if math.isfinite(level)), default=math.nan)
    best = float(np.min(peers.tail))
    if not best < rules.chance_share * floor:
        return _without_learners(peers, chance, rules), np.ones(len(peers.tail))
    origin = _origin(start, chance, rules)
    way = origin - best
    progress_N = (origin - peers.tail) / way if way > 0 else np.ones(len(peers.tail))
    back_up_N = peers.tail > peers.low + _larger(NOISE_SHARE * way, NOISE_ERRORS * peers.noise)
    learned_N = _least_doses(peers, progress_N, rules.learned_progress) <= peers.dose
    is_collapsed_N = _rose(peers, rules) | back_up_N | learned_N
    clean_N = _least_doses(peers, progress_N, rules.clean_progress) <= peers.dose
    is_degraded_N = (progress_N < rules.clean_progress) & clean_N
    slow_N = np.where(is_collapsed_N, UNLEARNED, UNTRAINED)
    kind_N = np.where(is_degraded_N, DEGRADED, CLEAN)
    return np.where(progress_N < rules.collapse_progress, slow_N, kind_N), progress_N


def _origin(start: float, chance: float, rules: OutcomeRules) -> float:
    """Return the loss from which progress counts: the common start, or chance where that is far above it.

    A language model of random weights starts at the logarithm of its vocabulary. Getting from there to
    the frequencies of tokens is most of the way down, and a trial that ends there has learned nothing else.
    """
    return chance if chance < rules.chance_share * start else start


def _least_doses(peers: _Facts, progress_N: Floats, share: float) -> Floats:
    """Return for each trial the smallest dose of its pace that usually reached a share of progress: [N]."""
    least_N = np.empty(len(progress_N))
    for pace in np.unique(peers.pace):
        alike_N = peers.pace == pace
        least_N[alike_N] = _usual_dose(peers.dose[alike_N], progress_N[alike_N] >= share)
    return least_N


def _without_learners(peers: _Facts, chance: float, rules: OutcomeRules) -> NDArray[np.int_]:
    """Return the kinds in a group in which nobody learned: only damage of its own counts."""
    no_better_N = ~(peers.tail < rules.chance_share * chance)
    return np.where(_rose(peers, rules) & no_better_N, RUINED, UNTRAINED)


def _rose(peers: _Facts, rules: OutcomeRules) -> NDArray[np.bool_]:
    levels = [np.where(np.isfinite(level_N), level_N, -np.inf) for level_N in (peers.first, peers.chance)]
    level_N = np.maximum(*levels)
    limit_N = _larger(rules.rise_ratio * level_N, level_N + NOISE_ERRORS * peers.peak_noise)
    has_risen_N: NDArray[np.bool_] = peers.peak > limit_N
    return has_risen_N


def _larger(first: Floats | float, second_N: Floats) -> Floats:
    """Return the larger of two numbers; the first where they do not compare."""
    return np.where(second_N > first, second_N, first)


Forms: TypeAlias = dict[int, "tuple[str, TrialRecord | None]"]
"""Kind -> message and labelled record of one trial; None: the record has that label already."""


class _Look(NamedTuple):
    """What is known of one finished trial."""

    row: bytes
    """Its facts."""
    kind: int
    """The kind that it has the label of; -1: none whose label needs no words of its own."""
    forms: Forms


def _as(record: TrialRecord, forms: Forms, kind: int, progress: float) -> TrialRecord:
    """Return the record as one of this kind; the same object whenever it is asked for again."""
    known = forms.get(kind)
    if known is None or (kind == UNLEARNED and known[0] != _message(record, kind, progress)):
        message = _message(record, kind, progress)
        made = _collapsed(record, message) if kind in {UNLEARNED, RUINED} else _stable(record, kind, message)
        # a trial's own forms must not keep it alive
        known = forms[kind] = (message, None if _has_label_of(made, record) else made)
    return known[1] or record


def _message(record: TrialRecord, kind: int, progress: float) -> str:
    if kind == UNLEARNED:
        return f"{max(progress, 0):.0%} of the best trial's progress at the same step"
    if kind == RUINED:
        return "its loss rose and ended no better than chance"
    return f"finite for {record.steps} steps"


def _has_label_of(one: TrialRecord, other: TrialRecord) -> bool:
    return _label(one) == _label(other)


def _label(record: TrialRecord) -> tuple[object, ...]:
    return record.outcome, record.grade, record.cause, record.first_bad_step, record.message


def _collapsed(record: TrialRecord, message: str) -> TrialRecord:
    # relabelling is repeated: everything that depends on the label is set each time
    return replace(
        record, outcome=Outcome.COLLAPSED, grade=None, cause=Cause.LEARNING_RATE,
        first_bad_step=_worst_step(record.trace), message=message,
    )  # fmt: skip


def _stable(record: TrialRecord, kind: int, message: str) -> TrialRecord:
    return replace(
        record, outcome=Outcome.STABLE, grade=_GRADES[kind], cause=None, first_bad_step=None, message=message
    )


def _usual_dose(dose_N: Floats, has_reached_N: NDArray[np.bool_]) -> float:
    """Return the smallest dose that reached something, as nearly all around it did; infinity if none did.

    Around a dose are all trials of just that dose, and those next to it in order of dose: five at
    least, a tenth of all when there are many. Where nowhere nearly all of them did, the dose counts
    around which most did.
    """
    if not has_reached_N.any():
        return math.inf
    order = np.argsort(dose_N, kind="stable")
    in_order_N, num = dose_N[order], len(dose_N)
    total = np.append(0.0, np.cumsum(has_reached_N[order].astype(float)))
    dose_D = np.unique(dose_N[has_reached_N])
    first_D = np.searchsorted(in_order_N, dose_D, side="left")
    last_D = np.searchsorted(in_order_N, dose_D, side="right")
    missing_D = max(MIN_NEIGHBOURS, num // 10) - (last_D - first_D)
    pad_D = np.maximum(0, -(-missing_D // 2))
    first_D, last_D = np.maximum(0, first_D - pad_D), np.minimum(num, last_D + pad_D)
    share_D = (total[last_D] - total[first_D]) / (last_D - first_D)
    enough = min(NEARLY_ALL, float(share_D.max()))
    return float(dose_D[share_D >= enough].min())


def _worst_step(trace: StepTrace) -> int:
    return trace.steps[int(np.argmax(trace.losses))]


@lru_cache(maxsize=8)
def _looks_by(smoothing: float) -> Kept[TrialRecord, _Look | None]:
    """Return what keeps what is known of each trial, None of one that did not finish."""
    curves: Kept[StepTrace, _Curve] = Kept(lambda trace: _summary(trace, smoothing))

    def look(record: TrialRecord) -> _Look | None:
        if not _is_finished(record):
            return None
        known = record.plan.horizon, _dose(record), _pace(record), record.chance_loss
        row = np.array((*known, *astuple(curves(record.trace))), dtype=float).tobytes()
        return _Look(row, _kind_of(record), {})

    return Kept(look)


def _kind_of(record: TrialRecord) -> int:
    """Return the kind whose label a stable record has, -1 if it has none."""
    kind = next((kind for kind, grade in _GRADES.items() if grade is record.grade), -1)
    return (
        kind
        if kind >= 0 and _has_label_of(_stable(record, kind, _message(record, kind, 1.0)), record)
        else -1
    )


_PACES: dict[Pace, int] = {}


def _pace(record: TrialRecord) -> int:
    """Return a number for what makes equal doses unequal between trials."""
    pace = tuple(getattr(record.plan, name) for name in PACED_BY)
    return _PACES.setdefault(pace, len(_PACES))


def _dose(record: TrialRecord) -> float:
    plan = record.plan
    return plan.learning_rate * (plan.horizon - plan.warmup_steps / 2)


def _summary(trace: StepTrace, smoothing: float) -> _Curve:
    loss_N = np.asarray(trace.losses)
    tail = max(MIN_TAIL_POINTS, round(TAIL_SHARE * len(loss_N)))
    smooth, peak = loss_N[0], loss_N[0]
    for loss in loss_N:
        smooth = smoothing * smooth + (1 - smoothing) * loss
        peak = max(peak, smooth)
    window = min(tail, len(loss_N))
    means = np.convolve(loss_N, np.full(window, 1 / window), mode="valid")
    jump = _jump(loss_N)
    return _Curve(
        float(loss_N[0]),
        float(loss_N[-window:].mean()),
        float(peak),
        float(means.min()),
        noise=jump * math.sqrt(2 / window),
        peak_noise=jump * math.sqrt((1 - smoothing) / (1 + smoothing)),
    )


def _jump(loss_N: np.ndarray) -> float:
    """Return the standard deviation of single losses around their course, from neighbours alone.

    From the mean size of jumps, not of their squares: one spike, or a steep fall, hardly counts. The factor
    is that of a normal distribution.
    """
    if len(loss_N) < 2:
        return 0.0
    return float(math.sqrt(math.pi / 2) * np.mean(np.abs(np.diff(loss_N))) / math.sqrt(2))
