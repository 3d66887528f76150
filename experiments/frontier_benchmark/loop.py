"""The asynchronous event loop: four workers, every step that was trained is charged."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from experiments.frontier_benchmark.methods.base import Method, Point, Running
from experiments.frontier_benchmark.world import Trial, World

WORKERS = 4  # chosen: a small machine's worth of parallel trials
STARTUP_SHARE = 0.1  # of the horizon; chosen: what starting a trial delays, not charged as training
_OUTCOME_STREAM = 7  # chosen: a stream of its own, so that a trial's luck depends on its number only


@dataclass(frozen=True)
class _Started:
    point: Point
    trial: Trial
    at: float


@dataclass
class Run:
    """One search, as it goes on."""

    world: World
    method: Method
    seed: int
    now: float = 0.0
    """Simulated time, optimizer steps of one worker."""
    num_asked: int = 0
    num_trials: int = 0
    """Finished ones."""
    steps: int = 0
    """Optimizer steps of the finished trials."""
    search_cpu_s: float = 0.0
    """Processor seconds that the searcher has used, telling included."""
    _running: dict[int, _Started] = field(default_factory=dict)
    _ends: list[tuple[float, int]] = field(default_factory=list)

    @property
    def cost(self) -> float:
        """Return the training charged so far, in horizons."""
        return self.steps / self.world.horizon

    @property
    def is_over(self) -> bool:
        """Return whether the searcher has ended the search by itself."""
        return self.method.searcher.is_finished and not self._running

    def until(self, budget: float) -> Iterator[None]:
        """Run trials; control returns after each one, until the budget (horizons) is spent."""
        while self.cost < budget:
            self._start_trials()
            if not self._ends:
                return
            self._finish_next()
            yield

    def _start_trials(self) -> None:
        while len(self._running) < WORKERS and not self.method.searcher.is_finished:
            point = self._ask()
            if point is None:
                return
            rng = np.random.default_rng([self.seed, _OUTCOME_STREAM, self.num_asked])
            trial = self.world.sample(point.context, point.x, rng)
            self._running[self.num_asked] = _Started(point, trial, self.now)
            end = self.now + trial.steps + STARTUP_SHARE * self.world.horizon
            heapq.heappush(self._ends, (end, self.num_asked))
            self.num_asked += 1

    def _ask(self) -> Point | None:
        running = [Running(number, self._alive(started)) for number, started in self._running.items()]
        began = time.process_time()
        point = self.method.searcher.ask(running)
        self.search_cpu_s += time.process_time() - began
        return point

    def _alive(self, started: _Started) -> float:
        """Return the share of the horizon that a running trial has trained for."""
        trained = self.now - started.at - STARTUP_SHARE * self.world.horizon
        return min(max(trained / self.world.horizon, 0.0), 0.999)

    def _finish_next(self) -> None:
        self.now, number = heapq.heappop(self._ends)
        started = self._running.pop(number)
        point, trial = started.point, started.trial
        began = time.process_time()
        self.method.searcher.tell(number, point, trial)
        self.search_cpu_s += time.process_time() - began
        self.method.estimator.learn(point, trial)
        self.num_trials += 1
        self.steps += trial.steps
