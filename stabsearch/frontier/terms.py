"""What an answer is given on."""

from __future__ import annotations

from dataclasses import dataclass, field

from stabsearch.frontier.confirming import Confirming
from stabsearch.records import OutcomeRules


@dataclass(frozen=True)
class Terms:
    """What an answer is given on: risk, horizon, and the full run it is about."""

    max_failure_probability: float
    confidence: float
    confirming: Confirming
    """How a candidate is confirmed."""
    horizon: int
    """Optimizer steps up to which stability is measured."""
    max_steps: int
    """Optimizer steps of the full run."""
    caveats: tuple[str, ...] = ()
    covered_share: float | None = None
    """Share of the full run's exposure that a trial covers; None: not known."""
    rules: OutcomeRules = field(default_factory=OutcomeRules)
    """Thresholds for labels."""
