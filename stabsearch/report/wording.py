"""How numbers, outcomes and verdicts are put into words, the same in every report."""

from __future__ import annotations

import math
import unicodedata

from stabsearch.config import Sweep
from stabsearch.frontier.answer import Answer, Confirmation, Verdict
from stabsearch.records import Cause, Outcome, TrialPlan, TrialRecord

NONE = "–"
"""Shown where there is no number."""


def rate(value: float | None) -> str:
    """Return a learning rate with two significant digits.

    >>> rate(0.00123)
    '1.2e-3'
    """
    if value is None or not math.isfinite(value):
        return NONE
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def rate_interval(low: float | None, high: float | None) -> str:
    """Return the credible interval of a learning rate, or a dash when an end is missing."""
    return NONE if low is None or high is None else f"{rate(low)} to {rate(high)}"


def planned_rate(plan: TrialPlan) -> str:
    """Return the learning rate of a trial; of a ramp, both ends."""
    end = rate(plan.learning_rate)
    return end if plan.ramp_from is None else f"{rate(plan.ramp_from)} to {end}"


def percent(value: float) -> str:
    """Return a probability or share as a percentage with at most two significant digits.

    >>> percent(0.034), percent(0.12), percent(0.0004)
    ('3.4 %', '12 %', '0.04 %')
    """
    if not math.isfinite(value):
        return NONE
    return f"{float(f'{100 * value:.2g}'):g} %"


def duration(seconds: float) -> str:
    """Return seconds as people say them.

    >>> duration(4.2), duration(130), duration(7300)
    ('4.2 s', '2 min 10 s', '2 h 1 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun; ``plural`` where it does not end in an s alone.

    >>> counted(1, "trial"), counted(3, "trial")
    ('1 trial', '3 trials')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def printable(text: str) -> str:
    """Return text on one line without control characters: a trial's message cannot steer a terminal."""
    spaced = " ".join(text.split())
    return "".join(char for char in spaced if unicodedata.category(char) not in {"Cc", "Cf", "Cs"})


CONTEXT_VERDICTS = {
    "bounded": "boundary found",
    "stable_to_top": "stable to the top",
    "no_stable_region": "no stable region",
    "not_enough_evidence": "not enough evidence",
}
"""What a row of the frontier table says, in words."""

OUTCOMES = {
    Outcome.STABLE: "reached its horizon with finite losses",
    Outcome.NONFINITE: "a loss, gradient or weight became NaN or infinite",
    Outcome.DIVERGED: "finite, but far above where it started and not coming back",
    Outcome.COLLAPSED: "finite, but useless although other trials had learned by then",
    Outcome.SCALE_FLOOR: "fp16 loss scale at its floor: too many skipped updates",
    Outcome.DATA_FAULT: "the batch is bad whatever the hyperparameters are",
    Outcome.OOM: "out of memory",
    Outcome.CRASHED: "the training code raised, or did not run as planned",
    Outcome.LOST: "the worker or its node went away",
    Outcome.INTERRUPTED: "ended by the user before its horizon",
}
"""What each outcome means, in one line."""

CAUSES = {
    Cause.DATA: "data",
    Cause.LOSS_MISMATCH: "loss does not fit the labels",
    Cause.LEARNING_RATE: "learning rate",
    Cause.PRECISION_AT_INIT: "precision, from the first step",
    Cause.PRECISION_AFTER_DRIFT: "precision, after the weights grew",
    Cause.INITIALISATION: "initialisation",
    Cause.OPTIMIZER_SETTINGS: "optimizer settings",
    Cause.HARDWARE_OR_NONDETERMINISM: "hardware or nondeterminism",
    Cause.SETTINGS_NOT_APPLIED: "settings not applied",
    Cause.UNKNOWN: "unknown",
}
"""What each cause is called."""

HEADINGS = {verdict: verdict.heading for verdict in Verdict}
"""The verdict as a headline."""

TONES = {
    Verdict.CONFIRMED: "good",
    Verdict.UNCONFIRMED: "fair",
    Verdict.NOTHING_SAFE: "bad",
    Verdict.NOT_ENOUGH_EVIDENCE: "open",
    Verdict.ABSTAINED: "open",
    Verdict.CANARY_FAILED: "bad",
    Verdict.DATA_FAULT: "bad",
}
"""good, fair, open or bad: which colour a verdict is shown in."""

SYMBOLS = {"good": "✓", "fair": "◐", "open": "?", "bad": "✗"}
"""The tone as a sign, for those who do not see its colour."""


def ended(record: TrialRecord) -> str:
    """Return how a trial ended: its outcome, and for a stable one the grade that is not clean."""
    grade = record.grade.value if record.grade else ""
    return f"{record.outcome.value} ({grade})" if grade not in {"", "clean"} else record.outcome.value


def recommended_title(answer: Answer) -> str:
    """Return what the recommended settings are headed with: unconfirmed ones always say so."""
    label = "" if answer.verdict is Verdict.CONFIRMED else " (unconfirmed)"
    return f"Recommended TrainingArguments{label}"


def confirmation_text(answer: Answer, confidence: float) -> str:
    """Return what the fresh seeds showed; empty when none were asked for."""
    confirmation = answer.confirmation
    if confirmation is None or confirmation.required == 0:
        return ""
    ran = confirmation.survived + confirmation.failed
    basis = "alone" if confirmation.slope is None else "and that slope"
    text = (
        f"{counted(ran, 'fresh seed')} of {confirmation.required} needed ran on {_tested_on(answer)}: "
        f"{confirmation.survived} survived {answer.horizon:,} steps, {confirmation.failed} failed. From "
        f"these {basis} the failure probability of the recommended configuration is at most "
        f"{percent(confirmation.bound)} (Clopper–Pearson, {percent(confidence)} confidence)."
    )
    return text + _tries(confirmation) + _bridges(answer)


def _tested_on(answer: Answer) -> str:
    """Return where the fresh seeds ran, and what a stress test assumes."""
    best, confirmation = answer.recommendation, answer.confirmation
    assert confirmation is not None, "only a confirmation has seeds"
    if best is None or confirmation.tested_learning_rate is None or confirmation.slope is None:
        return "exactly the recommended configuration"
    fold = confirmation.tested_learning_rate / best.learning_rate
    more_often = math.exp(confirmation.slope * math.log10(fold))
    return (
        f"{fold:.3g} times the recommended learning rate ({rate(confirmation.tested_learning_rate)}), where "
        f"the fitted slope says that runs fail at least {more_often:.2g} times as often"
    )


def _tries(confirmation: Confirmation) -> str:
    tries = counted(confirmation.failed_rounds, "candidate")
    return f" Before it, {tries} failed, which weakens the claim." if confirmation.failed_rounds else ""


def _bridges(answer: Answer) -> str:
    """Return how trials that went on past the horizon ended; empty without any."""
    confirmation = answer.confirmation
    if confirmation is None or not confirmation.bridge_horizon:
        return ""
    ran = confirmation.bridge_survived + confirmation.bridge_failed
    return (
        f" {counted(ran, 'bridge trial')} went on to step {confirmation.bridge_horizon:,}: "
        f"{confirmation.bridge_failed} broke after step {answer.horizon:,}."
    )


def next_step(sweep: Sweep, answer: Answer, records: tuple[TrialRecord, ...]) -> str:
    """Return what the reader should do now, in one or two sentences."""
    match answer.verdict:
        case Verdict.CONFIRMED:
            return (
                "Start the full run with recommended.json. The trials cover its first "
                f"{answer.horizon:,} of {answer.max_steps:,} optimizer steps: keep an eye on the rest."
            )
        case Verdict.UNCONFIRMED:
            return _confirm(answer, sweep, len(records))
        case Verdict.NOTHING_SAFE:
            return _widen(sweep)
        case Verdict.NOT_ENOUGH_EVIDENCE | Verdict.ABSTAINED:
            is_abstaining = answer.verdict is Verdict.ABSTAINED
            return _sharpen(sweep) if is_abstaining else _more_evidence(sweep, records)
        case Verdict.CANARY_FAILED:
            return (
                "Do not tune: even the gentlest settings broke, so look at the data, the labels and the "
                "loss first. " + _first_message(records)
            ).strip()
        case Verdict.DATA_FAULT:
            return (
                "Repair or drop the rows at fault, then run it under another name. " + _first_message(records)
            ).strip()


def _confirm(answer: Answer, sweep: Sweep, num_trials: int) -> str:
    confirmation = answer.confirmation
    if confirmation is None or confirmation.required == 0:
        return "Set risk.confirmation_trials to auto and run again before a costly run is started with it."
    if confirmation.bridge_failed:
        return (
            f"It breaks after step {answer.horizon:,}: run a sweep of another name with budget.horizon "
            f"{confirmation.bridge_horizon} before a costly run is started with it."
        )
    if confirmation.failed:
        seeds = counted(confirmation.survived + confirmation.failed, "fresh seed")
        return (
            f"The configuration broke on {confirmation.failed} of {seeds}: raise budget.trials and run "
            "again, or stay well below it."
        )
    missing = confirmation.required - confirmation.survived
    has_room = num_trials + missing <= sweep.budget.trials  # it ended before its budget did
    way = "run again" if has_room else "raise budget.trials and run again"
    return f"It still needs {counted(missing, 'surviving fresh seed')}: {way}."


def _sharpen(sweep: Sweep) -> str:
    tolerance = sweep.search.tolerance
    lower = "" if tolerance is None else f"lower search.tolerance (now {tolerance:g}), "
    more = (
        f"raise budget.trials (now {sweep.budget.trials}) and risk.max_rounds (now {sweep.risk.max_rounds})"
    )
    text = f"{lower}{more}"
    return f"{text[0].upper()}{text[1:]}, and run again: finished trials are kept."


def _widen(sweep: Sweep) -> str:
    search = sweep.search
    ways = [f"lower search.learning_rate.low (now {rate(search.learning_rate.low)}) by a factor of 10"]
    if max(search.warmup) == 0:
        ways.append("add a warmup")
    if not any(search.max_grad_norm):
        ways.append("clip gradients (search.max_grad_norm: [1.0])")
    if set(search.precision) <= {"fp16", "bf16-pure"}:
        ways.append("try bf16 or fp32")
    listed = ", ".join(ways[:-1]) + f" and {ways[-1]}" if len(ways) > 1 else ways[0]
    return f"{listed[0].upper()}{listed[1:]}, then run it under another name."


def _more_evidence(sweep: Sweep, records: tuple[TrialRecord, ...]) -> str:
    silent = [record for record in records if not record.outcome.is_evidence]
    if silent and 2 * len(silent) >= len(records):
        return (
            f"{len(silent)} of {counted(len(records), 'trial')} ended for reasons that say nothing about "
            f"stability; mend these first. {_first_message(tuple(silent))}"
        ).strip()
    return f"Raise budget.trials (now {sweep.budget.trials}) and run again: finished trials are kept."


def _first_message(records: tuple[TrialRecord, ...]) -> str:
    """Return what the first trial that did not end well said."""
    said = (record for record in records if record.outcome is not Outcome.STABLE and record.message)
    first = next(said, None)
    return f"Trial {first.plan.number}: {printable(first.message)}" if first else ""
