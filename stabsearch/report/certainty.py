"""Calibration, confirmation and the cost beside a grid, in words and rows: the same in every report."""

from __future__ import annotations

from stabsearch.frontier import Verdict
from stabsearch.records import Stage
from stabsearch.report.calibration import Group
from stabsearch.report.findings import Findings
from stabsearch.report.wording import NONE, counted, duration, percent, rate

CALIBRATION_HEADS = (
    "failure probability",
    "#trials",
    "#expected to fail",
    "#failed",
    "#observed",
    "#interval",
    "verdict",
)
CALIBRATION_NOTE = (
    "The model was fitted on these very trials, so this shows whether its curve fits them, not whether it "
    "can foresee others."
)


def calibration_rows(findings: Findings) -> list[tuple[str | int, ...]]:
    """Return expected and observed failures, one row per group of trials; see ``CALIBRATION_HEADS``."""
    found = findings.calibration
    rows = [_row(f"{percent(group.low)} to {percent(group.high)}", group) for group in found.groups]
    return [*rows, _row("confirmation, foreseen", found.fresh)] if found.fresh else rows


def _row(name: str, group: Group) -> tuple[str | int, ...]:
    return (
        name,
        group.num_trials,
        f"{group.expected * group.num_trials:.1f}",
        group.num_failed,
        percent(group.observed),
        f"{percent(group.observed_low)} to {percent(group.observed_high)}",
        "agrees" if group.agrees else "more failed" if group.observed > group.expected else "fewer failed",
    )


def calibration_text(findings: Findings) -> str:
    """Return how far model and trials agree; empty without trials that prove something."""
    found = findings.calibration
    if not found.groups:
        return ""
    whole = "all" if found.num_agreeing == len(found.groups) else f"{found.num_agreeing}"
    text = (
        f"In {whole} of {counted(len(found.groups), 'group')} what the model expects lies inside the "
        f"{percent(found.confidence)} interval of what was seen. {CALIBRATION_NOTE}"
    )
    return f"{text} {fresh_text(found.fresh)}".strip()


def fresh_text(fresh: Group | None) -> str:
    """Return what became of the trials that the model had to foresee; empty without any."""
    if fresh is None:
        return ""
    verdict = "which agrees" if fresh.agrees else "which does not agree"
    return (
        f"Fitted without them, it expected {fresh.expected * fresh.num_trials:.1f} of "
        f"{counted(fresh.num_trials, 'confirmation trial')} to fail, and {fresh.num_failed} did, {verdict}."
    )


def basis_text(findings: Findings) -> str:
    """Return what the recommended configuration rests on: the model's risk, trials, horizon, confirmation."""
    best, answer = findings.answer.recommendation, findings.answer
    if best is None:
        return ""
    trials = f"{counted(len(findings.records), 'trial')}, {findings.num_failed} of which failed"
    if answer.verdict is Verdict.UNCONFIRMED:  # its sentence says what the model says
        return f"It rests on {trials}."
    interval = f"{percent(best.probability_low)} to {percent(best.probability_high)}"
    return (
        f"The model, from {trials}, puts its failure probability at {percent(best.failure_probability)} "
        f"({interval}) up to step {answer.horizon:,}."
    )


def is_confirmed_text(findings: Findings) -> tuple[str, str]:
    """Return whether fresh seeds vouch for the recommendation, and how many."""
    confirmation = findings.answer.confirmation
    if confirmation is None or not confirmation.required:
        return "no", "no fresh seeds were asked for"
    detail = f"{confirmation.survived} of {counted(confirmation.required, 'fresh seed')} survived"
    if confirmation.failed:
        detail += f", {confirmation.failed} failed"
    return ("yes" if confirmation.is_passed and not confirmation.bridge_failed else "no"), detail


def confirmation_rows(findings: Findings) -> list[tuple[str | int, ...]]:
    """Return how confirmation trials ended, a row per configuration and horizon that was tested."""
    groups: dict[tuple[str, str, int], list[bool | None]] = {}
    for record in findings.records:
        if record.plan.stage is Stage.CONFIRM:
            key = record.plan.context.label, rate(record.plan.learning_rate), record.plan.horizon
            groups.setdefault(key, []).append(record.outcome.is_failure if record.is_evidence else None)
    return [
        (*key, ends.count(False), ends.count(True), ends.count(None) or NONE) for key, ends in groups.items()
    ]


CONFIRMATION_HEADS = ("context", "#learning rate", "#steps", "#survived", "#failed", "#no evidence")


def grid_text(findings: Findings) -> str:
    """Return what an even grid would have cost, with what that assumes; empty without a frontier."""
    grid = findings.grid_cost
    if grid is None:
        return ""
    searched = findings.sweep.search.learning_rate
    than = f"{grid.fold:.1f} times as many steps" if grid.fold >= 1 else f"{percent(grid.fold)} of the steps"
    took = f"{counted(grid.search_trials, 'trial')}, {grid.search_steps:,} steps and "
    would = f"{grid.trials:,} trials, {grid.steps:,.0f} steps and {duration(grid.seconds)}: {than}"
    return (
        f"The search took {took}{duration(grid.search_seconds)} of worker time. An even grid of the same "
        f"resolution would take about {would}. Assumed: one trial every {grid.spacing:.2g} decades from "
        f"{rate(searched.low)} to {rate(searched.high)} in each of {counted(grid.num_contexts, 'context')}, "
        "which leaves a boundary as uncertain as it is now; trials that end as the model foresees; no second "
        "seed anywhere. Confirmation costs the same either way, and is left out."
    )
