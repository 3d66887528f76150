"""From records and frontier to the answer of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from stabsearch.frontier import sentences
from stabsearch.frontier.answer import Answer, Confirmation, Recommendation, Verdict
from stabsearch.frontier.bridges import at_base_horizon
from stabsearch.frontier.confirming import Certificate, certificate_of
from stabsearch.frontier.extrapolation import extrapolated
from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.rounds import Round, rounds
from stabsearch.frontier.stopping import is_nothing_stable
from stabsearch.frontier.terms import Terms
from stabsearch.records import Context, Outcome, Stage, TrialRecord

ROUNDING = 1.05  # a candidate stands where its interval touches the risk: grid and rounding decide


def conclude(records: Sequence[TrialRecord], frontier: Frontier, terms: Terms) -> Answer:
    """Return the answer that the records allow, among the contexts of the frontier.

    A configuration is confirmed only when all required fresh seeds survived on exactly it, or
    on the stressed one that was tested for it; a round with a failure is evidence like any other,
    and its configuration is not recommended.

    Args:
        records: every finished trial, labelled.
        frontier: fitted to them as they stood at the horizon that all trials share.
        terms: what the answer is given on.
    """
    stop = _stopper(records)
    if stop is not None:
        return _answer(frontier, terms, *stop)
    searched = {trials.context for trials in frontier.trials}
    so_far = [each for each in rounds(records, (), terms.rules) if each.context in searched]
    return _tested(records, so_far, frontier, terms) or _untested(records, so_far, frontier, terms)


def answered_with(
    best: Recommendation, answer: Answer, records: Sequence[TrialRecord], frontier: Frontier, terms: Terms
) -> Answer:
    """Return the answer for a configuration that was chosen otherwise; the same one when it is the same.

    Args:
        best: the safe configuration that is wanted.
        answer: what ``conclude`` said.
        records: every finished trial, labelled.
        frontier: fitted to them as they stood at the horizon that all trials share.
        terms: what the answer is given on.
    """
    if answer.recommendation is None or answer.recommendation == best:
        return answer
    confirmation = _untried(records, best, 0, frontier, terms)
    sentence = sentences.unconfirmed(best, confirmation, terms)
    other = _answer(frontier, terms, Verdict.UNCONFIRMED, sentence, best, confirmation)
    return replace(other, ended=answer.ended)


def predicted(frontier: Frontier, context: Context, learning_rate: float) -> Recommendation:
    """Return what the posterior says of one configuration."""
    config = pd.DataFrame([{**context.settings, "learning_rate": learning_rate}])
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


def _tested(
    records: Sequence[TrialRecord], so_far: Sequence[Round], frontier: Frontier, terms: Terms
) -> Answer | None:
    """Return the answer that the latest round gives.

    None when there is none, when it failed, or when it is unfinished and too risky for these terms.
    """
    latest = so_far[-1] if so_far else None
    if latest is None or not latest.is_open or not latest.survived:
        return None
    best = predicted(frontier, latest.context, latest.learning_rate)
    certificate = _certificate(latest, records, frontier, terms)
    confirmation = Confirmation(
        certificate.required,
        latest.survived,
        failed=0,
        bound=certificate.bound(latest.survived, terms.confidence),
        kind="stress" if latest.is_stressed else "plain",
        tested_learning_rate=latest.tested if latest.is_stressed else None,
        slope=certificate.slope,
        failed_rounds=_num_failed(so_far),
        bridge_horizon=terms.confirming.bridge_horizon if latest.bridged + latest.broke_later else 0,
        bridge_survived=latest.bridged,
        bridge_failed=latest.broke_later,
    )
    return _of_round(best, confirmation, frontier, terms)


def _of_round(
    best: Recommendation, confirmation: Confirmation, frontier: Frontier, terms: Terms
) -> Answer | None:
    """Return the answer of a round without a failure; None when it is unfinished and too risky."""
    if confirmation.is_passed:
        verdict = Verdict.UNCONFIRMED if confirmation.bridge_failed else Verdict.CONFIRMED
        sentence = sentences.confirmed(best, confirmation, terms)
        return _answer(frontier, terms, verdict, sentence, best, confirmation)
    if best.probability_high > ROUNDING * terms.max_failure_probability:
        return None
    sentence = sentences.unconfirmed(best, confirmation, terms)
    return _answer(frontier, terms, Verdict.UNCONFIRMED, sentence, best, confirmation)


def _untested(
    records: Sequence[TrialRecord], so_far: Sequence[Round], frontier: Frontier, terms: Terms
) -> Answer:
    """Return the answer when no round stands."""
    failed = _num_failed(so_far)
    if is_nothing_stable(frontier):
        low = frontier.learning_rate_range[0]
        sentence = (
            f"No safe configuration in this space: within {terms.horizon} steps even learning rate "
            f"{low:.2g} fails too often in every context."
        )
        return _answer(frontier, terms, Verdict.NOTHING_SAFE, sentence)
    if failed >= terms.confirming.max_rounds:
        last = predicted(frontier, so_far[-1].context, so_far[-1].learning_rate)
        return _answer(frontier, terms, Verdict.ABSTAINED, sentences.abstained(failed, last, terms))
    best = frontier.recommend()
    if best is None:
        sentence = (
            f"Not enough evidence after {sentences.counted(len(records), 'trial')}: {frontier.why_not}."
        )
        return _answer(frontier, terms, Verdict.NOT_ENOUGH_EVIDENCE, sentence)
    confirmation = _untried(records, best, failed, frontier, terms)
    sentence = sentences.unconfirmed(best, confirmation, terms)
    return _answer(frontier, terms, Verdict.UNCONFIRMED, sentence, best, confirmation)


def _untried(
    records: Sequence[TrialRecord], best: Recommendation, failed: int, frontier: Frontier, terms: Terms
) -> Confirmation | None:
    """Return the confirmation that a candidate still lacks; None when none was asked for."""
    if not terms.confirming.required:
        return None
    tested = terms.confirming.tested_rate(best, frontier.learning_rate_range[1])
    first = 1 + max((record.plan.number for record in records), default=-1)
    candidate = Round(best.context, best.learning_rate, tested, first, survived=0, failed=0, running=0)
    certificate = _certificate(candidate, records, frontier, terms)
    return Confirmation(
        certificate.required, 0, 0, 1.0, "stress" if candidate.is_stressed else "plain",
        tested if candidate.is_stressed else None, certificate.slope, failed,
    )  # fmt: skip


def _certificate(
    of_round: Round, records: Sequence[TrialRecord], frontier: Frontier, terms: Terms
) -> Certificate:
    seen = at_base_horizon(records, terms.rules)
    return certificate_of(of_round, seen, frontier, terms.confirming, terms.rules)


def _num_failed(so_far: Sequence[Round]) -> int:
    return sum(not each.is_open for each in so_far)


def _answer(
    frontier: Frontier,
    terms: Terms,
    verdict: Verdict,
    sentence: str,
    recommendation: Recommendation | None = None,
    confirmation: Confirmation | None = None,
) -> Answer:
    return Answer(
        verdict, sentence, recommendation, confirmation, terms.horizon, terms.max_steps, terms.caveats,
        extrapolated=extrapolated(frontier, terms.covered_share),
    )  # fmt: skip
