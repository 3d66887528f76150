"""Sweeps with a known boundary, for report tests: any number of contexts and trials."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import Any

from stabsearch.config import Sweep
from stabsearch.frontier import Frontier, fit
from stabsearch.frontier.answer import Answer, Confirmation, Recommendation, Verdict
from stabsearch.records import (
    Cause,
    Context,
    Effective,
    Grade,
    Outcome,
    Stage,
    StepTrace,
    TrialPlan,
    TrialRecord,
)
from stabsearch.records.frame import trials_frame
from stabsearch.records.ramp import as_ramp
from stabsearch.report.findings import Findings

FAILURES = (Outcome.DIVERGED, Outcome.NONFINITE, Outcome.COLLAPSED)


def make_sweep(**parts: Any) -> Sweep:
    """A small sweep; ``parts`` replace whole sections."""
    sections = {
        "name": "quickstart",
        "task": {"type": "quickstart"},
        "training": {"max_steps": 2000, "per_device_train_batch_size": 16, "weight_decay": 0.01},
        "search": {
            "learning_rate": {"low": 1e-5, "high": 1.0},
            "warmup": [0, 100],
            "max_grad_norm": [0, 1.0],
            "precision": ["fp32", "bf16"],
        },
        "budget": {"trials": 60, "horizon": 120},
        **parts,
    }
    return Sweep.model_validate(sections)


def make_trial(number: int = 0, outcome: Outcome = Outcome.STABLE, **changes: Any) -> TrialRecord:
    """One finished trial with a plausible loss curve; ``changes`` go to plan or record."""
    plan = TrialPlan(number, Stage.SEARCH, 1e-3, 100, 1.0, "bf16", number, number, 120)
    of_plan = {key: value for key, value in changes.items() if hasattr(plan, key)}
    of_record = {key: value for key, value in changes.items() if key not in of_plan}
    plan = replace(plan, **of_plan)
    steps = 120 if outcome is not Outcome.NONFINITE else 40
    losses = _losses(outcome, steps, random.Random(number))
    failed = outcome is not Outcome.STABLE
    record = TrialRecord(
        plan=plan,
        outcome=outcome,
        grade=None if failed else Grade.CLEAN,
        cause=Cause.LEARNING_RATE if outcome.is_failure else Cause.UNKNOWN if failed else None,
        first_bad_step=steps if outcome is Outcome.NONFINITE else None,
        steps=steps,
        trace=StepTrace.thinned(losses, [1.0] * len(losses)),
        chance_loss=math.log(4),
        clipped_share=0.4,
        effective=Effective(
            plan.learning_rate, plan.learning_rate, plan.max_grad_norm, "bfloat16", "float32",
            False, "ieee", "cpu", 16, "AdamW", (0.9, 0.999),
        ),
        message="loss 4.1 stayed above 2.0 times its start" if failed else "",
        startup_s=0.4,
        train_s=3.1,
        started_at=1.79e9 + 4 * number,
        machine={"host": "node-1", "device": "cpu", "torch": "2.13.0"},
    )  # fmt: skip
    return replace(record, **of_record)


def _losses(outcome: Outcome, steps: int, dice: random.Random) -> list[float]:
    ends = {Outcome.STABLE: 0.4, Outcome.COLLAPSED: 1.4, Outcome.DIVERGED: 6.0, Outcome.NONFINITE: 9.0}
    end = ends.get(outcome, 1.0) * dice.uniform(0.8, 1.3)
    curve = [1.4 + (end - 1.4) * (1 - math.exp(-4 * i / steps)) for i in range(steps)]
    noisy = [loss * dice.uniform(0.9, 1.1) for loss in curve]
    return [*noisy[:-1], math.nan] if outcome is Outcome.NONFINITE else noisy


def make_ramp(number: int = 0, **changes: Any) -> TrialRecord:
    """One learning-rate ramp over the whole range, which broke on its way."""
    ramp = make_trial(number, Outcome.DIVERGED, first_bad_step=80, **changes)
    return replace(ramp, plan=as_ramp(ramp.plan, 1e-5, 1.0))


def make_bridge(number: int = 0, **changes: Any) -> TrialRecord:
    """One confirmation trial that went on past the horizon of the others, and broke there."""
    survivor = make_trial(number, stage=Stage.CONFIRM, horizon=480, **changes)
    return replace(survivor, outcome=Outcome.DIVERGED, grade=None, first_bad_step=300, steps=340)


def make_island(**changes: Any) -> Findings:
    """Findings in whose only context trials 40 to 44 failed far below the boundary."""
    sweep = make_sweep(search={"warmup": [0], "max_grad_norm": [1.0], "precision": ["fp32"]})
    place = {"warmup_steps": 0, "max_grad_norm": 1.0, "precision": "fp32"}
    records = make_search(sweep, 40)
    for index in range(5):
        low, above = 5e-5 * 1.1**index, 3e-4 * 1.1**index
        records.append(make_trial(40 + index, Outcome.NONFINITE, learning_rate=low, **place))
        records.append(make_trial(50 + index, Outcome.STABLE, learning_rate=above, **place))
    findings = Findings.of(sweep, records, make_frontier(sweep, records), make_answer())
    return replace(findings, **changes)


def make_search(sweep: Sweep, num_trials: int, seed: int = 0) -> list[TrialRecord]:
    """A canary, then trials around a boundary that rises with warmup and clipping."""
    dice = random.Random(seed)
    contexts = contexts_of(sweep)
    records = []
    for number in range(num_trials):
        context = contexts[number % len(contexts)]
        boundary = boundary_of(context, contexts)
        rate = min(max(boundary * 10 ** dice.gauss(0, 0.6), 1e-5), 1.0)
        failed = rate * 10 ** dice.gauss(0, 0.1) > boundary
        outcome = dice.choice(FAILURES) if failed else Outcome.STABLE
        outcome = Outcome.OOM if dice.random() < 0.02 else outcome
        records.append(
            make_trial(
                number, outcome, learning_rate=rate, **context.settings,
                stage=Stage.CANARY if number == 0 else Stage.SEARCH,
            )
        )  # fmt: skip
    return records


def contexts_of(sweep: Sweep) -> list[Context]:
    """Every combination, with warmup taken as steps."""
    search = sweep.search
    warmups = [int(warmup) for warmup in search.warmup]
    values = search.precision, warmups, search.max_grad_norm, *search.further.values()
    names = [*Context._fields[:3], *search.further]
    return [Context.of(dict(zip(names, each, strict=True))) for each in itertools.product(*values)]


def boundary_of(context: Context, contexts: list[Context]) -> float:
    """The true boundary of a context in these samples."""
    warmups = sorted({one.warmup_steps for one in contexts})
    lift = 0.25 * warmups.index(context.warmup_steps) + (0.3 if context.max_grad_norm else 0)
    for name, value in context.further.items():
        lift += 0.2 * sorted({one.further[name] for one in contexts}).index(value)
    return 10 ** (-2.6 + lift - (0.15 if context.precision == "bf16" else 0))


def make_frontier(sweep: Sweep, records: list[TrialRecord]) -> Frontier:
    """The frontier fitted to the trials, with every context of the sweep."""
    searched = sweep.search.learning_rate
    return fit(
        trials_frame(records),
        sweep.risk.max_failure_probability,
        (searched.low, searched.high),
        sweep.risk.confidence,
        contexts_of(sweep),
    )


def make_answer(verdict: Verdict = Verdict.CONFIRMED, **changes: Any) -> Answer:
    """An answer with this verdict; safe ones carry a recommendation."""
    safe = verdict in {Verdict.CONFIRMED, Verdict.UNCONFIRMED}
    survived = 22 if verdict is Verdict.CONFIRMED else 5
    answer = Answer(
        verdict=verdict,
        sentence="bf16 with warmup 100 and clip 1 is safe up to 2.5e-3: failure probability 3 % "
        "(0.9 % to 8 %) within 120 steps, from 60 trials.",
        recommendation=Recommendation(Context("bf16", 100, 1.0), 2.5e-3, 0.03, 0.009, 0.08) if safe else None,
        confirmation=Confirmation(22, survived, 0, 0.099 if survived == 22 else 0.37) if safe else None,
        horizon=120,
        max_steps=2000,
        caveats=("Trials cover 120 of 2,000 steps; later instability cannot show.",),
    )
    return replace(answer, **changes)


def make_findings(num_trials: int = 60, sweep: Sweep | None = None, **changes: Any) -> Findings:
    """Findings over a generated sweep."""
    sweep = sweep or make_sweep()
    records = make_search(sweep, num_trials)
    findings = Findings.of(
        sweep, records, make_frontier(sweep, records), make_answer(),
        command="stabsearch run experiments/quickstart.yaml", versions={"python": "3.11.2"},
    )  # fmt: skip
    return replace(findings, **changes)
