"""A driver that plays trials by a script, and a source that hands out a list of plans."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from stabsearch.driver.base import TrialSource
from stabsearch.records import TrialPlan, TrialRecord


class ScriptedDriver:
    """A driver without workers: what comes of a trial, and in which order, is said beforehand.

    Args:
        play: what comes of a plan; None: its worker is lost.
        concurrency: plans in flight at a time.
        choose: number of plans in flight -> position of the one that ends next.
        interrupt_after: trials after whose end a signal comes, with others still in flight.
    """

    def __init__(
        self,
        play: Callable[[TrialPlan], TrialRecord | None],
        *,
        concurrency: int = 1,
        choose: Callable[[int], int] = lambda _: 0,
        interrupt_after: int | None = None,
    ) -> None:
        self._play, self._choose = play, choose
        self._concurrency, self._interrupt_after = concurrency, interrupt_after
        self.started: list[TrialPlan] = []
        """Every plan that was taken, once per start."""
        self.beside: list[tuple[TrialPlan, ...]] = []
        """What was in flight when each plan was taken, itself included."""

    def run(self, source: TrialSource) -> None:
        """Run what the source gives, by the script."""
        in_flight: list[TrialPlan] = []
        num_ended = 0
        while True:
            self._fill(in_flight, source)
            if not in_flight:
                return
            if num_ended == self._interrupt_after:
                raise KeyboardInterrupt
            self._end(in_flight.pop(self._choose(len(in_flight))), source)
            num_ended += 1

    def _fill(self, in_flight: list[TrialPlan], source: TrialSource) -> None:
        while len(in_flight) < self._concurrency and (plan := source.next_plan()) is not None:
            in_flight.append(plan)
            self.started.append(plan)
            self.beside.append(tuple(in_flight))

    def _end(self, plan: TrialPlan, source: TrialSource) -> None:
        record = self._play(plan)
        if record is None:
            source.lost(plan, "the script lost its worker")
        else:
            source.finished(record)


class ScriptedSource:
    """Hands out plans in order; one whose worker went away comes again, up to ``attempts`` starts."""

    def __init__(self, plans: Iterable[TrialPlan], attempts: int = 3) -> None:
        self._waiting = deque(plans)
        self._attempts = attempts
        self.starts: Counter[int] = Counter()
        """Starts per trial number."""
        self.by_node: Counter[int] = Counter()
        """Losses with a whole node per trial number."""
        self.records: list[TrialRecord] = []
        """Every record that came, in order."""
        self.given_up: list[TrialPlan] = []
        """Plans that were lost on their last attempt."""

    def next_plan(self) -> TrialPlan | None:
        """Return the next plan, None when all are out."""
        if not self._waiting:
            return None
        plan = self._waiting.popleft()
        self.starts[plan.number] += 1
        return plan

    def most_left(self) -> int:
        """Return how many plans are not out."""
        return len(self._waiting)

    def finished(self, record: TrialRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    def lost(self, plan: TrialPlan, reason: str, *, by_node: bool = False) -> None:
        """Hand the plan out once more, or give it up."""
        self.by_node[plan.number] += by_node
        again = self.starts[plan.number] < self._attempts
        (self._waiting if again else self.given_up).append(plan)
