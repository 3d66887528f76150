"""A sweep and the size of its data -> steps: the full run, the horizon, the contexts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from stabsearch.errors import UserError
from stabsearch.records import Context
from stabsearch.records.hyperparameters import HYPERPARAMETERS, Value, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.config.model import Sweep, Training

MOST_CONTEXTS = 256  # chosen: what the frontier sampler looks at as a whole; no sweep has so many trials
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
    """Every combination of what is searched, the learning rate aside."""
    covered_share: float | None
    """Share of the full run's exposure that a trial with the longest warmup covers, 1 at most; None
    when the schedule's exposure is not known."""
    caveats: tuple[str, ...]
    """What trials of this horizon cannot show, one sentence each."""


def resolve(sweep: Sweep, num_rows: int) -> Resolved:
    """Return the steps that a sweep comes to on ``num_rows`` training rows.

    Raises:
        UserError: a warmup or a horizon that does not fit, with its key and the number it needs; more
            contexts than any budget covers; a full run of another length in each context.
    """
    max_steps = _one_length(sweep, num_rows)
    warmups = _warmups(sweep.search.warmup, max_steps)
    contexts = _contexts(sweep, warmups)
    horizon = _horizon(sweep, max(warmups), max_steps)
    share = covered_share(sweep, max(warmups), horizon, max_steps)
    caveats = [
        _memory_caveat(sweep, horizon - max(warmups), horizon == max_steps),
        _exposure_caveat(sweep, horizon, max_steps, share),
        _pace_caveat(sweep),
    ]
    return Resolved(max_steps, horizon, warmups, contexts, share, tuple(text for text in caveats if text))


def _contexts(sweep: Sweep, warmups: Sequence[int]) -> tuple[Context, ...]:
    """Return every combination of what is searched, the learning rate aside."""
    search = sweep.search
    values: dict[str, Sequence[Value]] = {
        "precision": search.precision,
        "warmup_steps": warmups,
        "max_grad_norm": search.max_grad_norm,
        **search.further,
    }
    count = math.prod(map(len, values.values()))
    if count > MOST_CONTEXTS:
        factors = " x ".join(f"{len(each)} {HYPERPARAMETERS[name].key}" for name, each in values.items())
        message = f"{count:,} contexts ({factors}), {MOST_CONTEXTS} at most"
        hint = "search fewer values; what is certain belongs in the section training"
        raise UserError(message, hint, key=("search",))
    return tuple(Context.of(dict(zip(values, each, strict=True))) for each in product(*values.values()))


def _one_length(sweep: Sweep, num_rows: int) -> int:
    """Return the optimizer steps of the full run, which all contexts have in common."""
    names = [name for name in sweep.search.further if HYPERPARAMETERS[name].part == "batch"]
    batches = product(*(sweep.search.further[name] for name in names))
    lengths = {
        full_run_steps(
            sweep.training.model_copy(update=dict(zip(names, each, strict=True))),
            num_rows,
            sweep.resources.num_processes,
        )
        for each in batches
    }
    if len(lengths) == 1:
        return lengths.pop()
    low, high = min(lengths), max(lengths)
    message = f"epochs are {low} to {high} optimizer steps, depending on {' and '.join(names)}"
    hint = f"write max_steps: {high} instead, or search one value of it; all contexts share one length"
    raise UserError(message, hint, key=("training", "num_train_epochs"))


def full_run_steps(training: Training, num_rows: int, num_processes: int = 1) -> int:
    """Return the optimizer steps of the full run, as Transformers' Trainer counts them.

    Args:
        training: the full run.
        num_rows: training rows, at least 1.
        num_processes: processes that share the batches out among them; a trial's are the full run's.

    Source: ``Trainer.set_initial_training_values``, Transformers 5.23; of several processes
    ``BatchSamplerShard``, Accelerate 1.15.
    """
    if training.max_steps is not None:
        return training.max_steps
    assert training.num_train_epochs is not None, "a Training has a length"
    drops_last = bool(training.arguments.get("dataloader_drop_last", False))
    batches = num_rows / training.per_device_train_batch_size
    rounded = math.floor if drops_last else math.ceil
    num_batches = rounded(rounded(batches) / num_processes)
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


def longest_beta2(sweep: Sweep) -> float:
    """Return the beta2 that remembers longest: of those searched, else the full run's."""
    row = HYPERPARAMETERS["adam_beta2"]
    fixed = row.usual if sweep.training.adam_beta2 is None else sweep.training.adam_beta2
    return float(max(sweep.search.further.get(row.name, (fixed,)), key=row.place))


def adam_memory(sweep: Sweep) -> int | None:
    """Return 1/(1-beta2), the most steps that Adam's second moment remembers; None for other optimizers."""
    if "adam" not in (sweep.training.optim or DEFAULT_OPTIMIZER):
        return None
    return round(1 / (1 - longest_beta2(sweep)))


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
        return auto_horizon(warmup, max_steps, adam_memory(sweep))
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


def _memory_caveat(sweep: Sweep, steps_at_peak: int, is_full_run: bool) -> str:
    memory = adam_memory(sweep)
    if memory is None or is_full_run or steps_at_peak >= memory:
        return ""
    return (
        f"Trials spend {steps_at_peak} steps at or after their peak learning rate, fewer than the "
        f"{memory} that Adam's second moment remembers (1/(1-beta2), beta2={number(longest_beta2(sweep))}): "
        "a failure that builds up more slowly does not show."
    )


def _pace_caveat(sweep: Sweep) -> str:
    """Return what learning rates of different contexts do not say; empty where they are of one kind."""
    names = [
        name for name, values in sweep.search.further.items()
        if len(values) > 1 and HYPERPARAMETERS[name].sets_pace
    ]  # fmt: skip
    if not names:
        return ""
    return (
        f"Learning rates are not comparable over {' and '.join(names)}: equal ones train at a different pace "
        "per step, and a higher safe one need not train faster. Compare losses before you choose by it."
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
