"""How many trials a cluster has room for."""

from __future__ import annotations

from typing import Any

import pytest

from stabsearch.driver.environment import prepare


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Any:
    prepare(is_local=True)
    from stabsearch.driver import room as module

    def of(*nodes: dict[str, float], dead: tuple[dict[str, float], ...] = ()) -> Any:
        listed = [{"Alive": True, "Resources": node} for node in nodes]
        listed += [{"Alive": False, "Resources": node} for node in dead]
        monkeypatch.setattr(module.ray, "nodes", lambda: listed)
        return module

    return of


def test_room_is_counted_node_by_node(room: Any) -> None:
    """A trial is on one node: halves of two nodes are no room, and each node has its own bottleneck."""
    nodes = ({"CPU": 3.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 4.0})
    assert room(*nodes).slots({"cpu": 2.0}) == 1 + 4 + 1
    assert room(*nodes).slots({"cpu": 1.0, "gpu": 1.0}) == 0 + 1 + 2
    assert room(*nodes).slots({"cpu": 0.5, "gpu": 0.25}) == 0 + 4 + 4
    assert room(*nodes).slots({"cpu": 1.0, "gpu": 2.0}) == 0 + 0 + 2
    assert room({"CPU": 1.0}, {"CPU": 1.0}).slots({"cpu": 2.0}) == 0
    assert room({}, {"CPU": 1.0}, dead=({"CPU": 64.0},)).slots({"cpu": 1.0}) == 1


@pytest.mark.parametrize(
    ("has", "need", "slots"), [(0.3, 0.1, 3), (1.0, 0.1, 10), (0.7, 0.35, 2), (0.99, 0.5, 1)]
)
def test_shares_of_a_gpu_are_counted_as_ray_counts_them(
    room: Any, has: float, need: float, slots: int
) -> None:
    """0.3 / 0.1 is 2.9999 in floating point, and three trials for Ray."""
    assert room({"CPU": 64.0, "GPU": has}).slots({"cpu": 1.0, "gpu": need}) == slots


def test_what_is_lacking_is_told_by_the_largest_node(room: Any) -> None:
    """Needed and there, both in the sweep's own words."""
    error = room({"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0}).no_room({"cpu": 1.0, "gpu": 2.0})
    assert error.message == (
        "no room for a single trial: it needs {'cpu': 1.0, 'gpu': 2.0} on one node, "
        "Ray has {'cpu': 4.0, 'gpu': 1.0}"
    )
    assert error.key == ("resources",)
    assert "in 15 minutes no node came" in room().no_room({"cpu": 1.0}, grows=True).message


@pytest.mark.parametrize(
    ("report", "grows"),
    [
        ('{"active_nodes": {"small-group": 1}, "idle_nodes": null}', True),
        ('{"active_nodes": {}, "idle_nodes": {"ray.head.default": 1}}', True),
        ('{"active_nodes": {}, "pending_launches": {"worker": 2}}', True),
        ('{"active_nodes": {"node_5f3a": 1, "node_66": 1}, "idle_nodes": {}, "pending_launches": {}}', False),
        ("null", False),
    ],
)
def test_a_cluster_that_autoscales_is_told_by_its_node_types(room: Any, report: str, grows: bool) -> None:
    """Without an autoscaler, Ray shows every node as a type of its own."""
    assert room().is_growing(f'{{"autoscaler_report": {report}}}'.encode()) is grows
    assert room().is_growing(None) is False
