"""The parts of ``sweep.yaml``; the text under each field feeds the help, the schema and the docs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from stabsearch.config.address import STUDY, TRACKING, hidden, is_secret
from stabsearch.config.gpus import visible_gpus
from stabsearch.config.part import Part, Text, wrong
from stabsearch.config.peft import Peft
from stabsearch.config.search import SEARCHED_ARGUMENTS, Search, legal
from stabsearch.config.tasks import Task
from stabsearch.records.hyperparameters import HYPERPARAMETERS
from stabsearch.records.rules import OutcomeRules

if TYPE_CHECKING:
    pass

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: Any) -> Any:
    """Return seconds from ``90``, ``90s``, ``20m``, ``1.5h`` or ``2d``; anything else unchanged."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
    if found is None:
        raise wrong(
            f"not a duration: {value!r}", "write seconds, or a number and its unit: 90s, 20m, 1.5h, 2d"
        )
    return float(found[1]) * _UNIT_S[found[2] or "s"]


_DURATION_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[smhd]?\s*$", "examples": ["20m"]},
    ]
}
Duration = Annotated[PositiveFloat, BeforeValidator(_seconds), WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds; a sweep may say ``90``, ``90s``, ``20m``, ``1.5h`` or ``2d``."""


class Training(Part):
    """The full run that is being prepared, in Hugging Face's TrainingArguments names."""

    model_config = ConfigDict(extra="allow")

    max_steps: PositiveInt | None = None
    """Optimizer steps of the full run."""
    num_train_epochs: PositiveFloat | None = None
    """Passes over the data of the full run, when ``max_steps`` is not given."""
    per_device_train_batch_size: PositiveInt = 16
    """Rows per micro-batch."""
    gradient_accumulation_steps: PositiveInt = 1
    """Micro-batches per optimizer step."""
    adam_beta2: Annotated[float, legal("adam_beta2")] | None = None
    """Decay of Adam's second moment, per optimizer step; default: the optimizer's own (0.999)."""
    optim: Text | None = None
    """Optimizer; default: that of the installed Transformers (``adamw_torch_fused``)."""
    lr_scheduler_type: Text | None = None
    """Learning rate schedule of the full run; default: that of Transformers (``linear``)."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_searched(cls, data: Any) -> Any:
        for name in data if isinstance(data, dict) else ():
            if name in SEARCHED_ARGUMENTS:
                place = SEARCHED_ARGUMENTS[name]
                raise wrong(
                    f"the sweep sets {name} itself", f"remove it here; it belongs at {place}", (name,)
                )
            if is_secret(name):
                raise wrong("a sweep is written down, and keeps no tokens", "set HF_TOKEN instead", (name,))
        return data

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if (self.max_steps is None) == (self.num_train_epochs is None):
            seen = "neither" if self.max_steps is None else "both"
            message = f"needs either max_steps or num_train_epochs, the length of the full run; got {seen}"
            hints = {
                "neither": "add one, for example max_steps: 2000",
                "both": "remove one; on the command line: --set training.max_steps=null",
            }
            raise wrong(message, hints[seen])
        return self

    def names(self, argument: str) -> bool:
        """Return whether the user gave a value to a field of TrainingArguments; null is none."""
        return argument in self.model_fields_set and getattr(self, argument) is not None

    @property
    def arguments(self) -> dict[str, Any]:
        """Return every TrainingArguments field the user named, plus batch size and accumulation."""
        named = self.model_dump(exclude_none=True)
        return {key: value for key, value in named.items() if key not in {"max_steps", "num_train_epochs"}}


class Budget(Part):
    """What the sweep may spend."""

    trials: PositiveInt = 60
    """Trials in all: canary, search and confirmation."""
    horizon: PositiveInt | Literal["auto"] = "auto"
    """Optimizer steps per trial; ``auto``: the shortest that its warmup and optimizer allow."""
    schedule: Literal["hold", "exact"] = "hold"
    """After the warmup: ``hold`` the peak (stress protocol) or follow the full run's schedule
    ``exact``ly."""
    wall_clock: Duration | None = None
    """No new trial starts after this long (``20m``)."""
    concurrency: PositiveInt | Literal["auto"] = "auto"
    """Trials at a time; ``auto``: as many as the resources hold."""
    trial_timeout: Duration = 1800.0
    """A trial that runs longer is ended and counted as lost (``30m``)."""
    disk_gib: PositiveFloat | None = None
    """Disk that the sweep's folder and its temporary files may take together, GiB. Above it no new trial
    starts, as where less than 64 MiB are left on a disk; the same command goes on once there is room."""
    trial_attempts: PositiveInt = 3
    """Workers that may die under a trial before it is recorded as lost; the end of a node does not count,
    nor that of ``stabsearch run`` itself."""
    bridge_trials: NonNegativeInt = 0
    """Trials on the confirmed configuration that go on to four times the horizon (never past the full
    run): does it hold for longer? A failure past the horizon leaves the frontier as it is, and the
    answer unconfirmed."""


class Risk(Part):
    """What counts as safe enough."""

    max_failure_probability: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Largest failure probability that is still called safe."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    """Probability of the credible intervals, and of the confirmation's bound."""
    confirmation_trials: NonNegativeInt | Literal["auto"] = "auto"
    """Fresh seeds that must all survive; ``auto``: as many as the exact binomial bound needs
    (22 for 0.1 at 0.9). 0: recommend without confirmation, labelled unconfirmed."""
    confirmation: Literal["plain", "stress"] = "plain"
    """``plain``: the fresh seeds run at the recommended learning rate; ``stress``: fewer of them run
    above it, and the bound leans on the fitted slope of the failure rate."""
    stress_margin: Annotated[float, Field(gt=0, le=1)] = 0.2
    """How far above the recommended learning rate a stress test runs, decades; where that leaves the
    searched range, the confirmation is a plain one."""
    max_rounds: PositiveInt = 5
    """Candidates that may fail their confirmation, one after another, before the sweep abstains."""


def _measured_here(value: Any) -> Any:
    """Return what ``resources: auto`` stands for."""
    return {"packing": "auto", "gpus_per_trial": float(bool(visible_gpus()))} if value == "auto" else value


class Resources(Part):
    """Where trials run."""

    packing: Literal["auto"] | None = None
    """``auto``: measure how many trials at a time fit on this machine, or on each GPU with
    ``gpus_per_trial: 1``, and where more of them bring no more; then take that many."""
    cpus_per_trial: PositiveFloat = 1.0
    """Processor cores, and threads, per trial; several processes share them, and get one each at least."""
    gpus_per_trial: NonNegativeFloat = 0.0
    """GPUs per trial, all on one node: a fraction shares one, 2 and more train together, one process each."""
    processes_per_trial: PositiveInt | None = None
    """Processes that train one trial together, each on rows of its own (DDP, or FSDP by ``training.fsdp``);
    default: one per GPU, one without a GPU."""
    address: Text = "local"
    """``local``: a private Ray on this machine; otherwise the address of a Ray cluster."""
    driver: Literal["ray", "inline"] = "ray"
    """``inline`` runs trials here, one after another: breakpoints work."""
    allow_fp16_on_cpu: bool = False
    """Run fp16 with its loss scaler on a CPU, which is real but slow, and overflows earlier than a
    GPU in reductions; for tests and diagnosis."""

    @model_validator(mode="after")
    def _one_process_per_gpu(self) -> Self:
        gpus, processes = self.gpus_per_trial, self.processes_per_trial
        if gpus > 1 and not gpus.is_integer():
            message = f"a trial has a share of one GPU, or whole GPUs, got {gpus:g}"
            raise wrong(message, f"write {math.floor(gpus)} or {math.ceil(gpus)}", ("gpus_per_trial",))
        if gpus and processes not in {None, max(1, int(gpus))}:
            message = f"each process has a GPU of its own: {processes} processes on {gpus:g} GPUs"
            hint = f"remove it, or set gpus_per_trial: {processes}"
            raise wrong(message, hint, ("processes_per_trial",))
        return self

    @model_validator(mode="after")
    def _packed_here(self) -> Self:
        if self.packing is None:
            return self
        for key, is_wrong, why in (
            ("address", self.address != "local", "trials are packed by measuring on this machine"),
            ("driver", self.driver == "inline", "an inline driver runs one trial at a time"),
            ("processes_per_trial", self.num_processes > 1, "trials of several processes share no device"),
            ("gpus_per_trial", self.gpus_per_trial not in {0, 1}, "how many share one GPU is measured"),
        ):
            if is_wrong:
                raise wrong(f"{why}, and packing is auto", "remove one of the two", (key,))
        return self

    @property
    def num_processes(self) -> int:
        """Return how many processes train one trial together."""
        return self.processes_per_trial or max(1, int(self.gpus_per_trial))

    @property
    def cpus_taken(self) -> float:
        """Return the processor cores that a trial takes: at least one for each of several processes."""
        least = self.num_processes if self.num_processes > 1 else 0
        return max(self.cpus_per_trial, least)

    @property
    def threads_per_process(self) -> int:
        """Return the processor threads of each of them."""
        return max(1, int(self.cpus_per_trial / self.num_processes))


class Study(Part):
    """Where the trials are recorded: the source of truth."""

    storage: Annotated[Text, AfterValidator(hidden(STUDY))] | None = None
    """Database URL (``postgresql://...``); default: ``study.journal`` in the sweep's folder. A password in
    it is written nowhere: to read the results it is taken from ``STABSEARCH_STUDY_PASSWORD``."""


class Tracking(Part):
    """The MLflow mirror of the study."""

    uri: Annotated[Text, AfterValidator(hidden(TRACKING))] | None = None
    """Tracking server; default: ``mlflow.db`` in the sweep's folder. ``none``: no tracking. A password in
    it is written nowhere: later it is taken from ``STABSEARCH_TRACKING_PASSWORD``."""
    experiment: Text = "stabsearch"
    """MLflow experiment that the sweep's run is put into."""
    required: bool = True
    """A new sweep begins only if its server answers; ``false``: it begins anyway, and what could not be
    delivered is delivered later, by running the sweep's command again or by ``stabsearch report --sync``."""


class BadBatches(Part):
    """Where trials that broke leave their first bad batch, for ``stabsearch replay``."""

    max_gib: NonNegativeFloat = 4.0
    """Disk budget of ``bad_batches/`` in the sweep's folder, GiB; one bundle is kept per kind of failure,
    with the weights before the step and those before the training. 0: none."""


_SHARES = ("divergence_share", "collapse_progress", "learned_progress", "clean_progress", "max_skipped_share")


def _possible_rules(rules: OutcomeRules) -> OutcomeRules:
    for name, value in asdict(rules).items():
        top = 1.0 if name in _SHARES else None
        if value <= 0 or (top is not None and value > top):
            allowed = "above 0" if top is None else f"above 0 and at most {top:g}"
            raise wrong(f"must be {allowed}, got {value:g}", f"the default is {_DEFAULTS[name]:g}", (name,))
    if rules.smoothing >= 1:
        message = f"must be above 0 and below 1, got {rules.smoothing:g}"
        raise wrong(message, f"the default is {_DEFAULTS['smoothing']:g}", ("smoothing",))
    return rules


_DEFAULTS = asdict(OutcomeRules())


def _only_numbers(value: Any) -> Any:
    """Refuse ``"0.5"`` and ``true``: a dataclass cannot be strict and filled from a mapping at once."""
    for name, number in value.items() if isinstance(value, Mapping) else ():
        if name in _DEFAULTS and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise wrong(f"must be a number, got {number!r}", f"the default is {_DEFAULTS[name]:g}", (name,))
    return value


Rules = Annotated[OutcomeRules, BeforeValidator(_only_numbers), AfterValidator(_possible_rules)]


class Sweep(Part):
    """Everything a sweep needs to know."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Names the sweep and its folder: letters, digits, ``.``, ``_`` and ``-``."""
    output_dir: Text = "runs"
    """Results go to ``<output_dir>/<name>/``; a relative path starts at the current folder."""
    seed: NonNegativeInt = 0
    """Decides every proposal and every trial's seeds."""
    task: Task
    """What is trained."""
    training: Training
    """The full run that is being prepared; any field of Hugging Face's TrainingArguments may stand here."""
    peft: Peft | None = None
    """Train adapters instead of all weights (needs ``stabsearch[peft]``)."""
    accumulation: Literal["report", "fix"] = "report"
    """With gradient accumulation, some models multiply loss and gradients by the number of micro-batches
    (huggingface/transformers issue 47688): ``report`` trains so, as the full run would, and says it;
    ``fix`` divides, and the full run then has to, too."""
    search: Search = Search()
    """What is varied."""
    budget: Budget = Budget()
    """What may be spent."""
    risk: Risk = Risk()
    """What counts as safe enough."""
    resources: Annotated[
        Resources, BeforeValidator(_measured_here, json_schema_input_type=Resources | Literal["auto"])
    ] = Resources()
    """Where trials run; ``auto``: on this machine, as many at a time as measuring shows to be best."""
    study: Study = Study()
    """Where trials are recorded."""
    tracking: Tracking = Tracking()
    """Where they are shown."""
    bad_batches: BadBatches = BadBatches()
    """What is kept of trials that broke."""
    outcomes: Rules = OutcomeRules()
    """Thresholds that decide an outcome."""

    @property
    def fixed_arguments(self) -> dict[str, Any]:
        """Return the TrainingArguments of the full run that no trial varies."""
        searched = self.search.further
        return {name: value for name, value in self.training.arguments.items() if name not in searched}

    @model_serializer(mode="wrap")
    def _without_searched(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out of ``training`` what is searched: its default, written down, would contradict that."""
        data: dict[str, Any] = handler(self)
        for name in self.search.further:
            data.get("training", {}).pop(name, None)
        return data

    @model_validator(mode="after")
    def _searched_or_fixed(self) -> Self:
        for name in self.search.further:
            if self.training.names(name):
                place = f"search.{HYPERPARAMETERS[name].key}"
                message = f"{name} is searched too, at {place}"
                raise wrong(message, f"remove it here, or remove {place}", ("training", name))
        return self

    @model_validator(mode="after")
    def _optimizer_has_what_is_searched(self) -> Self:
        for name in self.search.further:
            row = HYPERPARAMETERS[name]
            if self.training.optim in row.lacking:
                message = f"{self.training.optim} has no {name}: trials would differ in nothing"
                hint = "remove it, or choose an Adam as training.optim (default: adamw_torch_fused)"
                raise wrong(message, hint, ("search", row.key))
        return self

    @model_validator(mode="after")
    def _sharding_needs_gpus(self) -> Self:
        is_sharded = bool(self.training.arguments.get("fsdp"))
        if is_sharded and (self.resources.num_processes == 1 or not self.resources.gpus_per_trial):
            # on a CPU, Accelerate 1.15 trains with DDP instead, without a word
            message = (
                f"fsdp shares the weights out over GPUs, and trials have {self.resources.gpus_per_trial:g}"
            )
            raise wrong(
                message, "set resources.gpus_per_trial: 2 or more, or remove it", ("training", "fsdp")
            )
        return self

    @model_validator(mode="after")
    def _own_code_makes_its_adapters(self) -> Self:
        if self.peft is not None and self.task.type in {"trainer", "script"}:
            message = f"your own code makes the model of a {self.task.type} task, and its adapters with it"
            raise wrong(message, "call get_peft_model there, and remove this section", ("peft",))
        return self

    @model_validator(mode="after")
    def _bridges_need_a_confirmation(self) -> Self:
        if self.budget.bridge_trials and self.risk.confirmation_trials == 0:
            message = "bridge trials run on a confirmed configuration, and risk.confirmation_trials is 0"
            raise wrong(message, "set it to auto, or bridge_trials to 0", ("budget", "bridge_trials"))
        return self
