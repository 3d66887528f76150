"""What has to be said beside the numbers: flags, assumptions, and trials that are no evidence."""

from __future__ import annotations

import math
from collections import Counter

from stabsearch.frontier.answer import Extrapolated
from stabsearch.records import Stage, TrialRecord
from stabsearch.report.findings import ContextRow, Findings
from stabsearch.report.wording import CONTEXT_VERDICTS, NONE, counted, rate, rate_interval

FLAG = "⚠"
"""Marks a context whose trials contradict a frontier."""
BELOW = "failed below survivors"
"""What a ring around a trial means."""
MAX_NAMED = 6  # chosen: a sentence that lists more trials is no longer read


def contexts_in_words(findings: Findings) -> str:
    """Return what contexts may differ in: ``precision, warmup and clip norm``, or more."""
    *names, last = ["precision", "warmup", "clip norm", *findings.frontier.further]
    return f"{', '.join(names)} and {last}"


def verdict_words(row: ContextRow) -> str:
    """Return the verdict on a context in words, with a flag when its trials contradict it."""
    words = CONTEXT_VERDICTS.get(row.verdict, row.verdict)
    return f"{words} {FLAG} non-monotone" if row.is_non_monotone else words


def non_monotone_text(findings: Findings) -> str:
    """Return what the flag means and what to do about it; empty when no context is flagged."""
    flagged = [row.context for row in findings.rows if row.is_non_monotone]
    if not flagged:
        return ""
    several = f"{len(flagged)} contexts" if len(flagged) > 1 else flagged[0].label
    return (
        f"{FLAG} In {several} trials failed below learning rates that survived, which no boundary explains: "
        f"look at the failing trials below the frontier{_named(findings)}; {_what_holds(findings)}."
    )


def _named(findings: Findings) -> str:
    numbers = sorted(findings.failed_below)
    if not numbers:
        return ""
    more = f" and {len(numbers) - MAX_NAMED} more" if len(numbers) > MAX_NAMED else ""
    return f" ({'trial' if len(numbers) == 1 else 'trials'} {', '.join(map(str, numbers[:MAX_NAMED]))}{more})"


def _what_holds(findings: Findings) -> str:
    """Return what a contradicted frontier leaves standing."""
    confirmation = findings.answer.confirmation
    if confirmation is None or not confirmation.is_passed:
        return "only fresh seeds at a learning rate itself can vouch for it"
    best = findings.answer.recommendation
    is_flagged = best and best.context in {row.context for row in findings.rows if row.is_non_monotone}
    if confirmation.kind == "stress" and is_flagged:
        return "a stress test assumes a boundary, so confirm the recommended rate itself (risk.confirmation)"
    return "the confirmation of the recommended rate still holds"


def extrapolated_text(findings: Findings) -> str:
    """Return what the recommended context's frontier would be over the full run; empty if not known."""
    best, answer = findings.answer.recommendation, findings.answer
    for each in answer.extrapolated:
        if best is not None and each.context == best.context:
            label = f"{each.label[0].upper()}{each.label[1:]}"
            return (
                f"{label}: over all {answer.max_steps:,} steps the frontier of {best.context.label} would "
                f"lie near {rate(each.learning_rate)} ({extrapolated_interval(each)})."
            )
    return ""


def extrapolation_title(findings: Findings) -> str:
    """Return what the extrapolated numbers are headed with; empty without any."""
    labels = dict.fromkeys(each.label for each in findings.answer.extrapolated)
    return f"Over the full run: {', '.join(labels)}" if labels else ""


def extrapolation_note(findings: Findings) -> str:
    """Return what the extrapolated numbers assume."""
    answer = findings.answer
    return (
        f"Trials end at step {answer.horizon:,}. This is what their frontier would come to over all "
        f"{answer.max_steps:,} steps if the failure rate per unit of exposure stayed the same, or fell as "
        "most failures came early. It is an assumption, and no recommendation rests on it."
    )


def extrapolated_interval(extrapolated: Extrapolated) -> str:
    """Return the credible interval; its lower end may be that no rate is safe."""
    if extrapolated.low is None:
        return f"perhaps none, to {rate(extrapolated.high)}"
    return rate_interval(extrapolated.low, extrapolated.high)


SEARCH = "search"
"""What most trials are run for."""
_PURPOSES = ("canary", SEARCH, "confirmation", "bridge", "ramp")
_OF_STAGE = {
    Stage.CANARY: "canary",
    Stage.SEARCH: SEARCH,
    Stage.CONFIRM: "confirmation",
    Stage.RAMP: "ramp",
}


def purpose(record: TrialRecord, findings: Findings) -> str:
    """Return what a trial was run for; a bridge is a confirmation trial that goes on past the horizon."""
    return "bridge" if findings.is_bridge(record) else _OF_STAGE[record.plan.stage]


def evaluation_head(findings: Findings) -> tuple[str, ...]:
    """Return the heading of the trials' loss on held-out rows; none where no trial was evaluated."""
    return ("#evaluation loss",) if findings.is_evaluated else ()


def evaluation_cell(record: TrialRecord, findings: Findings) -> tuple[str, ...]:
    """Return what stands under :func:`evaluation_head` for one trial."""
    loss = f"{record.eval_loss:.3g}" if math.isfinite(record.eval_loss) else NONE
    return (loss,) if findings.is_evaluated else ()


def purposes_text(findings: Findings) -> str:
    """Return how many trials were run for what; empty without trials."""
    counts = Counter(purpose(record, findings) for record in findings.records)
    return ", ".join(f"{counts[name]} {name}" for name in _PURPOSES if counts[name])


def ending_note(findings: Findings) -> str:
    """Return which trials did not move the frontier; empty when all did."""
    silent, ramps = findings.num_silent, len(findings.ramps)
    parts = []
    if silent:
        verb = "says" if silent == 1 else "say"
        parts.append(
            f"{counted(silent, 'trial')} {verb} nothing about stability and did not move the frontier."
        )
    if ramps:
        verb = "is" if ramps == 1 else "are"
        parts.append(
            f"{counted(ramps, 'learning-rate ramp')} {verb} not counted here: a ramp says where to look "
            "first, and is no evidence."
        )
    return " ".join(parts)
