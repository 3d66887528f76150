"""What a cause means in words: the verdict, the symptom as users search for it, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.forensics.naming import Facts
from stabsearch.records import Cause, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from stabsearch.records import TrialPlan

HIDDEN_NAN = "'loss': 0.0, 'grad_norm': nan in the Trainer's log, which replaces a NaN by the running mean"
_SYMPTOMS = {
    Outcome.DIVERGED: "the loss rises above where it started and does not come back",
    Outcome.COLLAPSED: "the loss goes flat: the model predicts the same for every input",
    Outcome.SCALE_FLOOR: "'grad_norm': inf at every step, and the fp16 loss scale falls towards 0",
    Outcome.OOM: "CUDA out of memory",
}


def symptom_of(cause: Cause | None, facts: Facts) -> str:
    """Return what the user saw, as far as it is known."""
    if cause is None:
        return ""
    if facts.errors:
        from stabsearch.forensics.rules import symptom_of_rule

        return symptom_of_rule(facts.errors[0].rule)
    record = facts.record
    if record is None:
        return ""
    if record.outcome in _SYMPTOMS:
        return _SYMPTOMS[record.outcome]
    if "Error" in record.message.split(":")[0]:
        return record.message.split(" (")[0]
    return HIDDEN_NAN


def sentence_for(cause: Cause | None, facts: Facts, plan: TrialPlan | None) -> str:
    """Return the verdict in one or two sentences, with the numbers it rests on."""
    if facts.errors:
        first = facts.errors[0]
        more = f" ({len(facts.errors) - 1} more rules are broken)" if len(facts.errors) > 1 else ""
        return f"{_HEADLINES[first.cause]}: {first.message} ({first.rule}){more}."
    if plan is None:
        return "Nothing is wrong: no rule is broken."
    if cause is None:
        return f"Nothing is wrong: {plan.horizon} steps at learning rate {plan.learning_rate:.2g} ended well."
    record = facts.record
    seen = record.message if record else "no trial was run"
    return f"{_HEADLINES[cause]}: {seen}. {_WHY[cause](facts)}".strip()


def advice_for(cause: Cause | None, facts: Facts, plan: TrialPlan | None) -> tuple[str, ...]:
    """Return what to do, most promising first."""
    if facts.errors:
        return tuple(dict.fromkeys(finding.hint for finding in facts.errors if finding.hint))
    return () if cause is None or plan is None else _ADVICE[cause](facts, plan)


_HEADLINES = {
    Cause.DATA: "The data is at fault",
    Cause.LOSS_MISMATCH: "Labels and loss do not fit together",
    Cause.LEARNING_RATE: "The learning rate is too high",
    Cause.PRECISION_AT_INIT: "The precision cannot hold this model, from the first step",
    Cause.PRECISION_AFTER_DRIFT: "Training moves the model out of what the precision can hold",
    Cause.INITIALISATION: "The initial weights are at fault",
    Cause.OPTIMIZER_SETTINGS: "The optimizer's settings are at fault",
    Cause.HARDWARE_OR_NONDETERMINISM: "The machine is at fault, or something that is not deterministic",
    Cause.SETTINGS_NOT_APPLIED: "The trainer did not run with the settings of its plan",
    Cause.UNKNOWN: "No cause could be named",
}


def _why_data(facts: Facts) -> str:
    return "It is so on the initial weights in fp32 too, so no learning rate or precision can cure it."


def _why_rate(facts: Facts) -> str:
    matrix = facts.matrix
    bad_step = (
        "The bad step is finite on the initial weights and not on those that training made. "
        if matrix
        else ""
    )
    cure = "A gentle learning rate gets well past it." if facts.cured.get("learning rate") else ""
    clip = " Clipping does too." if facts.cured.get("clip") else ""
    return f"{bad_step}{cure}{clip}"


def _why_drift(facts: Facts) -> str:
    return (
        "The bad step is finite in fp32 on the very weights on which it overflows in the trial's precision."
    )


def _why_weights(facts: Facts) -> str:
    if facts.cured.get("weights"):
        return "New weights from the model's own initialisation get well past it."
    if facts.record is not None and facts.record.cause is Cause.INITIALISATION:
        return "The forward is not finite on the initial weights in fp32, whatever the batch."
    return "The preflight warns of them, and nothing else that was tried got past it."


def _why_optimizer(facts: Facts) -> str:
    if facts.cured.get("optimizer options") or facts.cured.get("optimizer"):
        return "With default settings it gets well past it at the same learning rate."
    return "Finite gradients became weights that are not finite, at a learning rate that cannot do that."


_WHY: dict[Cause, Callable[[Facts], str]] = {
    Cause.DATA: _why_data,
    Cause.LOSS_MISMATCH: lambda _: (
        "The model's outputs are finite on the initial weights in fp32: the loss makes "
        "the bad number out of them, for every row."
    ),
    Cause.LEARNING_RATE: _why_rate,
    Cause.PRECISION_AT_INIT: lambda _: "The same step on the same initial weights is finite in fp32.",
    Cause.PRECISION_AFTER_DRIFT: _why_drift,
    Cause.INITIALISATION: _why_weights,
    Cause.OPTIMIZER_SETTINGS: _why_optimizer,
    Cause.HARDWARE_OR_NONDETERMINISM: lambda _: (
        "The same step, or the same trial, is sound when it is run again "
        "with the same weights, rows and random numbers."
    ),
    Cause.SETTINGS_NOT_APPLIED: lambda _: "What it showed is no measurement.",
    Cause.UNKNOWN: lambda _: "No change that was tried got past it.",
}


def _rows_advice(facts: Facts, plan: TrialPlan) -> tuple[str, ...]:
    if facts.rows:
        shown = ", ".join(map(str, facts.rows[:10]))
        return (
            f"look at training rows {shown}: drop or repair them",
            "stabsearch replay shows them with their text",
        )
    return (
        "every batch is like that: look at what the collator makes of labels and masks",
        "stabsearch replay shows the batch, and where its first non-finite number comes from",
    )


def _rate_advice(facts: Facts, plan: TrialPlan) -> tuple[str, ...]:
    clip = () if plan.max_grad_norm else ("set max_grad_norm to 1.0",)
    warmup = () if plan.warmup_steps else ("or add warmup: it raises what the model survives",)
    return (
        "lower learning_rate; `stabsearch run` finds how far it may go",
        *(clip if facts.cured.get("clip") else ()),
        *warmup,
    )


def _precision_advice(facts: Facts, plan: TrialPlan) -> tuple[str, ...]:
    matrix = facts.matrix
    weights = "initial" if matrix and not matrix.is_finite("initial", plan.precision) else "captured"
    helps = matrix is not None and plan.precision != "bf16" and matrix.is_finite(weights, "bf16")
    now = "weights in bfloat16" if plan.precision == "bf16-pure" else "fp16=True"
    bf16 = (f"set bf16=True instead of {now}: the same step is finite in bf16",) if helps else ()
    origin = matrix.origin if matrix else None
    where = (f"or keep {origin.module} in fp32",) if origin is not None and origin.module else ()
    return (*bf16, "or train in fp32", *where)


_ADVICE: dict[Cause, Callable[[Facts, TrialPlan], tuple[str, ...]]] = {
    Cause.DATA: _rows_advice,
    Cause.LOSS_MISMATCH: lambda _, __: (
        "check labels, num_labels and problem_type against the loss that the model computes",
        "a loss of your own: look for a root, logarithm or division at zero, for labels that are all -100",
    ),
    Cause.LEARNING_RATE: _rate_advice,
    Cause.PRECISION_AT_INIT: _precision_advice,
    Cause.PRECISION_AFTER_DRIFT: lambda facts, plan: (
        *_precision_advice(facts, plan),
        "or lower learning_rate",
    ),
    Cause.INITIALISATION: lambda _, __: (
        "load the checkpoint again, and look at the largest weight of each tensor",
        "new layers: initialise them with the model's own initializer_range (0.02)",
    ),
    Cause.OPTIMIZER_SETTINGS: lambda _, __: (
        "go back to adamw_torch_fused, adam_epsilon 1e-8 and betas 0.9, 0.999; then change one at a time",
    ),
    Cause.HARDWARE_OR_NONDETERMINISM: lambda _, __: (
        "run the same trial again, on another machine if it comes back",
        "on a GPU: look at ECC errors and temperatures; set torch.use_deterministic_algorithms(True)",
    ),
    Cause.SETTINGS_NOT_APPLIED: lambda _, __: ("look at what the trainer overrides",),
    Cause.UNKNOWN: lambda _, __: (
        "run stabsearch replay on the bad batch, and read where its first non-finite number comes from",
    ),
}
