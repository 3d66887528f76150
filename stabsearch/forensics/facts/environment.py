"""The machine that trains: disk, memory, device, precisions, tracking store."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stabsearch.forensics.facts.probe import free_memory

TIMEOUT_S = 3.0  # chosen: a server that answers later would hold up every trial


@dataclass(frozen=True)
class EnvironmentFacts:
    """What the machine offers, and what is asked of it."""

    output_dir: str = "."
    free_disk: int | None = None
    """Bytes free where results are written; None: not known."""
    is_writable: bool = True
    free_memory: int | None = None
    """Bytes of memory free on the device that trains; None: not known, or another machine."""
    num_weights: int = 0
    num_trained: int = 0
    precisions: tuple[str, ...] = ("fp32",)
    device: str = "cpu"
    """Where it trains."""
    has_unused_gpu: bool = False
    """A GPU is there, and it trains on the CPU."""
    runs_fp16: bool = True
    """fp16 is really fp16 on the device."""
    runs_bf16_fast: bool = True
    """The device multiplies bf16 by itself."""
    runs_tf32: bool = True
    tracking: str = ""
    """Address of the tracking store; empty: none."""
    tracking_problem: str = ""
    """Why it cannot be used; empty when it can, or was not asked."""

    @property
    def needed_memory(self) -> int:
        """Return the bytes of weights, gradients and Adam's two moments in fp32, without activations."""
        return 4 * self.num_weights + 12 * self.num_trained


def trainer_environment(
    trainer: Any, precisions: Sequence[str], num_weights: int, num_trained: int
) -> EnvironmentFacts:
    """Return what the machine offers to a Trainer of its own."""
    device = trainer.args.device.type
    has_scaler = getattr(trainer.accelerator, "scaler", None) is not None
    return EnvironmentFacts(
        **disk(Path(trainer.args.output_dir)),
        **device_facts(device, runs_fp16=has_scaler or device != "cpu"),
        num_weights=num_weights,
        num_trained=num_trained,
        precisions=tuple(precisions),
    )


def disk(folder: Path) -> dict[str, Any]:
    """Return whether a folder, or where it would be made, can be written, and what is free there."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    is_writable = place.is_dir() and os.access(place, os.W_OK)
    try:
        free: int | None = shutil.disk_usage(place).free
    except OSError:
        free = None
    return {"output_dir": str(folder), "free_disk": free, "is_writable": is_writable}


def device_facts(device: str, *, runs_fp16: bool) -> dict[str, Any]:
    """Return what a device of this machine can do."""
    import torch

    has_gpu = torch.cuda.is_available()
    on_gpu = device == "cuda" and has_gpu
    return {
        "device": device,
        "free_memory": torch.cuda.mem_get_info()[0] if on_gpu else free_memory() if device == "cpu" else None,
        "has_unused_gpu": has_gpu and device == "cpu",
        "runs_fp16": runs_fp16,
        "runs_bf16_fast": _has_bf16(on_gpu),
        "runs_tf32": on_gpu and torch.cuda.get_device_capability() >= (8, 0),
    }


def _has_bf16(on_gpu: bool) -> bool:
    import torch

    if on_gpu:
        return bool(torch.cuda.get_device_capability() >= (8, 0))
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(check is None or check() or (tiles is not None and tiles()))


def tracking_problem(uri: str) -> str:
    """Return why a tracking store cannot be used, in a few words; empty when it answers.

    A server is asked for a connection only, a local store for a folder that can be written.
    """
    parts = urlsplit(uri)
    if parts.scheme in {"http", "https"}:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=TIMEOUT_S).close()
        except OSError as error:
            return f"no connection to {parts.hostname}:{port}: {error}"
        return ""
    if not uri.startswith("sqlite:///"):
        return ""  # a database of its own: its driver knows how to ask
    folder = Path(uri.removeprefix("sqlite:///")).absolute().parent
    return "" if disk(folder)["is_writable"] else f"{folder} cannot be written"
