"""A Ray cluster on loopback: a head without a place for trials, and nodes that may be killed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from experiments.chaos.story import Nodes
from experiments.on_loopback.ray_cluster import ray_cluster

DEATH = {
    "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "5000", "RAY_health_check_failure_threshold": "5",
}  # fmt: skip
"""How soon a node that is cut off counts as dead; one whose processes are killed is noticed at once."""


@contextlib.contextmanager
def cluster() -> Iterator[Nodes]:
    """Run a head without cores of its own, and one node with two."""
    joins = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}  # without it Ray refuses further nodes
    with ray_cluster("--num-cpus", "0", variables={**DEATH, **joins}) as ray:
        nodes = Nodes(ray.address, lambda: ray.add_node("--num-cpus", "2").pid, ray.environment)
        nodes.start()
        yield nodes
