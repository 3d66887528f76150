"""Labels that depend on other trials: collapsed, degraded, untrained; recomputed at each fit.

Legend: a trial's *tail* is its mean loss over the last quarter of its horizon, its *progress* the
share of the best tail's way down from the common start (from chance where models start far above it),
its *dose* the sum of its learning rates.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median
from typing import TypeAlias

import numpy as np

from stabsearch.records import Cause, Grade, Outcome, OutcomeRules, Stage, StepTrace, TrialRecord
from stabsearch.records.hyperparameters import FURTHER, Value

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
    finished = {r.plan.number: r for r in records if _is_finished(r) and r.plan.stage is not Stage.RAMP}
    relabelled = {}
    for horizon in {record.plan.horizon for record in finished.values()}:
        peers = [record for record in finished.values() if record.plan.horizon <= horizon]
        judged = [record for record in _among_peers(peers, rules) if record.plan.horizon == horizon]
        relabelled.update({record.plan.number: record for record in judged})
    return [relabelled.get(record.plan.number, record) for record in records]


def _is_finished(record: TrialRecord) -> bool:
    return record.outcome in {Outcome.STABLE, Outcome.COLLAPSED} and record.steps > 0


def _among_peers(peers: Sequence[TrialRecord], rules: OutcomeRules) -> list[TrialRecord]:
    curves = [_summary(record.trace, rules.smoothing) for record in peers]
    start = median(curve.first for curve in curves)
    known = [record.chance_loss for record in peers if math.isfinite(record.chance_loss)]
    chance = median(known) if known else math.nan
    floor = min((level for level in (start, chance) if math.isfinite(level)), default=math.nan)
    best = min(curve.tail for curve in curves)
    if not best < rules.chance_share * floor:
        return [_without_learners(r, c, chance, rules) for r, c in zip(peers, curves, strict=True)]
    origin = _origin(start, chance, rules)
    way = origin - best
    progress = [(origin - curve.tail) / way if way > 0 else 1.0 for curve in curves]
    least = _least_doses(peers, progress, rules)
    return [
        _labelled(record, curve, share, way, least[_pace(record)], rules)
        for record, curve, share in zip(peers, curves, progress, strict=True)
    ]


def _origin(start: float, chance: float, rules: OutcomeRules) -> float:
    """Return the loss from which progress counts: the common start, or chance where that is far above it.

    A language model of random weights starts at the logarithm of its vocabulary. Getting from there to
    the frequencies of tokens is most of the way down, and a trial that ends there has learned nothing else.
    """
    return chance if chance < rules.chance_share * start else start


def _least_doses(
    peers: Sequence[TrialRecord], progress: Sequence[float], rules: OutcomeRules
) -> dict[Pace, dict[float, float]]:
    """Return, among trials of each pace, the smallest dose that usually reached each share of progress."""
    groups: dict[Pace, list[tuple[float, float]]] = {}
    for record, share in zip(peers, progress, strict=True):
        groups.setdefault(_pace(record), []).append((_dose(record), share))
    return {
        pace: {
            share: _usual_dose([dose for dose, _ in group], [made >= share for _, made in group])
            for share in (rules.learned_progress, rules.clean_progress)
        }
        for pace, group in groups.items()
    }


def _labelled(
    record: TrialRecord,
    curve: _Curve,
    progress: float,
    way: float,
    least_dose: dict[float, float],
    rules: OutcomeRules,
) -> TrialRecord:
    """Label one trial; ``least_dose`` is the smallest that usually reached each share of progress."""
    if progress < rules.collapse_progress:
        came_back_up = curve.tail > curve.low + max(NOISE_SHARE * way, NOISE_ERRORS * curve.noise)
        learnable = least_dose[rules.learned_progress] <= _dose(record)
        if _rose(record, curve, rules) or came_back_up or learnable:
            return _collapsed(record, f"{max(progress, 0):.0%} of the best trial's progress at the same step")
        return _stable(record, Grade.UNTRAINED)
    gentler_did_better = progress < rules.clean_progress and least_dose[rules.clean_progress] <= _dose(record)
    return _stable(record, Grade.DEGRADED if gentler_did_better else Grade.CLEAN)


def _without_learners(record: TrialRecord, curve: _Curve, chance: float, rules: OutcomeRules) -> TrialRecord:
    """Label a trial of a group in which nobody learned: only damage of its own counts."""
    no_better = not curve.tail < rules.chance_share * chance
    if _rose(record, curve, rules) and no_better:
        return _collapsed(record, "its loss rose and ended no better than chance")
    return _stable(record, Grade.UNTRAINED)


def _rose(record: TrialRecord, curve: _Curve, rules: OutcomeRules) -> bool:
    levels = [level for level in (curve.first, record.chance_loss) if math.isfinite(level)]
    level = max(levels)
    return curve.peak > max(rules.rise_ratio * level, level + NOISE_ERRORS * curve.peak_noise)


def _collapsed(record: TrialRecord, message: str) -> TrialRecord:
    # relabelling is repeated: everything that depends on the label is set each time
    return replace(
        record, outcome=Outcome.COLLAPSED, grade=None, cause=Cause.LEARNING_RATE,
        first_bad_step=_worst_step(record.trace), message=message,
    )  # fmt: skip


def _stable(record: TrialRecord, grade: Grade) -> TrialRecord:
    message = f"finite for {record.steps} steps"
    return replace(
        record, outcome=Outcome.STABLE, grade=grade, cause=None, first_bad_step=None, message=message
    )


def _usual_dose(doses: Sequence[float], has_reached: Sequence[bool]) -> float:
    """Return the smallest dose that reached something, as nearly all around it did; infinity if none did.

    Around a dose are all trials of just that dose, and those next to it in order of dose: five at
    least, a tenth of all when there are many. Where nowhere nearly all of them did, the dose counts
    around which most did.
    """
    order = sorted(doses)
    reached = np.array(has_reached, dtype=float)[np.argsort(doses, kind="stable")]
    total = np.append(0.0, np.cumsum(reached))
    shares = {}
    for dose in {dose for dose, has in zip(doses, has_reached, strict=True) if has}:
        first, last = bisect_left(order, dose), bisect_right(order, dose)
        missing = max(MIN_NEIGHBOURS, len(order) // 10) - (last - first)
        pad = max(0, math.ceil(missing / 2))
        first, last = max(0, first - pad), min(len(order), last + pad)
        shares[dose] = float(total[last] - total[first]) / (last - first)
    enough = min(NEARLY_ALL, max(shares.values(), default=0.0))
    return min((dose for dose, share in shares.items() if share >= enough), default=math.inf)


def _worst_step(trace: StepTrace) -> int:
    return trace.steps[int(np.argmax(trace.losses))]


def _pace(record: TrialRecord) -> Pace:
    """Return what makes equal doses unequal between trials."""
    return tuple(getattr(record.plan, name) for name in PACED_BY)


def _dose(record: TrialRecord) -> float:
    plan = record.plan
    return plan.learning_rate * (plan.horizon - plan.warmup_steps / 2)


@lru_cache(maxsize=1 << 14)
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
