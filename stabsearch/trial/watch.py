"""The guard for anyone's full run: raise, stop or warn before the first bad update, and keep its batch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from transformers import TrainerCallback
from transformers.integrations.neftune import deactivate_neftune
from transformers.trainer_utils import TrainOutput

from stabsearch.capture.manifest import Digest
from stabsearch.capture.store import BundleStore, Kept
from stabsearch.capture.weights import first_nonfinite_weight, nonfinite_weights
from stabsearch.trial.attribution import is_bad_alone
from stabsearch.trial.guard import BadNumber
from stabsearch.trial.instrument import Guard, TrainingBroke
from stabsearch.trial.keeping import Told, keep_bundle
from stabsearch.trial.rerun import Rerun

if TYPE_CHECKING:
    from transformers import Trainer

__all__ = ["NonfiniteUpdate", "TrainingBroke", "watch"]

AnyTrainer = TypeVar("AnyTrainer", bound="Trainer")
OnFailure = Literal["raise", "stop", "warn"]
DEFAULT_MAX_GIB = 10.0  # chosen: a few captures of a one-billion-parameter model in fp32


class NonfiniteUpdate(UserWarning):
    """An update was left out because its loss or gradient was not finite."""


def watch(
    trainer: AnyTrainer,
    on_failure: OnFailure = "raise",
    bundle_dir: str | Path | None = None,
    max_bundles_gib: float = DEFAULT_MAX_GIB,
) -> AnyTrainer:
    """Return the same Trainer, guarded: no update with a non-finite loss or gradient reaches the weights.

    The raw loss of every micro-batch is checked before it is back-propagated, the gradient norm of
    every update before the optimizer steps. Nothing else changes: a training that stays finite ends
    with bitwise the same weights. Updates that the fp16 loss scaler skips are normal and go on.
    An optimizer can still make NaN of finite gradients (it divides by zero). That is looked for before
    each checkpoint, at the end of the training, and before ``save_model``: such weights are never written.

    Args:
        trainer: any Trainer, before ``train()``.
        on_failure: ``raise``: ``train()`` raises ``TrainingBroke``. ``stop``: ``train()`` returns; nothing
            is evaluated or saved any more, and the weights are those from before the bad update.
            ``warn``: the bad update is left out with a ``NonfiniteUpdate`` warning, and training goes on.
        bundle_dir: where to keep each bad batch, once, for ``stabsearch replay``; None: nowhere.
        max_bundles_gib: disk budget of ``bundle_dir``, GiB.

    Raises:
        ValueError: ``on_failure`` is none of the three.

    Source: the order of Transformers' training loop, ``Trainer._inner_training_loop`` of 5.23.
    """
    if on_failure not in {"raise", "stop", "warn"}:
        raise ValueError(f"on_failure is 'raise', 'stop' or 'warn', got {on_failure!r}")
    watcher = _Watcher(trainer, on_failure, bundle_dir, max_bundles_gib)
    if on_failure == "stop":
        _return_when_stopped(trainer, watcher.guard)
    return trainer


class _Watcher:
    """Answers a bad number as the user asked."""

    def __init__(
        self, trainer: Trainer, on_failure: OnFailure, bundle_dir: str | Path | None, max_gib: float
    ) -> None:
        self._on_failure = on_failure
        self._store = BundleStore(Path(bundle_dir), int(max_gib * 2**30)) if bundle_dir is not None else None
        shows_mean = trainer.args.logging_nan_inf_filter
        # a bad update can be left out only before it is taken
        self.guard = Guard(trainer, on_bad=self._on_bad, form="plain" if on_failure == "warn" else "auto")
        if on_failure == "warn":
            trainer.args.logging_nan_inf_filter = shows_mean  # one NaN would fill every later log
        for name, refused in (
            ("_save_checkpoint", "no checkpoint written"),
            ("save_model", "no model written"),
        ):
            setattr(trainer, name, self._if_sound(getattr(trainer, name), refused))
        trainer.callback_handler.callbacks.insert(0, _AtTheEnd(self))  # before those that publish the model

    def _on_bad(self, bad: BadNumber) -> None:
        names = nonfinite_weights(self.guard.trainer.model)
        kept = self._kept_by_one(bad)
        notes = [_bad_before(names)] if names else []
        if kept.folder is None and kept.note:
            notes.append(f"its batch is not kept: {kept.note}")
        if self._on_failure != "warn":
            raise TrainingBroke(bad, kept.folder, "; ".join(notes))
        if kept.folder:
            notes.append(f"its batch is kept in {kept.folder}")
        warnings.warn("; ".join([f"{bad.message}: update left out", *notes]), NonfiniteUpdate, stacklevel=2)

    def _kept_by_one(self, bad: BadNumber) -> Kept:
        """Return where the batch is kept: of several processes, by the one whose numbers were bad."""
        ranks = self.guard.ranks
        if self._store is None or ranks.number == 1:
            return self._keep(bad)
        whose = ranks.first(is_bad_alone(self.guard)) if bad.process is None else bad.process
        return ranks.told_by(whose, self._keep(bad) if ranks.index == whose else Kept(None))

    def _keep(self, bad: BadNumber) -> Kept:
        if self._store is None:
            return Kept(None)
        if self.guard.ranks.is_sharded:
            return Kept(None, "each process holds a part of the weights only")
        told = Told(again=self._digest)
        return keep_bundle(self.guard, self._store, f"step-{bad.step:06d}", told)

    def _digest(self) -> Digest:
        update = self.guard.suspect
        with self.guard.paused():
            return Rerun(self.guard.trainer, update.window).as_trained(update.loss_scale).digest

    def _if_sound(self, save: Callable[..., Any], refused: str) -> Callable[..., Any]:
        def saved(*args: Any, **kwargs: Any) -> Any:
            return save(*args, **kwargs) if self.are_weights_sound(refused) else None

        return saved

    def are_weights_sound(self, otherwise: str) -> bool:
        """Return whether all weights are finite: what an optimizer spoiled, no later step can mend.

        Args:
            otherwise: what does not happen when they are not; for a warning.

        Raises:
            TrainingBroke: they are not, and the training is to end so.
        """
        self.guard.settle()
        trainer, log = self.guard.trainer, self.guard.log
        spoiled = self._spoiled()
        if spoiled is None:
            return True
        name, value = spoiled
        log.bad = BadNumber("weight", trainer.state.global_step, log.micro_batches, value)
        # a training that was to stop without an exception is over: what follows it shall not raise either
        if self._on_failure == "raise" or (self._on_failure == "stop" and trainer.is_in_train):
            raise TrainingBroke(log.bad)
        warnings.warn(f"{log.bad.message}, in {name}: {otherwise}", NonfiniteUpdate, stacklevel=3)
        return False

    def _spoiled(self) -> tuple[str, float] | None:
        """Return the first weight that is not finite and a number of it; None when all are."""
        found, ranks = first_nonfinite_weight(self.guard.trainer.model), self.guard.ranks
        if not ranks.is_sharded:
            return found
        return ranks.told_by(ranks.first(found is not None), found)


class _AtTheEnd(TrainerCallback):  # type: ignore[misc]
    def __init__(self, watcher: _Watcher) -> None:
        self._watcher = watcher

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._watcher.guard.trainer.is_in_train:  # not when a training was stopped, which is known
            self._watcher.are_weights_sound("the training ends with them")


def _bad_before(names: list[str]) -> str:
    tensors = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
    return f"the weights were not finite before this step: {tensors}, first {names[0]}"


def _return_when_stopped(trainer: Any, guard: Guard) -> None:
    original = trainer.train

    def train(*args: Any, **kwargs: Any) -> TrainOutput:
        try:
            output: TrainOutput = original(*args, **kwargs)
        except TrainingBroke as broke:
            broke.__traceback__ = None  # it holds on to the activations
            _end(trainer)
            losses = [loss for loss in guard.log.losses if math.isfinite(loss)]
            mean = sum(losses) / len(losses) if losses else math.nan
            return TrainOutput(trainer.state.global_step, mean, {"stopped": str(broke)})
        return output

    trainer.train = train


def _end(trainer: Any) -> None:
    """Do what a Trainer does last, but for evaluating and saving."""
    trainer.is_in_train = False
    trainer.control = trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
    if trainer.neftune_noise_alpha is not None:
        deactivate_neftune(trainer.model, trainer.neftune_hook_handle, trainer.accelerator)
