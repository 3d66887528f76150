"""What a sweep says in the end: plain data that reports and trackers show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from stabsearch.errors import ExitCode
from stabsearch.records import Context


class Verdict(StrEnum):
    """The answer of a sweep, in one word."""

    CONFIRMED = "confirmed"
    """A safe configuration, and as many fresh seeds as the stated risk needs survived on it."""
    UNCONFIRMED = "unconfirmed"
    """A configuration that the posterior calls safe, not (fully) confirmed by fresh seeds."""
    NOTHING_SAFE = "nothing_safe"
    """Even the lowest learning rate of the range fails in every context."""
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    """Too few trials that say anything."""
    ABSTAINED = "abstained"
    """As many candidates as may failed their confirmation: where it is safe is not known."""
    CANARY_FAILED = "canary_failed"
    """The conservative baseline broke: the hyperparameters are not to blame."""
    DATA_FAULT = "data_fault"
    """Rows of the data break training whatever the hyperparameters are."""

    @property
    def heading(self) -> str:
        """Return the verdict as a headline."""
        return _HEADINGS[self]

    @property
    def exit_code(self) -> ExitCode:
        """Return what ``stabsearch run`` exits with."""
        if self in {Verdict.CONFIRMED, Verdict.UNCONFIRMED}:
            return ExitCode.ANSWER
        # abstaining: candidates broke, not the whole space, so it is no verdict against the space
        is_open = self in {Verdict.NOT_ENOUGH_EVIDENCE, Verdict.ABSTAINED}
        return ExitCode.CANNOT_JUDGE if is_open else ExitCode.AGAINST


_HEADINGS = {
    Verdict.CONFIRMED: "Safe configuration, confirmed",
    Verdict.UNCONFIRMED: "Safe configuration, not confirmed yet",
    Verdict.NOTHING_SAFE: "No stable region in this space",
    Verdict.NOT_ENOUGH_EVIDENCE: "Not enough evidence",
    Verdict.ABSTAINED: "No candidate survived confirmation",
    Verdict.CANARY_FAILED: "The gentle baseline broke",
    Verdict.DATA_FAULT: "The data is at fault",
}


@dataclass(frozen=True)
class Recommendation:
    """A configuration, and what the posterior says of it."""

    context: Context
    learning_rate: float
    """Lower credible bound of the frontier in this context."""
    failure_probability: float
    """Posterior mean probability of failing within the horizon."""
    probability_low: float
    """Lower end of its credible interval."""
    probability_high: float
    """Upper end of its credible interval."""


@dataclass(frozen=True)
class Confirmation:
    """Trials with fresh seeds on exactly the recommended configuration, or on a stressed one."""

    required: int
    """Survivors without a failure that the stated risk and confidence need."""
    survived: int
    failed: int
    bound: float
    """Upper confidence bound of the recommended configuration's failure probability within the
    horizon, from these trials alone (Clopper and Pearson 1934, one-sided, at the sweep's
    confidence); 1.0 without trials. After a stress test it leans on ``slope`` too."""
    kind: Literal["plain", "stress"] = "plain"
    """``stress``: the seeds ran above the recommended learning rate."""
    tested_learning_rate: float | None = None
    """Where the seeds ran; None: at the recommended learning rate."""
    slope: float | None = None
    """Nats of log-hazard per decade that a stress test assumes at least; None: it assumes none."""
    failed_rounds: int = 0
    """Candidates that failed before this one: a pass after many tries is a weaker statement."""
    bridge_horizon: int = 0
    """Optimizer steps of the bridge trials; 0: there were none."""
    bridge_survived: int = 0
    """Bridge trials that survived to their horizon."""
    bridge_failed: int = 0
    """Bridge trials that broke past the horizon of the others."""

    @property
    def is_passed(self) -> bool:
        """True when enough fresh seeds survived the horizon and none failed within it."""
        return self.failed == 0 and self.required > 0 and self.survived >= self.required


@dataclass(frozen=True)
class Extrapolated:
    """The frontier of one context over the full run, extrapolated."""

    context: Context
    learning_rate: float
    """Median; it may lie below the range that was searched."""
    low: float | None
    """Lower end of the credible interval; None: perhaps no learning rate is safe."""
    high: float
    """Upper end of the credible interval, inside the range."""
    label: str = "extrapolated, not measured"


@dataclass(frozen=True)
class Answer:
    """The answer of a sweep, with what it rests on."""

    verdict: Verdict
    sentence: str
    """The answer in one or two sentences, horizon and counts included."""
    recommendation: Recommendation | None
    confirmation: Confirmation | None
    horizon: int
    """Optimizer steps up to which stability was measured."""
    max_steps: int
    """Optimizer steps of the full run."""
    caveats: tuple[str, ...] = ()
    """What the horizon and the evidence cannot show, one sentence each."""
    ended: str = ""
    """Why the search ended, one sentence; empty when nothing was searched."""
    extrapolated: tuple[Extrapolated, ...] = ()
    """The frontier over the full run, per context; an assumption, labelled as such."""
