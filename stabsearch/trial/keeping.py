"""From a broken training to its bundle: what to write of a Trainer, and whether there is room."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.bits import bits
from stabsearch.capture.buffers import restore_buffers
from stabsearch.capture.bundle import BATCH, INITIAL, WEIGHTS, write_bundle
from stabsearch.capture.manifest import (
    Digest,
    FirstBad,
    Manifest,
    Suspects,
)
from stabsearch.capture.store import BundleStore, Kept
from stabsearch.capture.weights import num_bytes, weights_of
from stabsearch.trial.described import model_ref, numerics_of, trainer_ref
from stabsearch.trial.machine import machine
from stabsearch.trial.stored_batch import fingerprint, stored_window

if TYPE_CHECKING:
    from stabsearch.trial.attribution import Attribution
    from stabsearch.trial.instrument import Guard, Update


@dataclasses.dataclass(frozen=True)
class Told:
    """What is known of a failure beside the Trainer's own state."""

    attribution: Attribution | None = None
    again: Callable[[], Digest] = Digest
    """Runs the step again at once, when it comes to that; an attribution has done it."""
    initial: torch.nn.Module | None = None
    """The model as it was before the training."""
    plan: Mapping[str, Any] | None = None
    error: str = ""
    """What the step raised; empty when it met a bad number."""
    trust_remote_code: bool = False


def keep_bundle(guard: Guard, store: BundleStore, name: str, told: Told) -> Kept:
    """Return where the failure is kept, having written it unless one of its kind is there.

    One bundle is kept per signature: what was bad, in which precision, and for which cause; where nobody
    looked for causes (a watched training), in which batch. Nothing that goes wrong here is raised: the
    failure of the training is the result, not that of writing it down.
    """
    # updates that the loss scaler skipped are over and done with when a step raises
    update = guard.current if told.error else guard.suspect
    model = guard.trainer.accelerator.unwrap_model(guard.trainer.model, keep_torch_compile=False)
    if update.window:
        restore_buffers(model, update.window[0].buffers)
    try:
        signature = _signature(guard, update, told)
        known = store.find(signature)
        if known is not None:
            return Kept(known, f"the same failure is kept in {known.name}")
        manifest, tensors = _contents(guard, update, model, told)
        size = sum(map(num_bytes, tensors.values()))
        return store.keep(name, signature, size, lambda path: write_bundle(path, manifest, tensors))
    except Exception as error:  # noqa: BLE001 - disks, and whatever a user's model, collator or tokenizer raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Kept(None, f"the bundle could not be written: {reason}")


def _contents(
    guard: Guard, update: Update, model: Any, told: Told
) -> tuple[Manifest, dict[str, dict[str, torch.Tensor]]]:
    weights, aliases = weights_of(model)
    batch = stored_window(guard.trainer, update.window)
    tensors = {WEIGHTS: weights, BATCH: batch.tensors}
    if told.initial is not None:
        tensors[INITIAL] = weights_of(told.initial)[0]
    bad, attribution = _first_bad(guard, update, told.error), told.attribution
    manifest = Manifest(
        bad=bad,
        model=model_ref(model),
        trainer=trainer_ref(guard.trainer, len(update.window)),
        numerics=numerics_of(guard.trainer, update.loss_scale),
        window=batch.refs,
        aliases=aliases,
        digest=attribution.digest if attribution else _digest(told),
        outcome=attribution.outcome.value if attribution else "",
        cause=attribution.cause.value if attribution else "",
        suspects=attribution.suspects if attribution else Suspects(),
        signature=_signature(guard, update, told),
        plan=told.plan,
        learning_rate=_learning_rate(guard, bad),
        unstorable=batch.unstorable,
        trust_remote_code=told.trust_remote_code,
        machine=machine(),
    )
    return manifest, tensors


def _digest(told: Told) -> Digest:
    """Return what the step gives when it is run again; nothing when there is no memory left for that."""
    try:
        return told.again()
    except Exception:  # noqa: BLE001 - memory, or a user's step: the bundle can be replayed all the same
        return Digest()


def _learning_rate(guard: Guard, bad: FirstBad) -> float:
    """Return the learning rate of the bad step; a schedule goes on while updates are skipped."""
    if bad.kind == "skipped":
        return guard.log.learning_rates[bad.step - guard.log.steps_before - 1]
    return max((float(group["lr"]) for group in guard.trainer.optimizer.param_groups), default=0.0)


def _signature(guard: Guard, update: Update, told: Told) -> str:
    """Return what kind of failure it is; rows that break any batch are a kind each."""
    bad, attribution = _first_bad(guard, update, told.error), told.attribution
    cause, rows = "", ""
    if attribution:
        cause = attribution.cause.value
        rows = ",".join(map(str, attribution.suspects.rows)) if attribution.suspects.is_specific else ""
    elif told.plan is None:  # a watched training: no cause is known, and any other batch may have another
        rows = fingerprint(update.window)
    return "|".join(
        (bad.kind, bad.text, numerics_of(guard.trainer, update.loss_scale).precision, cause, rows)
    )


def _first_bad(guard: Guard, update: Update, error: str) -> FirstBad:
    bad, last = guard.log.bad, update.window[-1].number if update.window else guard.log.micro_batches
    if error:
        return FirstBad("error", "", error, guard.log.step, last)
    if bad is None:
        return FirstBad("skipped", bits(math.inf), "inf", update.step, last)
    return FirstBad(bad.kind, bits(bad.value), str(bad.value), bad.step, bad.micro_batch)
