"""The guard for anyone's full run: raise, stop or warn before the first bad update, and keep its batch."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from transformers.integrations.neftune import deactivate_neftune
from transformers.trainer_utils import TrainOutput

from stabsearch.capture.store import BundleStore
from stabsearch.capture.weights import nonfinite_weights
from stabsearch.trial.guard import BadNumber
from stabsearch.trial.instrument import Guard, TrainingBroke
from stabsearch.trial.keeping import Told, keep_bundle
from stabsearch.trial.rerun import Rerun

if TYPE_CHECKING:
    from transformers import Trainer

    from stabsearch.capture.manifest import Digest

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
    A checkpoint is written only while all weights are finite: an optimizer can divide by zero.

    Args:
        trainer: any Trainer, before ``train()``.
        on_failure: ``raise``: ``train()`` raises ``TrainingBroke``. ``stop``: ``train()`` returns; nothing
            is evaluated or saved any more, and the weights are those from before the bad update.
            ``warn``: the bad update is left out with a ``NonfiniteUpdate`` warning, and training goes on.
        bundle_dir: where to keep the first bad batch of each kind, for ``stabsearch replay``; None: nowhere.
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
        self.guard = Guard(trainer, on_bad=self._on_bad)
        if on_failure == "warn":
            trainer.args.logging_nan_inf_filter = shows_mean  # one NaN would fill every later log
        self._save = trainer._save_checkpoint
        trainer._save_checkpoint = self._save_if_sound

    def _on_bad(self, bad: BadNumber) -> None:
        folder = self._keep(bad)
        if self._on_failure == "warn":
            place = f"; its batch is kept in {folder}" if folder else ""
            warnings.warn(f"{bad.message}: update left out{place}", NonfiniteUpdate, stacklevel=2)
            return
        broke = TrainingBroke(bad)
        broke.bundle = folder
        raise broke

    def _keep(self, bad: BadNumber) -> Path | None:
        if self._store is None:
            return None
        told = Told(again=self._digest)
        return keep_bundle(self.guard, self._store, f"step-{bad.step:06d}", told).folder

    def _digest(self) -> Digest:
        update = self.guard.suspect
        with self.guard.paused():
            return Rerun(self.guard.trainer, update.window).as_trained(update.loss_scale).digest

    def _save_if_sound(self, *args: Any, **kwargs: Any) -> Any:
        """Save a checkpoint, unless the optimizer made weights of it that no later step can mend."""
        trainer, log = self.guard.trainer, self.guard.log
        names = nonfinite_weights(trainer.model)
        if not names:
            return self._save(*args, **kwargs)
        weight = trainer.model.get_parameter(names[0]).detach()
        value = float(weight[~weight.isfinite()][0])
        log.bad = BadNumber("weight", trainer.state.global_step, log.micro_batches, value)
        if self._on_failure != "warn":
            raise TrainingBroke(log.bad)
        warnings.warn(
            f"{log.bad.message}, in {names[0]}: no checkpoint written", NonfiniteUpdate, stacklevel=2
        )
        return None


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
            return TrainOutput(trainer.state.global_step, mean, {"stopped": broke.bad.message})
        return output

    trainer.train = train


def _end(trainer: Any) -> None:
    """Do what a Trainer does last, but for evaluating and saving."""
    trainer.is_in_train = False
    trainer.control = trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
    if trainer.neftune_noise_alpha is not None:
        deactivate_neftune(trainer.model, trainer.neftune_hook_handle, trainer.accelerator)
