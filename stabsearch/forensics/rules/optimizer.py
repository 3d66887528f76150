"""Rules about the optimizer's settings."""

from __future__ import annotations

import math

from stabsearch.forensics.facts.optimizer import OptimizerFacts
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen
from stabsearch.records import Cause

OPTIMIZER: RuleBook[OptimizerFacts] = RuleBook()
TRAINING = ("training",)
FP16_SMALLEST = 6e-8  # smallest positive fp16 number, a subnormal: 2**-24
LARGE_EPS = 1e-3  # chosen: of the size of the root of a second moment: updates shrink with the gradient
SHORT_MEMORY = 0.9  # chosen: fewer than ten steps; 0.95 is in use for language models
STRONG_DECAY = 1.0  # chosen: published runs use 0 to 0.3


@OPTIMIZER.rule(
    "STAB-O001", "Adam without bias correction", Severity.WARNING, Cause.OPTIMIZER_SETTINGS,
    symptom="some seeds fail: accuracy stays at chance, above all with few rows and no warmup",
    fix="use torch.optim.AdamW, which corrects; or warm up (Mosbach et al. 2021, arXiv:2006.04884)",
    key=("training", "optim"),
)  # fmt: skip
def no_bias_correction(facts: OptimizerFacts) -> Seen | None:
    """The first updates are then up to sqrt(1/(1-beta2)) * (1-beta1) times too large: about 3."""
    return Seen(f"{facts.name} does not correct its moments' start at 0") if not facts.corrects_bias else None


@OPTIMIZER.rule(
    "STAB-O002", "Adam's epsilon is 0 where it counts", Severity.ERROR, Cause.OPTIMIZER_SETTINGS,
    symptom="a finite `'grad_norm'`, then `'loss': nan`: weights are NaN after the first update, 0/0",
    fix="set adam_epsilon to 1e-8; with fp16 weights load them in float32 first",
    key=("training", "adam_epsilon"),
)  # fmt: skip
def epsilon_is_zero(facts: OptimizerFacts) -> Seen | None:
    """Embeddings of tokens that a batch does not hold have zero gradients: 0/(0 + eps)."""
    if not facts.is_adam or facts.eps is None:
        return None
    if facts.eps <= 0:
        return Seen(f"adam_epsilon is {facts.eps:g}")
    if "float16" in facts.dtypes and facts.eps < FP16_SMALLEST / 2:
        return Seen(f"adam_epsilon is {facts.eps:g}, which is 0 in fp16, and weights are fp16")
    return None


@OPTIMIZER.rule(
    "STAB-O003", "a large epsilon", Severity.WARNING, Cause.OPTIMIZER_SETTINGS,
    symptom="the loss hardly moves; a learning rate 100 times as large would be needed",
    fix="set adam_epsilon to 1e-8 (1e-6 for some pretraining recipes)",
    key=("training", "adam_epsilon"),
)  # fmt: skip
def epsilon_is_large(facts: OptimizerFacts) -> Seen | None:
    """Adam becomes gradient descent with momentum at the learning rate divided by epsilon."""
    if not facts.is_adam or facts.eps is None or facts.eps < LARGE_EPS:
        return None
    return Seen(f"adam_epsilon is {facts.eps:g}")


@OPTIMIZER.rule(
    "STAB-O004", "betas that Adam does not work with", Severity.WARNING, Cause.OPTIMIZER_SETTINGS,
    symptom="`ValueError: Invalid beta parameter at index 1: 1.0`, or a loss that jumps at random",
    fix="set adam_beta1=0.9 and adam_beta2=0.999 (0.95 to 0.999)",
    key=("training", "adam_beta2"),
)  # fmt: skip
def absurd_betas(facts: OptimizerFacts) -> Seen | None:
    """Outside 0 to 1 they are refused; beta1 above sqrt(beta2) need not converge (Reddi et al. 2018)."""
    if facts.betas is None:
        return None
    first, second = facts.betas
    if not (0 <= first < 1 and 0 <= second < 1):
        return Seen(f"betas are {first:g} and {second:g}: they have to be at least 0 and below 1",
                    severity=Severity.ERROR)  # fmt: skip
    if second < SHORT_MEMORY and facts.eps is not None:
        return Seen(
            f"adam_beta2 is {second:g}: the step size rests on the last {1 / (1 - second):.0f} gradients"
        )
    return (
        Seen(f"adam_beta1 {first:g} is above the root of adam_beta2 {second:g}")
        if first**2 > second
        else None
    )


@OPTIMIZER.rule(
    "STAB-O005", "an absurd weight decay", Severity.WARNING, Cause.OPTIMIZER_SETTINGS,
    symptom="the loss goes to ln(classes) and stays there, or every weight grows without end",
    fix="set weight_decay to 0 to 0.1",
    key=("training", "weight_decay"),
)  # fmt: skip
def absurd_weight_decay(facts: OptimizerFacts) -> Seen | None:
    """Weights are multiplied by 1 - lr * weight_decay at each step: below -1 they grow."""
    decay = facts.weight_decay
    factor = 1 - facts.learning_rate * decay
    if decay < 0 or not math.isfinite(decay) or factor < -1:
        text = f"weight_decay is {decay:g}" + (
            f": every step multiplies weights by {factor:.3g}" if decay > 0 else ""
        )
        return Seen(text, severity=Severity.ERROR)
    return Seen(f"weight_decay is {decay:g}") if decay >= STRONG_DECAY else None


@OPTIMIZER.rule(
    "STAB-O006", "a learning rate that trains nothing", Severity.ERROR, Cause.OPTIMIZER_SETTINGS,
    symptom="the loss does not move at all, or `ValueError: Invalid learning rate: nan`",
    fix="set a positive learning_rate, such as 2e-5",
    key=TRAINING,
)  # fmt: skip
def no_learning_rate(facts: OptimizerFacts) -> Seen | None:
    """Zero, negative, NaN or infinite. An optimizer that finds its own rate names none."""
    rate = facts.learning_rate
    if rate > 0 and math.isfinite(rate):
        return None
    return Seen(f"the learning rate is {rate:g}") if facts.is_adam or not math.isnan(rate) else None


@OPTIMIZER.rule(
    "STAB-O007", "an optimizer of other weights", Severity.ERROR, Cause.OPTIMIZER_SETTINGS,
    symptom="the loss never falls, `'grad_norm'` is healthy, and the weights saved are those loaded",
    fix="make the optimizer from the parameters of the very model that the Trainer is given",
    key=TRAINING,
)  # fmt: skip
def foreign_weights(facts: OptimizerFacts) -> Seen | None:
    """Made from another copy of the model, or before layers were exchanged. Leaving some out may be meant."""
    if facts.num_foreign:
        return Seen(f"{facts.num_foreign} tensors of the optimizer are not the model's")
    if facts.num_missing:
        return Seen(f"the optimizer leaves out {facts.num_missing} trained tensors of the model",
                    severity=Severity.WARNING)  # fmt: skip
    return None
