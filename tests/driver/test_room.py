"""How many trials a cluster has room for."""

from __future__ import annotations

from typing import Any

import pytest

from stabsearch.driver.environment import prepare
from stabsearch.errors import UserError


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


class Cluster:
    """A cluster on a clock of its own, to which a node comes at a given time."""

    def __init__(self, room: Any, monkeypatch: pytest.MonkeyPatch, *, grows: bool, node_at: float) -> None:
        self.module, self.now, self.node_at = room(), 0.0, node_at
        self.asked: list[Any] = []
        self.given_back: list[Any] = []
        kind = "worker-group" if grows else "node_5f"
        note = f'{{"autoscaler_report": {{"active_nodes": {{"{kind}": 1}}}}}}'.encode()
        monkeypatch.setattr(self.module, "_internal_kv_get", lambda _: note)
        monkeypatch.setattr(self.module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(self.module.ray, "nodes", self._nodes)
        monkeypatch.setattr(self.module, "placement_group", self._ask)
        monkeypatch.setattr(self.module, "remove_placement_group", self.given_back.append)

    def _nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": self.now >= self.node_at, "Resources": {"CPU": 2.0, "GPU": 1.0}}]

    def _ask(self, bundles: list[dict[str, float]]) -> Cluster:
        self.asked = bundles
        return self

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def room(self, stopped_at: float = float("inf")) -> int:
        need = {"cpu": 1.0, "gpu": 0.5}
        return int(self.module.wait_for_room(need, lambda: self.now >= stopped_at))


def test_a_cluster_that_grows_is_asked_and_waited_for(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one trial needs is what it is asked for, and given back once it is there."""
    cluster = Cluster(room, monkeypatch, grows=True, node_at=600)
    assert cluster.room() == 2
    assert cluster.asked == [{"CPU": 1.0, "GPU": 0.5}]
    assert cluster.given_back == [cluster]


def test_nodes_that_never_come_are_waited_for_as_long_as_they_may_take(
    room: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes where machines are rented; else the time in which a node joins its head."""
    growing = Cluster(room, monkeypatch, grows=True, node_at=1e9)
    with pytest.raises(UserError, match="in 15 minutes no node came that has it"):
        growing.room()
    assert growing.given_back == [growing]
    assert 900 < growing.now < 910
    fixed = Cluster(room, monkeypatch, grows=False, node_at=60)
    with pytest.raises(UserError, match="no room for a single trial"):
        fixed.room()
    assert 30 < fixed.now < 40
    assert Cluster(room, monkeypatch, grows=False, node_at=20).room() == 2


def test_who_waits_can_be_stopped(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal ends the waiting, and what was asked for is given back."""
    cluster = Cluster(room, monkeypatch, grows=True, node_at=600)
    with pytest.raises(KeyboardInterrupt):
        cluster.room(stopped_at=5)
    assert cluster.given_back == [cluster]
    assert cluster.now < 10
