"""What to do when nothing can be recommended: a command to go on with, and what the trials lack."""

from __future__ import annotations

from collections import Counter

from stabsearch.frontier import Verdict
from stabsearch.report.findings import ContextRow, Findings
from stabsearch.report.remarks import verdict_words
from stabsearch.report.wording import NONE, OUTCOMES, counted, rate, rate_interval

RUN = "stabsearch run "
OPEN = frozenset({Verdict.NOT_ENOUGH_EVIDENCE, Verdict.ABSTAINED})


def next_command(findings: Findings) -> str:
    """Return a command that does the next step; empty where something has to be mended by hand first."""
    verdict, sweep = findings.answer.verdict, findings.sweep
    typed = findings.command
    if not typed.startswith(RUN) or not typed.isprintable():
        return ""
    if verdict is Verdict.NOTHING_SAFE:
        low = f"{sweep.search.learning_rate.low / 10:.3g}"
        return f"{typed} --set name={sweep.name}-lower --set search.learning_rate.low={low}"
    if verdict in OPEN and 2 * findings.num_silent < max(len(findings.records), 1):
        more = f" --set risk.max_rounds={2 * sweep.risk.max_rounds}" if verdict is Verdict.ABSTAINED else ""
        return f"{typed} --set budget.trials={2 * sweep.budget.trials}{more}"
    return ""


def gap_title(findings: Findings) -> str:
    """Return what the table of what is lacking is headed with; empty where there is an answer."""
    match findings.answer.verdict:
        case Verdict.NOTHING_SAFE:
            return "How low it broke"
        case Verdict.NOT_ENOUGH_EVIDENCE | Verdict.ABSTAINED:
            return "What is missing"
    return ""


def gap_text(findings: Findings) -> str:
    """Return what the trials lack, in a sentence or two."""
    if findings.answer.verdict is Verdict.NOTHING_SAFE:
        low = rate(findings.sweep.search.learning_rate.low)
        return f"The lowest learning rates that were tried in each context; the range begins at {low}."
    silent = Counter(record.outcome for record in findings.records if not record.outcome.is_evidence)
    told = len(findings.records) - silent.total()
    ways = "; ".join(
        f"{count} {outcome.value} ({OUTCOMES[outcome]})" for outcome, count in silent.most_common()
    )
    text = f"{counted(told, 'trial')} of {len(findings.records)} {'says' if told == 1 else 'say'} something."
    return f"{text} The others: {ways}." if ways else text


def gap_heads(findings: Findings) -> tuple[str, ...]:
    """Return the heads of ``gap_rows``."""
    if findings.answer.verdict is Verdict.NOTHING_SAFE:
        return (
            "context",
            "#lowest rate tried",
            "#lowest that failed",
            "#highest that survived",
            "#trials",
            "#failed",
        )
    return "context", "#trials", "#failed", "#credible interval", "verdict"


def gap_rows(findings: Findings) -> list[tuple[str | int, ...]]:
    """Return a row per context: how low it was tried, or what is known of it so far."""
    make = _lowest if findings.answer.verdict is Verdict.NOTHING_SAFE else _known
    return [make(row, findings) for row in findings.rows]


def _known(row: ContextRow, findings: Findings) -> tuple[str | int, ...]:
    interval = rate_interval(row.lr_low, row.lr_high)
    return row.context.label, row.num_trials, row.num_failed, interval, verdict_words(row)


def _lowest(row: ContextRow, findings: Findings) -> tuple[str | int, ...]:
    told = [trial for trial in findings.of_context(row.context) if trial.is_evidence]
    failed = [trial.plan.learning_rate for trial in told if trial.outcome.is_failure]
    survived = [trial.plan.learning_rate for trial in told if not trial.outcome.is_failure]
    tried = rate(min(failed + survived)) if told else NONE
    ends = (rate(min(failed)) if failed else NONE, rate(max(survived)) if survived else NONE)
    return row.context.label, tried, *ends, row.num_trials, row.num_failed
