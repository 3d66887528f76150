"""An existing training configuration held against the frontier of a finished sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stabsearch.config.model import Training
from stabsearch.config.resolve import DEFAULT_OPTIMIZER, DEFAULT_SCHEDULER, full_run_steps, warmup_steps
from stabsearch.config.training_file import TrainingFile, read_training
from stabsearch.errors import UserError
from stabsearch.frontier.answer import Verdict
from stabsearch.frontier.gate import Gated, Standing, gate
from stabsearch.records import Context
from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS, number
from stabsearch.sweep.found_frontier import WHERE, StoredFrontier, find_frontier

_SAME_OPTIMIZER = {"adamw_torch": "adamw_torch_fused", "adamw_hf": "adamw_torch_fused"}
"""Written differently, and the same update."""
_NO_WARMUP = frozenset({"constant", "reduce_lr_on_plateau", "greedy"})
"""Schedules that pass over a warmup: ``transformers.optimization.get_scheduler``, 5.24."""
_ALSO_FIXED: Mapping[str, Any] = {
    "label_smoothing_factor": 0.0,
    "neftune_noise_alpha": None,
    "optim_args": None,
    "optim_target_modules": None,
}
"""What else of TrainingArguments moves the boundary, with Transformers' defaults."""
_TRUE = frozenset({"true", "yes", "y", "t", "1", "on"})
_FALSE = frozenset({"false", "no", "n", "f", "0", "off", "none", "null", ""})
_AXOLOTL_SHARE, _AXOLOTL_MOST = 0.03, 100
"""What axolotl 0.10 warms up for where nothing is said: a share of the steps, and so many at most."""


@dataclass(frozen=True)
class GateResult:
    """What is said of a configuration."""

    training: TrainingFile
    stored: StoredFrontier
    risk: float
    gated: Gated
    notes: tuple[str, ...]
    """What the verdict leans on, one sentence each."""

    @property
    def is_inside(self) -> bool:
        """Return whether the configuration lies inside the safe region."""
        return self.gated.judged.standing is Standing.INSIDE


def gate_training(
    configs: Sequence[Path],
    where: str,
    max_risk: float | None = None,
    num_rows: int | None = None,
    tracking_uri: str | None = None,
) -> GateResult:
    """Return whether a training configuration lies inside the safe region of a sweep's frontier.

    Args:
        configs: files that together are the configuration; ``-`` is the standard input.
        where: folder of the sweep, its frontier.json, id of its MLflow run, or ``models:/...``.
        max_risk: largest failure probability; default: the sweep's.
        num_rows: training rows, which turn epochs into steps.
        tracking_uri: MLflow's store; default: ``MLFLOW_TRACKING_URI``.

    Raises:
        UserError: a file that cannot be read, no frontier there, or a configuration outside of what
            the sweep covered.
    """
    if max_risk is not None and not 0 < max_risk < 0.5:
        raise UserError(
            f"--max-risk {max_risk:g}: a failure probability above 0 and below 0.5 is needed",
            "0.05 allows one run in twenty to fail",
        )
    training = read_training(configs)
    stored = find_frontier(where, tracking_uri)
    risk = stored.frontier.max_failure_probability if max_risk is None else max_risk
    frontier = replace(stored.frontier, max_failure_probability=risk)
    notes: list[str] = []
    reader = _Reader(training, stored, num_rows, notes)
    rate, context = reader.learning_rate(), reader.context()
    known = [each.context for each in frontier.trials]
    if context not in known:
        raise reader.not_covered(context, known)
    try:
        gated = gate(frontier, context, rate)
    except (ArithmeticError, LookupError, ValueError, TypeError) as error:
        raise UserError(f"{where} holds no usable frontier: {error}", WHERE) from None
    if stored.verdict is Verdict.ABSTAINED:
        notes.append("Every candidate of the sweep failed its confirmation: where it is safe is doubtful.")
    if frontier.rows[known.index(context)].non_monotone:
        notes.append("Trials failed below learning rates that survived: there may be an island of failures.")
    return GateResult(training, stored, risk, gated, tuple(notes))


class _Reader:
    """Reads a configuration as the trainer of its kind would, against what a sweep covered."""

    def __init__(
        self, training: TrainingFile, stored: StoredFrontier, num_rows: int | None, notes: list[str]
    ) -> None:
        self.training, self.stored, self.num_rows, self.notes = training, stored, num_rows, notes
        self.given = training.arguments
        self.is_axolotl = "axolotl" in training.styles
        self.searched = {name for each in stored.frontier.trials for name in each.context.further}

    def learning_rate(self) -> float:
        """Return the peak learning rate."""
        if "learning_rate" not in self.given:
            names = ", ".join(self.training.places)
            raise UserError(f"{names}: no learning_rate", "the gate judges it: write it down")
        return float(self._legal("learning_rate"))

    def context(self) -> Context:
        """Return everything else that the sweep searched."""
        self._check_batch()
        self._check_fixed()
        further = {row.name: self._legal(row.name) for row in FURTHER if row.name in self.searched}
        settings = {
            "precision": self._precision(),
            "warmup_steps": self._warmup(),
            "max_grad_norm": self._legal("max_grad_norm"),
            **further,
        }
        return Context.of(settings)

    def not_covered(self, context: Context, known: Sequence[Context]) -> UserError:
        """Return the error of a context that no trial was planned for."""
        for name, value in context.settings.items():
            values = list(dict.fromkeys(getattr(each, name) for each in known))
            if value not in values:
                shown = ", ".join(each if isinstance(each, str) else number(each) for each in values)
                wrong = value if isinstance(value, str) else number(value)
                message = f"{self.training.where(name)}: {name} {wrong} is not what the sweep covered"
                return UserError(message, f"it covered {shown}; a sweep of your value would tell")
        message = f"{self.training.places[0]}: the sweep planned no trials for {context.label}"
        return UserError(message, f"it covered {'; '.join(each.label for each in known[:8])}")

    def _legal(self, name: str) -> Any:
        row = HYPERPARAMETERS[name]
        value = self.given.get(name, row.usual)
        try:
            return row.read("true" if isinstance(value, bool) else value)  # which float() would take for 1
        except ValueError:
            message = f"{self.training.where(name)}: {name} is {value!r}"
            raise UserError(message, f"write {row.allowed}") from None

    def _flag(self, name: str) -> bool:
        text = str(self.given.get(name, False)).lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        message = f"{self.training.where(name)}: {name} is {self.given[name]!r}"
        raise UserError(message, "write true or false")

    def _precision(self) -> str:
        bf16 = str(self.given.get("bf16", "auto" if self.is_axolotl else "")).lower()
        if self.is_axolotl and (bf16 == "full" or self._flag("bfloat16")):
            return "bf16-pure"
        if self.is_axolotl and self._flag("float16"):
            where = self.training.where("float16")
            raise UserError(
                f"{where}: float16 trains without mixed precision", "no sweep covers that: use fp16"
            )
        is_fp16 = self._flag("fp16")
        if self.is_axolotl and bf16 == "auto":
            is_bf16 = not is_fp16
            if is_bf16:
                self.notes.append("bf16: auto is read as bf16; on a GPU without it axolotl trains in fp16.")
        else:
            is_bf16 = self._flag("bf16")
        if is_bf16 and is_fp16:
            where = self.training.where("bf16")
            raise UserError(f"{where}: both bf16 and fp16 are true", "keep one of them")
        if self.is_axolotl and is_bf16 and not self.given.get("adapter"):
            self.notes.append(
                "axolotl loads a fully trained model in bfloat16, the sweep's bf16 keeps float32."
            )
        own = "bf16" if is_bf16 else "fp16" if is_fp16 else None
        mixed = self._mixed_precision()
        if own and mixed not in {None, own}:
            where = self.training.where("mixed_precision")
            raise UserError(f"{where}: mixed_precision is {mixed}, and {own} is true", "keep one of them")
        return own or mixed or ("tf32" if self._flag("tf32") else "fp32")

    def _mixed_precision(self) -> str | None:
        """Return what accelerate was told; None: nothing, or no mixed precision."""
        value = str(self.given.get("mixed_precision", "no")).lower()
        if value in _FALSE:
            return None
        if value in {"bf16", "fp16"}:
            return value
        where = self.training.where("mixed_precision")
        raise UserError(f"{where}: mixed_precision {value!r} is none that a sweep covers", "bf16, fp16 or no")

    def _warmup(self) -> int:
        """Return the warmup in optimizer steps, as Transformers or axolotl takes it."""
        odd = "lr_quadratic_warmup" if self._flag("lr_quadratic_warmup") else "lr_scheduler_type"
        if odd in self.given and (odd != "lr_scheduler_type" or self._scheduler() == "one_cycle"):
            where = self.training.where(odd)
            raise UserError(f"{where}: its warmup is not linear", "sweeps cover linear warmups alone")
        if self._scheduler() in _NO_WARMUP:
            if self._number("warmup_steps") or self._number("warmup_ratio"):
                self.notes.append(
                    f"The schedule {self._scheduler()} passes over the warmup: read as 0 steps."
                )
            return 0
        steps, ratio = self._number("warmup_steps"), self._number("warmup_ratio")
        if self.is_axolotl:
            return self._axolotl_warmup(steps, ratio)
        if steps >= 1 or not (steps or ratio):
            return int(steps)
        share = steps or ratio
        return warmup_steps(share, self._full_steps("warmup_steps" if steps else "warmup_ratio"))

    def _axolotl_warmup(self, steps: float, ratio: float) -> int:
        if "warmup_steps" in self.given:
            num_steps = int(steps)
        elif "warmup_ratio" in self.given:
            num_steps = int(ratio * self._full_steps("warmup_ratio"))
        else:
            full = self._full_steps("warmup_steps", "axolotl warms up for 3 % of the steps by itself")
            num_steps = min(int(_AXOLOTL_SHARE * full), _AXOLOTL_MOST)
            self.notes.append(f"No warmup is given: axolotl takes {num_steps} steps.")
        return 2 if num_steps == 1 else num_steps

    def _number(self, name: str) -> float:
        value = self.given.get(name, 0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        is_share = name != "warmup_ratio" or (is_number and value < 1)
        if not is_number or value < 0 or not is_share:
            allowed = "from 0 and below 1" if name == "warmup_ratio" else "from 0"
            message = f"{self.training.where(name)}: {name} is {value!r}"
            raise UserError(message, f"write a number {allowed}")
        return float(value)

    def _full_steps(self, name: str, why: str = "") -> int:
        """Return the optimizer steps of the full run, which a share needs."""
        if (steps := self._max_steps()) is not None:
            return steps
        epochs = self._epochs()
        sweep = self.stored.sweep
        arguments = {
            "num_train_epochs": epochs,
            "per_device_train_batch_size": self._legal("per_device_train_batch_size"),
            "gradient_accumulation_steps": self._legal("gradient_accumulation_steps"),
            "dataloader_drop_last": self._flag("dataloader_drop_last"),
        }
        if self.num_rows is not None:
            processes = sweep.resources.num_processes if sweep else self._processes() or 1
            return full_run_steps(Training.model_validate(arguments), self.num_rows, processes)
        same = sweep is not None and sweep.training.num_train_epochs == epochs
        if same and self.stored.max_steps is not None and not self.searched & arguments.keys():
            return self.stored.max_steps  # batch and accumulation are the sweep's: they were compared
        where = self.training.where(name)
        message = f"{where}: {why or f'{name} is a share of the run'}, and how many steps it has is not known"
        hint = "write warmup_steps as a number of steps, or max_steps, or give the number of rows by --rows"
        raise UserError(message, hint)

    def _max_steps(self) -> int | None:
        value = self.given.get("max_steps", -1)
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(
                f"{self.training.where('max_steps')}: max_steps is {value!r}", "write whole steps"
            )
        return value if value > 0 else None

    def _epochs(self) -> float:
        value = self.given.get("num_train_epochs", 3.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            where = self.training.where("num_train_epochs")
            raise UserError(f"{where}: num_train_epochs is {value!r}", "write a number above 0")
        return float(value)

    def _processes(self) -> int | None:
        value = self.given.get("num_processes")
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    def _scheduler(self) -> str:
        return str(self.given.get("lr_scheduler_type", DEFAULT_SCHEDULER)).lower().rpartition(".")[2]

    def _check_fixed(self) -> None:
        """Refuse a configuration that differs from what all trials of the sweep had in common."""
        sweep = self.stored.sweep
        if sweep is None:
            self.notes.append(
                "Only the frontier was kept (no sweep.resolved.yaml beside it): whether batch, optimizer and "
                "what else the sweep fixed are the same was not checked."
            )
            return
        fixed = sweep.fixed_arguments
        optimizer = self._optimizer(fixed.get("optim"))
        self._same("optim", self._optimizer(self.given.get("optim")), optimizer)
        for row in FURTHER:
            if row.name in self.searched or optimizer in row.lacking:
                continue
            ran = fixed.get(row.name)
            self._same(row.name, self._legal(row.name), row.usual if ran is None else ran)
        for name, usual in _ALSO_FIXED.items():
            given = self.given.get(name, usual)
            self._same(name, usual if given in ("", 0, None) else given, fixed.get(name, usual))
        if sweep.budget.schedule == "exact":
            self._same(
                "lr_scheduler_type", self._scheduler(), fixed.get("lr_scheduler_type") or DEFAULT_SCHEDULER
            )
        processes = self._processes()
        if processes is not None:
            self._same("num_processes", processes, sweep.resources.num_processes)
        steps, planned = self._max_steps(), self.stored.max_steps
        if steps is not None and planned is not None and steps > planned:
            self.notes.append(f"The run has {steps} steps, the sweep prepared one of {planned}.")

    def _check_batch(self) -> None:
        if self.is_axolotl and "batch_size" in self.given and "gradient_accumulation_steps" not in self.given:
            message = (
                f"{self.training.where('batch_size')}: batch_size leaves the accumulation to the machine"
            )
            raise UserError(message, "write gradient_accumulation_steps instead")

    def _optimizer(self, value: Any) -> str:
        name = str(value or DEFAULT_OPTIMIZER).lower().rpartition(".")[2]
        return _SAME_OPTIMIZER.get(name, name)

    def _same(self, name: str, given: Any, ran: Any) -> None:
        if given == ran:
            return
        how = "" if name in self.given else " (by default: it is not in the file)"
        message = (
            f"{self.training.where(name)}: {name} is {given!r}{how}, and every trial of the sweep had {ran!r}"
        )
        raise UserError(message, "the frontier says nothing of it: run a sweep with your value")
