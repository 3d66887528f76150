"""An answer in words that claim no more than was shown."""

from __future__ import annotations

import math

from stabsearch.frontier.answer import Confirmation, Recommendation
from stabsearch.frontier.terms import Terms
from stabsearch.records.hyperparameters import number


def confirmed(best: Recommendation, confirmation: Confirmation, terms: Terms) -> str:
    """Return what a passed confirmation says; of bridge trials that broke it says so first."""
    survived = f"{confirmation.survived} of {confirmation.survived} fresh seeds survived"
    where = f" at {confirmation.tested_learning_rate:.3g}" if confirmation.kind == "stress" else ""
    basis = f"{terms.confidence:.0%} confidence, {survived}{where}{_tries(confirmation.failed_rounds)}"
    claim = f"at most {confirmation.bound:.0%} of runs fail within {terms.horizon} steps ({basis})."
    opening = f"Use {words(best)}: {claim}"
    if confirmation.bridge_failed:
        opening = f"Unconfirmed beyond step {terms.horizon}: with {words(best)} {claim}"
    return opening + _details(best, confirmation, terms)


def unconfirmed(best: Recommendation, confirmation: Confirmation | None, terms: Terms) -> str:
    """Return what can be said of a configuration that was not, or not fully, confirmed."""
    low, high = best.probability_low, best.probability_high
    return (
        f"Unconfirmed: {words(best)} has an estimated failure probability of "
        f"{best.failure_probability:.0%} within {terms.horizon} steps "
        f"({terms.confidence:.0%} interval {low:.0%} to {high:.0%}); {_so_far(confirmation)}."
        f"{_details(best, confirmation, terms)}"
    )


def abstained(num_failed: int, best: Recommendation, terms: Terms) -> str:
    """Return why a sweep gives up after too many candidates that failed.

    Args:
        num_failed: candidates that failed.
        best: the last of them.
        terms: of the answer.
    """
    return (
        f"No candidate survived confirmation in {counted(num_failed, 'round')}: a fresh seed broke within "
        f"{terms.horizon} steps each time, the last time on {words(best)}."
    )


def words(best: Recommendation) -> str:
    """Return a configuration in words."""
    context = best.context
    clip = f"max_grad_norm {context.max_grad_norm:g}" if context.max_grad_norm else "no gradient clipping"
    parts = [f"{context.warmup_steps} warmup steps", clip]
    parts += [f"{name} {number(value)}" for name, value in context.further.items()]
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"learning rate {best.learning_rate:.3g} in {context.precision} with {listed}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "trial"), counted(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _tries(failed_rounds: int) -> str:
    return f", after {counted(failed_rounds, 'candidate')} failed" if failed_rounds else ""


def _so_far(confirmation: Confirmation | None) -> str:
    if confirmation is None:
        return "no fresh seed was run on it"
    tries = _tries(confirmation.failed_rounds)
    if not confirmation.survived:
        return f"no fresh seed was run on it{tries}"
    where = f" at {confirmation.tested_learning_rate:.3g}" if confirmation.kind == "stress" else ""
    return (
        f"{confirmation.survived} of the {confirmation.required} fresh seeds it needs survived so far{where} "
        f"(failure probability up to {confirmation.bound:.0%}){tries}"
    )


def _details(best: Recommendation, confirmation: Confirmation | None, terms: Terms) -> str:
    """Return what stands behind the claim of a round, as further sentences."""
    if confirmation is None or not confirmation.survived:
        return ""
    return _stress(best, confirmation, terms) + _bridges(confirmation, terms)


def _stress(best: Recommendation, confirmation: Confirmation, terms: Terms) -> str:
    """Return what a stress test assumes, or why none was made; empty when none was asked for."""
    if terms.confirming.kind == "plain":
        return ""
    if confirmation.slope is None or confirmation.tested_learning_rate is None:
        return (
            f" No stress test: {terms.confirming.stress_margin:g} decades above it lie outside the searched "
            "range, so the seeds ran at this learning rate itself."
        )
    margin = math.log10(confirmation.tested_learning_rate / best.learning_rate)
    return (
        f" The seeds ran {margin:.2g} decades above it, and the bound leans on the fitted slope: it assumes "
        f"that the failure rate keeps rising at least {math.exp(confirmation.slope):.2g}-fold per decade, "
        f"{math.exp(confirmation.slope * margin):.2g}-fold between the two."
    )


def _bridges(confirmation: Confirmation, terms: Terms) -> str:
    """Return what the bridge trials showed; empty when none has ended."""
    ran = confirmation.bridge_survived + confirmation.bridge_failed
    if not ran:
        return ""
    if confirmation.bridge_failed:
        return (
            f" But {confirmation.bridge_failed} of {counted(ran, 'bridge trial')} broke between step "
            f"{terms.horizon} and {confirmation.bridge_horizon}."
        )
    return (
        f" {confirmation.bridge_survived} of {counted(ran, 'bridge trial')} survived to step "
        f"{confirmation.bridge_horizon}."
    )
