"""A sweep and the size of its data -> steps: the full run, the horizon, the contexts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from stabsearch.errors import UserError
from stabsearch.records import Context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.config.model import Sweep, Training

DEFAULT_ADAM_BETA2 = 0.999
"""TrainingArguments.adam_beta2 of Transformers 5.23."""
DEFAULT_SCHEDULER = "linear"
"""TrainingArguments.lr_scheduler_type of Transformers 5.23."""
DEFAULT_OPTIMIZER = "adamw_torch_fused"
"""TrainingArguments.optim of Transformers 5.23."""
LONGEST_AUTO_HOLD = 200
# chosen: Adam's memory of 1/(1-beta2) = 1000 steps would make every trial of a small sweep five times
# as long; most failures come within the first 200 steps at the peak, and a caveat names the rest.
EXPOSURE_FACTOR = {"linear": 0.22, "cosine": 0.29, "constant": 1.0, "constant_with_warmup": 1.0}
"""Share of the steps after warmup that has the same exposure when the peak is held instead: with a
hazard proportional to lr**(slope/ln 10) and a slope of 8 logits per decade, the integral of
schedule**3.47. The proportionality is an assumption, not a measurement."""


@dataclass(frozen=True)
class Resolved:
    """What a sweep comes to on its data, in optimizer steps."""

    max_steps: int
    """Optimizer steps of the full run."""
    horizon: int
    """Optimizer steps of each trial."""
    warmups: tuple[int, ...]
    """``search.warmup`` in optimizer steps, in the sweep's order, all different."""
    contexts: tuple[Context, ...]
    """Every combination of precision, warmup and clip norm."""
    covered_share: float | None
    """Share of the full run's exposure that a trial with the longest warmup covers, 1 at most; None
    when the schedule's exposure is not known."""
    caveats: tuple[str, ...]
    """What trials of this horizon cannot show, one sentence each."""


def resolve(sweep: Sweep, num_rows: int) -> Resolved:
    """Return the steps that a sweep comes to on ``num_rows`` training rows.

    Raises:
        UserError: a warmup or a horizon that does not fit, with its key and the number it needs.
    """
    max_steps = full_run_steps(sweep.training, num_rows)
    warmups = _warmups(sweep.search.warmup, max_steps)
    horizon = _horizon(sweep, max(warmups), max_steps)
    share = covered_share(sweep, max(warmups), horizon, max_steps)
    caveats = [
        _memory_caveat(sweep.training, horizon - max(warmups), horizon == max_steps),
        _exposure_caveat(sweep, horizon, max_steps, share),
    ]
    search = sweep.search
    contexts = tuple(Context(*parts) for parts in product(search.precision, warmups, search.max_grad_norm))
    return Resolved(max_steps, horizon, warmups, contexts, share, tuple(text for text in caveats if text))


def full_run_steps(training: Training, num_rows: int) -> int:
    """Return the optimizer steps of the full run on one device, as Transformers' Trainer counts them.

    Args:
        training: the full run.
        num_rows: training rows, at least 1.

    Source: ``Trainer.set_initial_training_values``, Transformers 5.23.
    """
    if training.max_steps is not None:
        return training.max_steps
    assert training.num_train_epochs is not None, "a Training has a length"
    drops_last = bool(training.arguments.get("dataloader_drop_last", False))
    batches = num_rows / training.per_device_train_batch_size
    num_batches = math.floor(batches) if drops_last else math.ceil(batches)
    steps_per_epoch = max(math.ceil(num_batches / training.gradient_accumulation_steps), 1)
    return math.ceil(training.num_train_epochs * steps_per_epoch)


def warmup_steps(value: float, max_steps: int) -> int:
    """Return a warmup in optimizer steps: 1 and above are steps, below 1 is a share of the full run.

    Source: ``TrainingArguments.get_warmup_steps``, Transformers 5.23.

    >>> warmup_steps(0.06, 2000), warmup_steps(100, 2000)
    (120, 100)
    """
    return int(value) if value >= 1 else math.ceil(max_steps * value)


def needed_horizon(warmup: int, max_steps: int) -> int:
    """Return the fewest steps after which a trial says anything about its peak learning rate.

    The warmup and twice as many steps after it (Godbole et al. 2023, Deep Learning Tuning Playbook),
    at least one; never more than the full run, which is the truth itself.
    """
    return min(warmup + max(2 * warmup, 1), max_steps)


def auto_horizon(warmup: int, max_steps: int, memory: int | None) -> int:
    """Return the horizon that ``auto`` stands for: the shortest that shows what can be shown cheaply.

    Args:
        warmup: longest warmup, optimizer steps.
        max_steps: optimizer steps of the full run.
        memory: steps that the optimizer's second moment remembers, None without one.
    """
    hold = min(memory or LONGEST_AUTO_HOLD, LONGEST_AUTO_HOLD)
    return min(max(needed_horizon(warmup, max_steps), warmup + hold), max_steps)


def adam_memory(training: Training) -> int | None:
    """Return 1/(1-beta2), the steps that Adam's second moment remembers; None for other optimizers."""
    if "adam" not in (training.optim or DEFAULT_OPTIMIZER):
        return None
    beta2 = DEFAULT_ADAM_BETA2 if training.adam_beta2 is None else training.adam_beta2
    return round(1 / (1 - beta2))


def covered_share(sweep: Sweep, warmup: int, horizon: int, max_steps: int) -> float | None:
    """Return the share of the full run's exposure after warmup that one trial covers, 1 at most.

    None for a schedule without a known exposure factor. A trial that follows the exact schedule
    covers at least its share of the steps, since these rates never rise again; that share is returned.
    """
    factor = EXPOSURE_FACTOR.get(sweep.training.lr_scheduler_type or DEFAULT_SCHEDULER)
    if factor is None:
        return None
    share_of_steps = (horizon - warmup) / (max_steps - warmup)
    return share_of_steps if sweep.budget.schedule == "exact" else min(share_of_steps / factor, 1.0)


def _warmups(values: Sequence[float], max_steps: int) -> tuple[int, ...]:
    steps: list[int] = []
    for index, value in enumerate(values):
        num_steps, key = warmup_steps(value, max_steps), ("search", "warmup", index)
        if num_steps >= max_steps:
            message = f"{value:g} is {num_steps} steps of warmup, the full run has {max_steps}"
            raise UserError(message, f"write fewer than {max_steps} steps, or a smaller share", key=key)
        if num_steps in steps:
            first = f"search.warmup[{steps.index(num_steps)}]"
            message = f"{value:g} is {num_steps} steps of the full run's {max_steps}, the same as {first}"
            raise UserError(message, "remove one of them", key=key)
        steps.append(num_steps)
    return tuple(steps)


def _horizon(sweep: Sweep, warmup: int, max_steps: int) -> int:
    horizon = sweep.budget.horizon
    if horizon == "auto":
        return auto_horizon(warmup, max_steps, adam_memory(sweep.training))
    key = ("budget", "horizon")
    if horizon > max_steps:
        message = f"{horizon} steps, the full run has only {max_steps}"
        raise UserError(message, f"write {max_steps} or fewer, or auto", key=key)
    needed = needed_horizon(warmup, max_steps)
    if horizon < needed:
        message = f"{horizon} steps are too short for a warmup of {warmup}: at least {needed} are needed"
        hint = f"write {needed} or auto, or shorten the longest search.warmup to {horizon // 3} steps"
        raise UserError(message, hint, key=key)
    return horizon


def _memory_caveat(training: Training, steps_at_peak: int, is_full_run: bool) -> str:
    memory = adam_memory(training)
    if memory is None or is_full_run or steps_at_peak >= memory:
        return ""
    beta2 = DEFAULT_ADAM_BETA2 if training.adam_beta2 is None else training.adam_beta2
    return (
        f"Trials spend {steps_at_peak} steps at or after their peak learning rate, fewer than the "
        f"{memory} that Adam's second moment remembers (1/(1-beta2), beta2={beta2:g}): "
        "a failure that builds up more slowly does not show."
    )


def _exposure_caveat(sweep: Sweep, horizon: int, max_steps: int, share: float | None) -> str:
    if sweep.budget.schedule == "exact":
        text = f"Trials follow the first {horizon} of the full run's {max_steps} steps: nothing later shows."
        return text if horizon < max_steps else ""
    if share is None or share >= 1:
        return ""
    scheduler = sweep.training.lr_scheduler_type or DEFAULT_SCHEDULER
    return (
        f"Trials of {horizon} steps that hold the peak learning rate cover "
        f"{f'about {share:.0%}' if share >= 0.01 else 'less than 1%'} of the exposure of the full run's "
        f"{max_steps} steps with a {scheduler} schedule (assumed: failure slope of 8 logits per decade)."
    )
