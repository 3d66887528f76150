"""From records and frontier to the answer of a sweep, in words that claim no more than was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from stabsearch.frontier.answer import Answer, Confirmation, Recommendation, Verdict
from stabsearch.frontier.confirmation import failure_bound
from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.rounds import Round, last_round
from stabsearch.frontier.verdict import ContextVerdict
from stabsearch.records import Context, Outcome, Stage, TrialRecord

ROUNDING = 1.05  # a candidate stands where its interval touches the risk: grid and rounding decide


@dataclass(frozen=True)
class Terms:
    """What an answer is given on: risk, horizon, and the full run it is about."""

    max_failure_probability: float
    confidence: float
    required: int
    """Fresh seeds that must all survive; 0: no confirmation was asked for."""
    horizon: int
    max_steps: int
    caveats: tuple[str, ...] = ()


def conclude(records: Sequence[TrialRecord], frontier: Frontier, terms: Terms) -> Answer:
    """Return the answer that the records allow, among the contexts of the frontier.

    A configuration is confirmed only when all required fresh seeds survived on exactly it; a
    round with a failure is evidence like any other, and its configuration is not recommended.
    """
    stop = _stopper(records)
    if stop is not None:
        return _answer(terms, *stop)
    searched = {trials.context for trials in frontier.trials}
    latest = last_round([record for record in records if record.plan.context in searched], ())
    if latest is not None and latest.is_open and latest.survived:
        tested = _tested(latest, frontier, terms)
        if tested is not None:
            return tested
    recommendation = frontier.recommend()
    if recommendation is not None:
        return _answer(
            terms,
            Verdict.UNCONFIRMED,
            _unconfirmed(recommendation, None, terms),
            recommendation,
            Confirmation(terms.required, 0, 0, 1.0) if terms.required else None,
        )
    verdicts = set(frontier.table["verdict"])
    if verdicts == {ContextVerdict.NO_STABLE_REGION}:
        low = frontier.learning_rate_range[0]
        return _answer(
            terms,
            Verdict.NOTHING_SAFE,
            f"No safe configuration in this space: within {terms.horizon} steps even learning rate "
            f"{low:.2g} fails too often in every context.",
        )
    return _answer(
        terms,
        Verdict.NOT_ENOUGH_EVIDENCE,
        f"Not enough evidence after {len(records)} trials: {frontier.why_not}.",
    )


def predicted(frontier: Frontier, context: Context, learning_rate: float) -> Recommendation:
    """Return what the posterior says of one configuration."""
    config = pd.DataFrame([{**context._asdict(), "learning_rate": learning_rate}])
    row = frontier.predict(config).iloc[0]
    return Recommendation(
        context,
        learning_rate,
        float(row["failure_probability"]),
        float(row["probability_low"]),
        float(row["probability_high"]),
    )


def _stopper(records: Sequence[TrialRecord]) -> tuple[Verdict, str] | None:
    """Return the verdict that ends a sweep early: a failed canary, or a fault of the data."""
    for record in records:
        cause = f"{record.message}; cause: {record.cause.value if record.cause else 'unknown'}"
        if record.plan.stage is Stage.CANARY and record.outcome.is_failure:
            return Verdict.CANARY_FAILED, (
                f"The conservative baseline ({record.plan.context.label}, learning rate "
                f"{record.plan.learning_rate:.2g}) already fails: {cause}. "
                "Lowering the learning rate will not help."
            )
        if record.outcome is Outcome.DATA_FAULT:
            return Verdict.DATA_FAULT, (
                "The data breaks training whatever the hyperparameters are "
                f"(trial {record.plan.number}): {cause}."
            )
    return None


def _tested(latest: Round, frontier: Frontier, terms: Terms) -> Answer | None:
    """Return the answer that a round gives; None when it is unfinished and too risky for these terms."""
    recommendation = predicted(frontier, latest.context, latest.learning_rate)
    bound = failure_bound(0, latest.survived, terms.confidence)
    confirmation = Confirmation(terms.required, latest.survived, 0, bound)
    if not confirmation.is_passed:
        if recommendation.probability_high > ROUNDING * terms.max_failure_probability:
            return None
        sentence = _unconfirmed(recommendation, confirmation, terms)
        return _answer(terms, Verdict.UNCONFIRMED, sentence, recommendation, confirmation)
    sentence = (
        f"Use {_words(recommendation)}: at most {bound:.0%} of runs fail within {terms.horizon} steps "
        f"({terms.confidence:.0%} confidence, {latest.survived} of {latest.survived} fresh seeds survived)."
    )
    return _answer(terms, Verdict.CONFIRMED, sentence, recommendation, confirmation)


def _unconfirmed(recommendation: Recommendation, confirmation: Confirmation | None, terms: Terms) -> str:
    tested = (
        f"{confirmation.survived} of the {confirmation.required} fresh seeds it needs survived so far "
        f"(failure probability up to {confirmation.bound:.0%})"
        if confirmation
        else "no fresh seed was run on it"
    )
    low, high = recommendation.probability_low, recommendation.probability_high
    return (
        f"Unconfirmed: {_words(recommendation)} has an estimated failure probability of "
        f"{recommendation.failure_probability:.0%} within {terms.horizon} steps "
        f"({terms.confidence:.0%} interval {low:.0%} to {high:.0%}); {tested}."
    )


def _words(recommendation: Recommendation) -> str:
    context = recommendation.context
    clip = f"max_grad_norm {context.max_grad_norm:g}" if context.max_grad_norm else "no gradient clipping"
    return (
        f"learning rate {recommendation.learning_rate:.3g} in {context.precision} with "
        f"{context.warmup_steps} warmup steps and {clip}"
    )


def _answer(
    terms: Terms,
    verdict: Verdict,
    sentence: str,
    recommendation: Recommendation | None = None,
    confirmation: Confirmation | None = None,
) -> Answer:
    return Answer(
        verdict, sentence, recommendation, confirmation, terms.horizon, terms.max_steps, terms.caveats
    )
