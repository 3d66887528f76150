"""What torch has one setting of per process, as a trial finds it: whatever ran before in this worker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch

Reader: TypeAlias = Callable[[], Any]
Writer: TypeAlias = Callable[[Any], Any]


def _attribute(owner: Any, name: str) -> tuple[Reader, Writer]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _autocast(device: str) -> tuple[tuple[Reader, Writer], ...]:
    return (
        (partial(torch.is_autocast_enabled, device), partial(torch.set_autocast_enabled, device)),
        (partial(torch.get_autocast_dtype, device), partial(torch.set_autocast_dtype, device)),
    )


def _are_deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _make_deterministic(asked: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(asked[0], warn_only=asked[1])


_BACKENDS: Any = torch.backends
SWITCHES: tuple[tuple[Reader, Writer], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (_are_deterministic, _make_deterministic),
    *_autocast("cpu"),
    *_autocast("cuda"),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    *(_attribute(_BACKENDS.cudnn, name) for name in ("enabled", "benchmark", "deterministic")),
    (_BACKENDS.cuda.flash_sdp_enabled, _BACKENDS.cuda.enable_flash_sdp),
    (_BACKENDS.cuda.mem_efficient_sdp_enabled, _BACKENDS.cuda.enable_mem_efficient_sdp),
    (_BACKENDS.cuda.math_sdp_enabled, _BACKENDS.cuda.enable_math_sdp),
    (_BACKENDS.cuda.cudnn_sdp_enabled, _BACKENDS.cuda.enable_cudnn_sdp),
)  # fmt: skip
"""Each decides how, or whether, gradients and weights come out; a trial's own are set by its arguments.

Threads, seeds and the precision of float32 products are not among them: a trial sets these itself.
"""

_at_first: list[Any] = []


def reset_switches() -> None:
    """Put every switch to where the first trial of this process found it.

    Collators, models and callbacks may turn one and leave it so; the next trial would train otherwise
    than in a process of its own.
    """
    if not _at_first:
        _at_first.extend(read() for read, _ in SWITCHES)
    for (read, write), value in zip(SWITCHES, _at_first, strict=True):
        if read() != value:
            write(value)
