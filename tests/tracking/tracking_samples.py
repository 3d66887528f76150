"""Sweeps, records, mirrors and a store that fails on demand."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from stabsearch.config import Sweep
from stabsearch.frontier import Frontier, fit
from stabsearch.records import Cause, Grade, Outcome, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.tracking.mlflow_mirror import MlflowMirror

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient

SWEEP_ID = "quick-0123abcd"


def make_sweep(uri: str | None = None, *, required: bool = True) -> Sweep:
    """Return a sweep tracked at this address."""
    return Sweep.model_validate(
        {
            "name": "quick",
            "task": {"type": "quickstart"},
            "training": {"max_steps": 2000, "optim": "adamw_torch"},
            "tracking": {"uri": uri, "experiment": "mine", "required": required},
        }
    )


def make_record(number: int, **changes: Any) -> TrialRecord:
    """Return a stable trial of three steps, with these fields changed."""
    plan = TrialPlan(number, Stage.SEARCH, 3e-4, 100, 1.0, "bf16", 7, 8, 120)
    record = TrialRecord(
        plan=plan,
        outcome=Outcome.STABLE,
        grade=Grade.CLEAN,
        steps=3,
        trace=StepTrace((1, 2, 3), (1.5, 1.4, 1.3), (0.5, 0.4, 0.3)),
        clipped_share=0.25,
        startup_s=0.5,
        train_s=2.0,
        started_at=1_700_000_000.0 + number,
    )
    return replace(record, **changes)


def failed_record(number: int) -> TrialRecord:
    """Return a trial whose loss became infinite at its third step."""
    trace = StepTrace((1, 2, 3), (1.5, 90.0, float("inf")), (0.5, float("nan"), float("inf")))
    return make_record(
        number,
        outcome=Outcome.NONFINITE,
        grade=None,
        cause=Cause.LEARNING_RATE,
        first_bad_step=3,
        trace=trace,
    )


def make_frontier(confidence: float = 0.9) -> Frontier:
    """Return a frontier of one context whose boundary lies near 1e-2."""
    rates = [10.0 ** (-4 + i / 4) for i in range(13)]
    context = {"precision": "bf16", "warmup_steps": 100, "max_grad_norm": 1.0}
    rows = [{**context, "learning_rate": rate, "outcome": outcome_at(rate)} for rate in rates]
    return fit(pd.DataFrame(rows), learning_rate_range=(1e-4, 1e-1), confidence=confidence)


def outcome_at(rate: float) -> str:
    """Return how a trial at this learning rate ends."""
    return "stable" if rate < 1e-2 else "nonfinite"


def make_mirror(sweep: Sweep, folder: Path, flush_s: float = 60.0) -> MlflowMirror:
    """Return a started mirror that does not wait long between attempts."""
    mirror = MlflowMirror(sweep, SWEEP_ID, folder, flush_s=flush_s, first_pause_s=0.01)
    mirror.open()
    return mirror


class Flaky:
    """A client in front of a store that can be down, or lose the reply to what it did.

    Args:
        real: the client behind it.
    """

    def __init__(self, real: MlflowClient) -> None:
        self.real = real
        self.is_down = False
        self.was_refused = threading.Event()
        self.lost_replies: list[str] = []
        """Calls that are done, and then look as if they had failed; each once."""

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if self.is_down:
                self.was_refused.set()
                raise ConnectionRefusedError(111, "Connection refused")
            reply = getattr(self.real, name)(*args, **options)
            if name in self.lost_replies:
                self.lost_replies.remove(name)
                raise ConnectionResetError(104, "Connection reset by peer")
            return reply

        return call


def free_port() -> int:
    """Return a port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_group(pid: int) -> None:
    """End the process and its workers, which share its session."""
    try:
        os.killpg(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
