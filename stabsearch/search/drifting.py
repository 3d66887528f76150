"""The order of a drift: trials on an old frontier, each where it tells most, until it is clear."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stabsearch.frontier.confirming import Confirming
from stabsearch.frontier.drift import Drift, Judged, Probe, Standing
from stabsearch.frontier.labels import relabel
from stabsearch.records import Context, Grade, Stage, TrialPlan, TrialRecord
from stabsearch.search.campaign import Campaign, Stages

if TYPE_CHECKING:
    from stabsearch.config import Sweep
    from stabsearch.errors import UserError
    from stabsearch.search.study import SweepStudy


class DriftCampaign(Campaign):
    """A source of trials for a driver: ends once the old frontier is judged, or the budget is spent.

    Args:
        study: where plans and records of the drift are kept.
        sweep: the sweep as it is now; its budget bounds the drift.
        drift: the old frontier under test.
        peers: trials of the old sweep whose losses compare with those of now, so that they decide with them
            what has collapsed; none where model, data or batch changed.
        gentle: learning rate of a first trial that shows what learning looks like now; None: none is needed,
            or none is known.
        on_started, on_finished, lack: as of a campaign.
    """

    def __init__(
        self, study: SweepStudy, sweep: Sweep, drift: Drift, *, peers: Sequence[TrialRecord],
        gentle: float | None, on_started: Callable[[TrialPlan], None],
        on_finished: Callable[[TrialRecord], None], lack: Callable[[], UserError | None] = lambda: None,
    ) -> None:  # fmt: skip
        contexts = [trials.context for trials in drift.frontier.trials]
        super().__init__(
            study, sweep, contexts, Stages(sweep.budget.trials, Confirming(required=0)),
            on_started=on_started, on_finished=on_finished, lack=lack,
        )  # fmt: skip
        self._drift, self._peers, self._gentle = drift, tuple(peers), gentle

    @property
    def records(self) -> list[TrialRecord]:
        """Return one record per finished trial, labelled among its peers, in trial order."""
        together = relabel([*self._peers, *self._study.raw_records], self._sweep.outcomes)
        return together[len(self._peers) :]

    @property
    def probes(self) -> list[Probe]:
        """Return what the trials so far showed; those that prove nothing about stability are left out."""
        known = {trials.context: place for place, trials in enumerate(self._drift.frontier.trials)}
        has_learners = bool(self._peers)
        return [
            _probe(record, known, has_learners=has_learners)
            for record in self.records
            if record.outcome.is_evidence
        ]

    def judged(self) -> Judged:
        """Return what the trials so far say of the old frontier."""
        return self._drift.judge(self.probes)

    def _proposed(self) -> TrialPlan | None:
        probes = self.probes
        spent = len(self._study.raw_records) + len(self._in_flight)
        is_clear = self._drift.judge(probes).standing in {Standing.SHRANK, Standing.HOLDS, Standing.GREW}
        if is_clear or spent >= self._stages.trials:
            return None
        if self._gentle is not None and spent == 0:
            return self._study.ask_fixed(self._drift.recommended.context, self._gentle, Stage.SEARCH)
        position, x = self._drift.next(probes, spent - (self._gentle is not None))
        return self._planned(position, x)

    def _planned(self, position: int, x: float) -> TrialPlan:
        best, context = self._drift.recommended, self._drift.frontier.trials[position].context
        if context == best.context and math.isclose(x, math.log10(best.learning_rate)):
            return self._study.ask_fixed(context, best.learning_rate, Stage.CONFIRM)
        return self._study.ask_fixed(context, float(f"{10**x:.3g}"), Stage.SEARCH)


def _probe(record: TrialRecord, known: dict[Context, int], *, has_learners: bool) -> Probe:
    x = math.log10(record.plan.learning_rate)
    has_learned = has_learners or record.grade in {Grade.CLEAN, Grade.DEGRADED}
    return Probe(known[record.plan.context], x, record.outcome.is_failure, has_learned)
