"""Hints for where a frontier may lie, from cheap probes: they place a prior, and are never evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from stabsearch.frontier.kept import Kept
from stabsearch.frontier.verdict import ContextVerdict
from stabsearch.records import Context, OutcomeRules, Stage, TrialRecord
from stabsearch.records.ramp import rose_at

if TYPE_CHECKING:
    from stabsearch.frontier.frontier import Frontier
    from stabsearch.records.sharpness import Sharpness

# measured, experiments/LOG.md: +0.61 to +1.11 decades in six contexts of four models, mean +0.90
RAMP_OFFSET = 0.9  # decades that a ramp's loss rises above the frontier
RAMP_SD = 0.35  # decades; contexts spread by 0.17 and seeds by as much, and four models are few
# measured there too: the middle of the bracket lies +0.47 to -1.11 decades from the frontier
SHARPNESS_SD = 0.6  # decades
EARLIER_INFLATION = 2.0  # chosen: model, data or versions have changed since
EARLIER_SD = 0.3  # decades; chosen: what such a change moves a frontier by


@dataclass(frozen=True)
class PriorHint:
    """Where a frontier may lie, as a normal prior: that of one context, or a whole precision's."""

    precision: str
    mean: float
    """log10 of the learning rate, decades."""
    sd: float
    """Standard deviation, decades."""
    context: Context | None = None
    """The one context it is about; None: the mean over the contexts of the precision."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.sd < math.inf):
            raise ValueError(f"a hint is finite and has a width, got mean={self.mean:g}, sd={self.sd:g}")


_IS_RAMP: Kept[TrialRecord, bool] = Kept(lambda record: record.plan.stage is Stage.RAMP)


def ramp_hints(records: Sequence[TrialRecord], rules: OutcomeRules) -> list[PriorHint]:
    """Return one hint per precision whose ramps' losses rose above their start; other trials are passed over.

    A ramp whose loss never rose says nothing, also not that the frontier lies high: it spends few
    steps at each rate, and stands what a trial at that rate would not.
    """
    risen: dict[str, list[float]] = {}
    for record in [each for each, is_ramp in zip(records, _IS_RAMP.of(records), strict=True) if is_ramp]:
        at = rose_at(record, rules)
        if at is not None:
            risen.setdefault(record.plan.precision, []).append(at)
    return [PriorHint(precision, fmean(rates) - RAMP_OFFSET, RAMP_SD) for precision, rates in risen.items()]


def earlier_hints(frontier: Frontier) -> list[PriorHint]:
    """Return one hint per context of an earlier sweep that has a frontier, with inflated doubt.

    Model, data and versions may have changed since: twice the standard deviation, and 0.3 decades more.
    """
    low, median, high = (frontier.posterior.quantile(share) for share in (0.16, 0.5, 0.84))
    sd_C = np.hypot(EARLIER_INFLATION * (high - low) / 2, EARLIER_SD)
    everything = zip(frontier.trials, frontier.rows, median, sd_C, strict=True)
    return [
        PriorHint(trials.context.precision, float(mean), float(sd), trials.context)
        for trials, row, mean, sd in everything
        if row.verdict == ContextVerdict.BOUNDED and math.isfinite(sd)
    ]


def hint_from_json(data: Mapping[str, Any]) -> PriorHint:
    """Return the hint that ``dataclasses.asdict`` took apart."""
    context = Context(*data["context"]) if data["context"] is not None else None
    return PriorHint(data["precision"], data["mean"], data["sd"], context)


def sharpness_hints(sharpness: Sharpness, precisions: Sequence[str]) -> list[PriorHint]:
    """Return one hint per precision, the same for each; none where no sharpness is known.

    The middle of the bracket, and half of its width where that is more than the probe's own error.
    """
    if sharpness.bracket is None:
        return []
    low, high = (math.log10(rate) for rate in sharpness.bracket)
    sd = max(SHARPNESS_SD, (high - low) / 2)
    return [PriorHint(precision, (low + high) / 2, sd) for precision in precisions]
