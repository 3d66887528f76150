"""What a sweep says in the end: plain data that reports and trackers show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
    CANARY_FAILED = "canary_failed"
    """The conservative baseline broke: the hyperparameters are not to blame."""
    DATA_FAULT = "data_fault"
    """Rows of the data break training whatever the hyperparameters are."""

    @property
    def exit_code(self) -> ExitCode:
        """Return what ``stabsearch run`` exits with."""
        if self in {Verdict.CONFIRMED, Verdict.UNCONFIRMED}:
            return ExitCode.ANSWER
        return ExitCode.CANNOT_JUDGE if self is Verdict.NOT_ENOUGH_EVIDENCE else ExitCode.AGAINST


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
    """Trials with fresh seeds on exactly the recommended configuration."""

    required: int
    """Survivors without a failure that the stated risk and confidence need."""
    survived: int
    failed: int
    bound: float
    """Upper confidence bound of the failure probability from these trials alone
    (Clopper and Pearson 1934, one-sided, at the sweep's confidence); 1.0 without trials."""

    @property
    def is_passed(self) -> bool:
        """True when enough fresh seeds survived and none failed."""
        return self.failed == 0 and self.required > 0 and self.survived >= self.required


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
