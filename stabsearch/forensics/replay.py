"""A bundle's bad step once more: is it bad again, bit by bit, and what changes when one thing is changed?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import torch

from stabsearch.capture.manifest import Digest, FirstBad, Numerics, Suspects
from stabsearch.capture.micro_batch import MicroBatch, rng_kept
from stabsearch.errors import UserError
from stabsearch.forensics.localise import Localisation, localise
from stabsearch.forensics.rebuild import Rebuilt, rebuild
from stabsearch.records import PRECISIONS
from stabsearch.trial.machine import machine
from stabsearch.trial.narrowing import guilty_rows
from stabsearch.trial.precision import running_in
from stabsearch.trial.rerun import Rerun, Seen

if TYPE_CHECKING:
    from stabsearch.capture.bundle import Bundle


AS_CAPTURED = "leave it out to replay it as it was captured"


class Verdict(StrEnum):
    """How much of a failure came back."""

    BIT_EXACT = "bit-exact"
    """Losses, outputs and gradients are the same in every bit."""
    REPRODUCED = "reproduced"
    """Bad again, with other bits: another machine, library or setting."""
    NOT_REPRODUCED = "not reproduced"
    """Everything stayed finite."""


@dataclass(frozen=True)
class Options:
    """What a replay changes; everything else is as it was captured."""

    precision: str | None = None
    """One of ``PRECISIONS``; None: as captured."""
    weights: Literal["captured", "initial"] = "captured"
    rows: tuple[int, ...] = ()
    """Only these rows: numbers in the training data where known, places in the batch otherwise."""
    device: str | None = None
    """``cpu`` or ``cuda``; None: as captured, or the CPU where this machine has no such device."""
    trust_code: bool = False
    """Import classes from outside of torch and Transformers."""

    @property
    def changes_nothing(self) -> bool:
        """True when the step is run as it was captured."""
        return self.precision is None and self.weights == "captured" and not self.rows


@dataclass(frozen=True)
class Replayed:
    """What a replay showed."""

    verdict: Verdict
    precision: str
    weights: str
    device: str
    seen: Seen
    expected: Digest
    localisation: Localisation | None
    """Where the first non-finite number comes from; None when nothing was bad."""
    suspects: Suspects
    """Rows without which the step is finite, on these weights and in this precision."""
    caveats: tuple[str, ...] = ()
    """What differs from the captured run, one sentence each."""


def replay(bundle: Bundle, options: Options = Options()) -> Replayed:
    """Return what a bundle's step gives in this process, whose threads and random numbers are left alone.

    Raises:
        UserError: the bundle cannot be rebuilt here, or an option does not fit it.
    """
    numerics = bundle.manifest.numerics
    precision = _checked(options.precision or numerics.precision)
    device = _device(options.device, numerics.device)
    chosen = _chosen(bundle, options.rows)
    scale = numerics.loss_scale if precision == "fp16" and numerics.precision == "fp16" else None
    with rng_kept(), _as_captured(numerics):
        rebuilt = rebuild(bundle, options.weights, device, options.trust_code)
        window = [_on(device, each.micro_batch, options) for each in chosen]
        step = _Step(rebuilt, window, precision, scale, keeps_weights=options.precision is None)
        seen = step.seen()
        verdict = _verdict(bundle, seen, options)
        place = step.first_bad() if verdict is not Verdict.NOT_REPRODUCED else None
        return Replayed(
            verdict=verdict,
            precision=precision,
            weights=options.weights,
            device=device,
            seen=seen,
            expected=bundle.manifest.digest,
            localisation=step.located(place) if place is not None else None,
            suspects=step.suspects(place, chosen[place]) if place is not None else Suspects(),
            caveats=_caveats(bundle, device, seen),
        )


@contextmanager
def _as_captured(numerics: Numerics) -> Iterator[None]:
    """Set what decides bits beside weights and batch, and set it back."""
    threads = torch.get_num_threads()
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    if numerics.deterministic_algorithms and numerics.device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS refuses without
    torch.set_num_threads(numerics.num_threads)
    torch.use_deterministic_algorithms(numerics.deterministic_algorithms)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(is_deterministic, warn_only=only_warns)


def _checked(precision: str) -> Any:
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r} (known: {', '.join(PRECISIONS)})", AS_CAPTURED)
    return precision


def _device(asked: str | None, captured: str) -> str:
    device = asked or (captured if captured != "cuda" or torch.cuda.is_available() else "cpu")
    if device not in {"cpu", "cuda"}:
        raise UserError(f"unknown device {device!r} (known: cpu, cuda)", AS_CAPTURED)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("this machine shows no CUDA device", "replay it with --device cpu")
    return device


@dataclass(frozen=True)
class _Chosen:
    """Some rows of a micro-batch of the window."""

    number: int
    """Which micro-batch of the window, from 0."""
    micro_batch: MicroBatch
    places: tuple[int, ...]
    """Where its rows stand in the whole micro-batch."""


def _chosen(bundle: Bundle, rows: tuple[int, ...]) -> list[_Chosen]:
    """Return the window, or only the micro-batches that hold some rows, with these rows alone."""
    window = bundle.window()
    everything = [_Chosen(i, each, tuple(range(each.num_rows))) for i, each in enumerate(window)]
    if not rows:
        return everything
    known = sorted({row for each in window for row in _numbers(each)})
    missing = [row for row in rows if row not in known]
    if missing:
        raise UserError(
            f"row {missing[0]} is not in this bundle", f"it holds rows {', '.join(map(str, known))}"
        )
    picked = [_with_rows(each, rows) for each in everything]
    return [each for each in picked if each.places]


def _with_rows(chosen: _Chosen, rows: tuple[int, ...]) -> _Chosen:
    places = [place for place, row in enumerate(_numbers(chosen.micro_batch)) if row in rows]
    return _Chosen(chosen.number, chosen.micro_batch.only(places), tuple(places))


def _numbers(micro_batch: MicroBatch) -> tuple[int, ...]:
    return micro_batch.rows if micro_batch.rows is not None else tuple(range(micro_batch.num_rows))


def _on(device: str, micro_batch: MicroBatch, options: Options) -> MicroBatch:
    """Return a micro-batch for a device; the Trainer moves the inputs itself."""
    num_items = micro_batch.num_items
    moved = num_items.to(device) if isinstance(num_items, torch.Tensor) else num_items
    # initial weights go with their own running statistics
    buffers = micro_batch.buffers if options.weights == "captured" else {}
    return replace(micro_batch, num_items=moved, buffers=buffers)


def _verdict(bundle: Bundle, seen: Seen, options: Options) -> Verdict:
    bad, expected = bundle.manifest.bad, bundle.manifest.digest
    if seen.is_finite or not _is_same_failure(bad, seen):
        return Verdict.NOT_REPRODUCED
    if bad.kind == "error":  # there is no loss whose bits could be compared
        is_exact = bad.text.startswith(seen.error)
    else:
        is_exact = expected.outputs != "" and seen.digest == expected
    return Verdict.BIT_EXACT if is_exact and options.changes_nothing else Verdict.REPRODUCED


def _is_same_failure(bad: FirstBad, seen: Seen) -> bool:
    """Return whether a step that failed again failed in the captured way: it raised the same, or nothing."""
    if bad.kind != "error":
        return not seen.error
    return seen.error.partition(":")[0] == bad.text.partition(":")[0]


@dataclass(frozen=True)
class _Step:
    """A bad step that can be run as often as it takes."""

    rebuilt: Rebuilt
    window: list[MicroBatch]
    precision: Any
    loss_scale: float | None
    keeps_weights: bool
    """The weights stay in the dtype that they were stored in: as captured."""

    def seen(self) -> Seen:
        return self._run(self.window)

    def first_bad(self) -> int:
        """Return the place of the first micro-batch that is bad by itself, else of the last one."""
        bad = (place for place, each in enumerate(self.window) if self._is_bad(each))
        return next(bad, len(self.window) - 1)

    def suspects(self, place: int, chosen: _Chosen) -> Suspects:
        """Return the rows without which a micro-batch is finite, as they stand in the captured one."""
        micro_batch = self.window[place]
        if micro_batch.num_rows < 2 or not self._is_bad(micro_batch):
            return Suspects()
        found, is_specific = guilty_rows(
            micro_batch.num_rows, lambda places: self._is_bad(micro_batch.only(places))
        )
        rows = micro_batch.rows
        return Suspects(
            places=tuple(chosen.places[i] for i in found),
            rows=tuple(rows[i] for i in found) if rows is not None else (),
            micro_batch=chosen.number,
            is_specific=is_specific,
        )

    def located(self, place: int) -> Localisation:
        """Return where the first non-finite number of a micro-batch comes from."""
        trainer, model, micro_batch = self.rebuilt.trainer, self.rebuilt.model, self.window[place]
        with step_of(trainer, model, micro_batch, self.precision, keeps_weights=self.keeps_weights) as step:
            return localise(model, step, loss_scale=self.loss_scale or 1.0, inputs=micro_batch.inputs)

    def _is_bad(self, micro_batch: MicroBatch) -> bool:
        return not self._run((micro_batch,)).is_finite

    def _run(self, window: Sequence[MicroBatch]) -> Seen:
        rerun, keeps_weights = Rerun(self.rebuilt.trainer, window), self.keeps_weights
        return rerun.seen(self.rebuilt.model, self.precision, self.loss_scale, keeps_weights=keeps_weights)


@contextmanager
def step_of(
    trainer: Any, model: Any, micro_batch: MicroBatch, precision: Any, *, keeps_weights: bool = False
) -> Iterator[Any]:
    """Give a function that runs one micro-batch's forward and returns its loss, always the same way."""

    def step() -> torch.Tensor:
        micro_batch.rng.restore()
        inputs = trainer._prepare_inputs(dict(micro_batch.inputs))
        loss: torch.Tensor = trainer.compute_loss(model, inputs, num_items_in_batch=micro_batch.num_items)
        return loss

    with running_in(model, precision, trainer.args.device.type, keeps_weights=keeps_weights):
        yield step


def _caveats(bundle: Bundle, device: str, seen: Seen) -> tuple[str, ...]:
    manifest, here = bundle.manifest, machine()
    found = [
        f"{name} {here[name]} here, {manifest.machine[name]} where it was captured"
        for name in ("torch", "transformers")
        if manifest.machine.get(name, here[name]) != here[name]
    ]
    if seen.error and manifest.bad.kind != "error":
        found.append(f"here the step raised {seen.error}")
    if device != manifest.numerics.device:
        found.append(f"on {device}, captured on {manifest.numerics.device}")
    capability = torch.backends.cpu.get_cpu_capability()
    if device == "cpu" and capability != manifest.numerics.cpu_capability:
        found.append(f"processor with {capability}, captured with {manifest.numerics.cpu_capability}")
    if manifest.model.hooked:
        names = ", ".join(manifest.model.hooked[:3])
        found.append(f"the model carried hooks that are not stored: {names}")
    return tuple(found)
