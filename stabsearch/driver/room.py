"""How many trials have room on the nodes of a Ray, now and once others have joined.

Importing this imports Ray.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.placement_group import placement_group, remove_placement_group

from stabsearch.errors import UserError

NAMES = {"cpu": "CPU", "gpu": "GPU"}
JOIN_S = 30.0  # chosen: a node that is started together with its head joins later than a driver does
GROW_S = 900.0  # chosen: clouds need minutes for a machine and its image
MIRROR = "node_"
"""Begins the node types of a cluster that does not autoscale: Ray shows each node as its own type."""
STATUS = b"__autoscaling_status"


def slots(need: Mapping[str, float]) -> int:
    """Return how many trials have room at a time; each is on one node, with all it needs."""
    return sum(_on_node(node, need) for node in _offers())


def wait_for_room(need: Mapping[str, float], is_stopped: Callable[[], bool]) -> int:
    """Return how many trials have room at a time once one has, having asked the cluster for it.

    A cluster that autoscales is given minutes to grow from nothing; one that does not, the time in which
    nodes that are being started join.

    Args:
        need: what one trial takes.
        is_stopped: whether nobody waits any more.

    Raises:
        UserError: no node came that has room for a trial.
        KeyboardInterrupt: stopped meanwhile.
    """
    grows = is_growing(_internal_kv_get(STATUS))
    deadline = time.monotonic() + (GROW_S if grows else JOIN_S)
    asked = placement_group([{NAMES[kind]: amount for kind, amount in need.items()}])
    try:
        while slots(need) < 1:
            if is_stopped():
                raise KeyboardInterrupt
            if time.monotonic() > deadline:
                raise no_room(need, grows=grows)
            asked.wait(1.0)
    finally:
        remove_placement_group(asked)
    return slots(need)


def is_growing(status: bytes | None) -> bool:
    """Return whether Ray's own note of its autoscaler tells of one that may start nodes."""
    report = json.loads(status or b"{}").get("autoscaler_report") or {}
    groups = ("active_nodes", "idle_nodes", "pending_launches")
    types = [name for group in groups for name in report.get(group) or ()]
    return any(not name.startswith(MIRROR) for name in types)


def no_room(need: Mapping[str, float], *, grows: bool = False) -> UserError:
    """Return what to tell where not a single trial has room."""
    largest = {kind: max((node[kind] for node in _offers()), default=0.0) for kind in need}
    waited = f", and in {GROW_S / 60:g} minutes no node came that has it" if grows else ""
    return UserError(
        f"no room for a single trial: it needs {dict(need)} on one node, Ray has {largest}{waited}",
        "lower resources.cpus_per_trial, gpus_per_trial or processes_per_trial", key=("resources",),
    )  # fmt: skip


def _on_node(node: Mapping[str, float], need: Mapping[str, float]) -> int:
    """Return how many trials have room on a node.

    Ray counts in ten-thousandths, in which three tenths hold three times one tenth; floats say 2.9999.
    """
    return min(math.floor(round(node[kind] / amount, 4)) for kind, amount in need.items())


def _offers() -> Iterable[dict[str, float]]:
    return [_offered(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _offered(has: Mapping[str, Any]) -> dict[str, float]:
    return {kind: float(has.get(name, 0.0)) for kind, name in NAMES.items()}
