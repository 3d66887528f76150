"""A driver without workers: trials take time on a virtual clock only."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable

from experiments.scale.stopwatch import Stopwatch
from experiments.scale.world import World
from stabsearch.driver.base import TrialSource
from stabsearch.records import TrialPlan, TrialRecord


class VirtualCluster:
    """Runs what a source gives on as many simulated workers as there are slots.

    Args:
        world: how trials end.
        slots: trials at a time.
        watch: what the source is timed by; making up trials is not.
        on_ended: told of each record that was handed over.
    """

    def __init__(
        self, world: World, slots: int, watch: Stopwatch,
        on_ended: Callable[[TrialRecord], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._world, self._watch, self._on_ended = world, watch, on_ended
        self._free = list(range(slots))
        self._heap: list[tuple[float, int, int, TrialPlan, int, float]] = []
        self._order = itertools.count()
        self.now_s = 0.0
        """The virtual clock."""
        self.starts: Counter[int] = Counter()
        """Starts per trial number."""
        self.lost = 0
        """Starts whose worker went away."""
        self.most_in_flight = 0

    def run(self, source: TrialSource) -> None:
        """Run until the source has no more and nothing is in flight."""
        while True:
            self._fill(source)
            if not self._heap:
                return
            self.now_s, _, slot, plan, attempt, started_s = heapq.heappop(self._heap)
            self._free.append(slot)
            self._end(source, plan, attempt, started_s, slot)

    def clock(self) -> float:
        """Return the virtual time, seconds."""
        return self.now_s

    def _fill(self, source: TrialSource) -> None:
        while self._free:
            with self._watch.section("next trial"):
                plan = source.next_plan()
            if plan is None:
                return
            slot = self._free.pop()
            self.starts[plan.number] += 1
            attempt = self.starts[plan.number]
            end_s = self.now_s + self._world.duration_s(plan, attempt)
            heapq.heappush(self._heap, (end_s, next(self._order), slot, plan, attempt, self.now_s))
            self.most_in_flight = max(self.most_in_flight, len(self._heap))

    def _end(self, source: TrialSource, plan: TrialPlan, attempt: int, started_s: float, slot: int) -> None:
        if self._world.is_lost(plan, attempt):
            self.lost += 1
            with self._watch.section("record"):
                source.lost(plan, "the worker went away without a record")
            return
        sent = self._world.record(plan, started_s, self.now_s, slot).to_json()
        with self._watch.section("record"):
            record = TrialRecord.from_json(sent)
            source.finished(record)
        self._on_ended(record)
