"""Checks before the first trial: arguments, precisions, data, labels, loss, model, optimizer, machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.errors import UserError
from stabsearch.forensics.chance import chance_loss_of
from stabsearch.forensics.facts.environment import EnvironmentFacts, device_facts, disk, tracking_problem
from stabsearch.forensics.facts.table import table_facts
from stabsearch.forensics.finding import Finding, Severity, sorted_findings
from stabsearch.forensics.rules.catalog import TABLE_BOOKS
from stabsearch.forensics.trainer_check import check_trainer
from stabsearch.records import Stage, TrialPlan
from stabsearch.task.base import surroundings_of
from stabsearch.task.given import given_names, with_given
from stabsearch.task.own_code import OwnWorkload
from stabsearch.task.registry import build_workload, read_table
from stabsearch.trial.arguments import check_training, trial_arguments
from stabsearch.trial.not_applied import IGNORES_ARGUMENTS, argument_differences
from stabsearch.trial.precision import check_precision
from stabsearch.trial.setup import TrialSetup
from stabsearch.trial.temporary import temporary_folder

if TYPE_CHECKING:
    from stabsearch.config import Sweep
    from stabsearch.task.base import Workload
    from stabsearch.task.rows import TaskTable

__all__ = ["Preflight", "check_trainer", "look_at_table", "preflight"]

MULTIPLIED = "STAB-M007"
"""Gradient accumulation multiplies the loss."""
UNUSABLE_TRACKING = "STAB-E006"
NO_TRACKING = "none"
"""``tracking.uri`` of a sweep that is not tracked."""


@dataclass(frozen=True)
class Preflight:
    """What the checks found out."""

    num_rows: int
    """Training rows; 0 where there are none, or nobody can count them."""
    findings: tuple[Finding, ...] = ()
    """What speaks against starting, the worst first."""
    workload: Workload | None = field(default=None, compare=False, repr=False)
    """What is trained; None where the table already speaks against it."""
    chance_loss: float | None = None
    """Loss of the trivial predictor, where the workload does not know it and it could be found out."""


def preflight(sweep: Sweep, *, asks_for_devices: bool = True, is_begun: bool = False) -> Preflight:
    """Return what the whole data set, the model, the settings and the machine say of starting.

    Args:
        sweep: what is to be run.
        asks_for_devices: whether trials run from here, so that their devices have to be there.
        is_begun: whether it has been run before, so that it goes on without its tracker, too.

    Raises:
        UserError: something cannot be read or understood at all; its key says which part of the
            sweep. What can be read and is wrong is a finding.
    """
    check_training(sweep.training.arguments, sweep.budget.schedule)
    if asks_for_devices:
        _check_precisions(sweep)
    table = read_table(sweep.task)
    found: list[Finding] = []
    if table is not None:
        found = look_at_table(table)
        if any(finding.is_error for finding in found):
            return Preflight(len(table.frame), tuple(sorted_findings(found)))
    workload = build_workload(sweep.task, table, sweep.peft)
    of_workload, chance_loss = _of_workload(sweep, workload)
    if is_begun or not sweep.tracking.required:
        of_workload = list(map(_without_tracker, of_workload))
    once = {finding.rule: finding for finding in reversed([*found, *of_workload])}.values()
    return Preflight(workload.num_rows, tuple(sorted_findings(once)), workload, chance_loss)


def look_at_table(table: TaskTable) -> list[Finding]:
    """Return what the rules say of a training table, before anything is made of it."""
    facts = table_facts(table)
    return [finding for book in TABLE_BOOKS for finding in book.findings(facts)]


def _check_precisions(sweep: Sweep) -> None:
    for i, precision in enumerate(sweep.search.precision):
        check_precision(
            precision,
            ("search", "precision", i),
            on_gpu=sweep.resources.gpus_per_trial > 0,
            is_local=sweep.resources.address == "local",
            allow_fp16_on_cpu=sweep.resources.allow_fp16_on_cpu,
        )


def _of_workload(sweep: Sweep, workload: Workload) -> tuple[list[Finding], float | None]:
    """Return what the trials' own Trainer says, made for this machine's CPU and never started.

    Of the user's own code also the chance loss, which nobody else knows.
    """
    with surroundings_of(workload), temporary_folder() as folder:
        arguments = _gentle_arguments(sweep, str(folder))
        trainer = workload.trainer(arguments, sweep.seed)
        differing = argument_differences(arguments, trainer.args)
        if differing:
            raise UserError(f"the Trainer ignores what it is given: {'; '.join(differing)}",
                            IGNORES_ARGUMENTS, key=("task",))  # fmt: skip
        found = check_trainer(trainer, sweep.search.precision, environment=_environment(sweep, trainer.model))
        is_sound = not any(finding.is_error for finding in found)
        chance_loss = None
        if isinstance(workload, OwnWorkload) and is_sound:
            workload.check_repeats(trainer, sweep.seed)
            chance_loss = chance_loss_of(trainer) if math.isnan(workload.chance_loss) else None
    return [_placed(sweep, _mended(sweep, finding)) for finding in found], chance_loss


def _gentle_arguments(sweep: Sweep, folder: str) -> Any:
    search, training = sweep.search, sweep.training
    setup = TrialSetup(
        max_steps=training.max_steps or -1, schedule=sweep.budget.schedule, training=sweep.fixed_arguments
    )
    further: dict[str, Any] = search.gentle
    plan = TrialPlan(
        0, Stage.CANARY, search.learning_rate.low, 0, 1.0, "fp32", sweep.seed, sweep.seed, 1, **further
    )
    arguments = trial_arguments(plan, setup, folder)
    if training.num_train_epochs is None:
        return arguments
    arguments.num_train_epochs = training.num_train_epochs
    return with_given(arguments, given_names(arguments) | {"num_train_epochs"})


def _environment(sweep: Sweep, model: Any) -> EnvironmentFacts:
    """Return what the machine offers to trials; of a cluster only what this machine can see."""
    on_gpu, is_local = sweep.resources.gpus_per_trial > 0, sweep.resources.address == "local"
    device = device_facts("cuda" if on_gpu else "cpu", runs_fp16=True) if is_local else {}
    weights = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    uri = sweep.tracking.uri
    return EnvironmentFacts(
        **disk(Path(sweep.output_dir)),
        # whether a precision is real has been asked already, with its place in the sweep
        **{**device, "runs_fp16": True, "runs_tf32": True},
        num_weights=sum(size for size, _ in weights),
        num_trained=sum(size for size, is_trained in weights if is_trained),
        precisions=sweep.search.precision,
        tracking=uri or "",
        tracking_problem=tracking_problem(uri) if uri is not None and uri != NO_TRACKING else "",
    )


def _without_tracker(finding: Finding) -> Finding:
    """Return a finding of a tracker that a sweep does not wait for as one that only warns."""
    if finding.rule != UNUSABLE_TRACKING:
        return finding
    hint = "running the sweep again delivers it, or stabsearch report DIR --sync"
    message = f"{finding.message}; what it misses is kept"
    return replace(finding, severity=Severity.WARNING, message=message, hint=hint)


def _mended(sweep: Sweep, finding: Finding) -> Finding:
    """Return a finding that says what the sweep itself does about it."""
    if finding.rule != MULTIPLIED or sweep.accumulation == "report":
        return finding
    message = f"{finding.message}; trials have them divided"
    hint = "the full run needs trainer.loss_is_scaled_for_ga = False, too"
    return replace(finding, severity=Severity.INFO, message=message, hint=hint)


def _placed(sweep: Sweep, finding: Finding) -> Finding:
    """Return a finding that points at a key which a sweep of this task can have."""
    if (
        finding.key[:1] != ("task",)
        or len(finding.key) < 2
        or finding.key[1] in type(sweep.task).model_fields
    ):
        return finding
    return replace(finding, key=("task",))
