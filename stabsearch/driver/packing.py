"""How many trials at a time one device takes: measured, by running them side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from stabsearch.config.gpus import visible_gpus
from stabsearch.driver.base import WorkerLost, WorkOrder
from stabsearch.driver.child import Child, same_modules
from stabsearch.driver.environment import cores, worker_variables
from stabsearch.errors import UserError
from stabsearch.records import Outcome, TrialPlan

MEASURE_S = 4.0  # chosen: long against the start of a step's kernels, short against a sweep
TRIED_STEPS, FEWEST_STEPS, MOST_STEPS = 5, 10, 1000
FULL_SHARE = 0.9
"""Of the memory: what more trials would fill beyond it is left for activations of longer batches."""
ENOUGH = 0.95
"""Of the most steps per second: fewer trials that reach it are better, each of them ends sooner."""
GROWTH = 1.05
"""Twice as many trials that bring less than this say that throughput has stopped growing."""
MODULE = "stabsearch.driver.packing_process"


@dataclass(frozen=True)
class Ran:
    """One trial of several that ran side by side."""

    outcome: Outcome
    message: str
    steps: int
    train_s: float
    shares: Mapping[str, float]
    """Kind of memory (``machine``, ``gpu``) -> the share of all of it that its process took at most."""


@dataclass(frozen=True)
class Packed:
    """What came of so many trials at a time."""

    trials: int
    steps_per_s: float
    """Optimizer steps of all of them together; 0 where they did not fit."""
    share: float
    """Of the memory, the machine's or the GPU's, whichever is fuller; 1 where they did not fit."""
    fits: bool = True


@dataclass(frozen=True)
class Packing:
    """How many trials at a time a device takes, and what that was chosen from."""

    trials: int
    on_gpu: bool
    cores: int
    """Of the machine; with GPUs, for each of them."""
    tried: tuple[Packed, ...]

    @property
    def resources(self) -> dict[str, float]:
        """Return the ``resources`` of one trial."""
        if self.on_gpu:
            return {"cpus_per_trial": 1.0, "gpus_per_trial": int(1e4 / self.trials) / 1e4}  # as Ray counts
        return {"cpus_per_trial": int(1e4 * self.cores / self.trials) / 1e4, "gpus_per_trial": 0.0}

    def has_room(self) -> bool:
        """Return whether this machine has the cores that it was measured with."""
        return self.cores <= cores_per_device(self.on_gpu)

    def sentence(self) -> str:
        """Return what was measured, for people."""
        seen = "; ".join(
            f"with {each.trials} {each.steps_per_s:.3g} steps/s and {each.share:.0%} of memory"
            if each.fits
            else f"{each.trials} do not fit"
            for each in self.tried
        )
        where = "on each GPU" if self.on_gpu else "on this machine"
        return f"packing: {self.trials} at a time {where} ({seen})"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Packing:
        """Return what ``to_json`` wrote."""
        return cls(**{**data, "tried": tuple(Packed(**each) for each in data["tried"])})


def cores_per_device(on_gpu: bool) -> int:
    """Return the processor cores for the trials of one GPU, or of this machine where none is shared."""
    return max(1, cores() // max(1, len(visible_gpus()))) if on_gpu else cores()


def measured(order: WorkOrder, plan: TrialPlan) -> Packing:
    """Return how many trials at a time are best here.

    One, two, four and so on are run side by side, in processes of their own that begin together, until
    memory or cores are used up, or twice as many bring no more steps per second.

    Args:
        order: of the sweep's trials; on a CPU, they share out the cores as threads.
        plan: what is run, for as many steps as take some seconds: what takes the most memory.

    Raises:
        UserError: a single trial does not run.
    """
    on_gpu = order.setup.on_gpu
    number = cores_per_device(on_gpu)
    return chosen(lambda trials: side_by_side(order, plan, trials, number), number, on_gpu)


def chosen(run: Callable[[int], Packed], cores: int, on_gpu: bool) -> Packing:
    """Return the fewest trials at a time that are as good as any.

    Args:
        run: runs so many side by side.
        cores: for these trials; each wants one at least.
        on_gpu: whether the trials share a GPU.
    """
    tried: list[Packed] = []
    for trials in _numbers(cores):
        if tried and tried[-1].share / tried[-1].trials * trials > FULL_SHARE:
            break
        tried.append(run(trials))
        if not tried[-1].fits or _has_stopped_growing(tried):
            break
    fitting = [each for each in tried if each.fits and (each.trials == 1 or each.share <= FULL_SHARE)]
    most = max(each.steps_per_s for each in fitting)
    best = next(each for each in fitting if each.steps_per_s >= ENOUGH * most)
    return Packing(best.trials, on_gpu, cores, tuple(tried))


def _numbers(cores: int) -> Iterator[int]:
    trials = 1
    while trials < cores:
        yield trials
        trials *= 2
    yield cores


def _has_stopped_growing(tried: Sequence[Packed]) -> bool:
    return len(tried) > 1 and tried[-1].steps_per_s < GROWTH * tried[-2].steps_per_s


def side_by_side(order: WorkOrder, plan: TrialPlan, trials: int, cores: int) -> Packed:
    """Return what came of so many trials at a time.

    Raises:
        UserError: a single one does not run.
    """
    threads = 1 if order.setup.on_gpu else max(1, cores // trials)
    order = replace(order, setup=replace(order.setup, num_threads=threads, bundle_dir=""))
    variables = {**os.environ, **worker_variables(threads), **same_modules(), **_one_gpu(order)}
    with ExitStack() as ending:
        children = []
        for index in range(trials):
            children.append(Child.started(index, variables, MODULE))
            ending.callback(children[-1].end)
        for child in children:
            child.send(order)
        try:
            brief = replace(plan, horizon=min(TRIED_STEPS, order.setup.max_steps))
            ran = _told(children, brief, order.timeout_s)
            if _all_fit(ran, trials):  # the first steps of a process are slow: they tell no speed
                ran = _told(children, brief, order.timeout_s)
            if _all_fit(ran, trials):
                longer = replace(plan, horizon=_steps(ran, order.setup.max_steps))
                ran = _told(children, longer, order.timeout_s)
        except WorkerLost as lost:
            if trials == 1:
                raise _does_not_run(str(lost)) from None
            ran = []  # the kernel ends what takes too much memory
    if not ran or not _all_fit(ran, trials):
        return Packed(trials, 0.0, 1.0, fits=False)
    steps_per_s = sum(each.steps / each.train_s for each in ran)
    return Packed(trials, steps_per_s, _fullest(ran, order.setup.on_gpu))


def _one_gpu(order: WorkOrder) -> dict[str, str]:
    """Return what shows a process one GPU, as Ray does: of several, a Trainer would use all."""
    return {"CUDA_VISIBLE_DEVICES": visible_gpus()[0]} if order.setup.on_gpu and visible_gpus() else {}


def _fullest(ran: Sequence[Ran], on_gpu: bool) -> float:
    """Return the share of the fullest memory: so many will run on each GPU, and share the machine's."""
    devices = {"machine": max(1, len(visible_gpus())) if on_gpu else 1}
    kinds = ran[0].shares
    return max(devices.get(kind, 1) * sum(each.shares[kind] for each in ran) for kind in kinds)


def _told(children: Sequence[Child], plan: TrialPlan, timeout_s: float) -> list[Ran]:
    """Return what came of a plan that all begin at the same time."""
    for child in children:
        child.send(plan)
    for child in children:
        if not child.line.poll(timeout_s):
            raise WorkerLost(f"it ran for longer than {timeout_s:g} s")
    return [child.answer() for child in children]


def _all_fit(ran: Sequence[Ran], trials: int) -> bool:
    """Return whether all ran; what a full device says is not always that its memory ran out.

    Raises:
        UserError: one by itself does not.
    """
    wrong = [each for each in ran if each.outcome is not Outcome.STABLE]
    if wrong and trials == 1:
        raise _does_not_run(wrong[0].message or str(wrong[0].outcome))
    return not wrong


def _does_not_run(reason: str) -> UserError:
    return UserError(f"trials cannot be packed, one by itself does not run: {reason}",
                     "leave packing out and run the sweep to see why",
                     key=("resources", "packing"))  # fmt: skip


def _steps(ran: Sequence[Ran], max_steps: int) -> int:
    """Return how many steps take some seconds; the full run has no more than ``max_steps``."""
    per_step_s = max(each.train_s / each.steps for each in ran)
    return min(max(round(MEASURE_S / per_step_s), FEWEST_STEPS), MOST_STEPS, max_steps)
