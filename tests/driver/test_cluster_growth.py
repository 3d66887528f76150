"""Clusters whose nodes differ, and clusters that grow because a sweep asks for more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from experiments.on_loopback.ports import free_ports
from experiments.on_loopback.ray_cluster import RayCluster, ray_cluster

pytestmark = pytest.mark.ray
HEAD_ID = "f" * 51 + "00000"
"""Under which Ray's autoscaler for tests knows the head."""
DRIVE = """
import json, threading, time
from stabsearch.driver.base import WorkOrder
from stabsearch.driver.environment import prepare
prepare(is_local=False)
import ray
from ray.autoscaler.v2.sdk import get_cluster_status
from stabsearch.driver.ray_tune import RayTuneDriver
from stabsearch.records import Stage, TrialPlan
from stabsearch.testing.faulty_task import FaultyTask, build_faulty
from stabsearch.testing.scripted import ScriptedSource
from stabsearch.trial.setup import TrialSetup

pending = [0]

class Watched(ScriptedSource):
    def finished(self, record):
        super().finished(record)
        demand = get_cluster_status({address!r}).resource_demands.placement_group_demand
        pending.append(len([each for each in demand if each.state == "PENDING"]))

plans = [TrialPlan(n, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", n, 0, 2) for n in range({plans})]
source = Watched(plans)
order = WorkOrder(FaultyTask({folder!r}), TrialSetup(max_steps=2), 300.0, build_faulty)
error = ""
try:
    RayTuneDriver(order, address={address!r}, {options}).run(source)
except Exception as wrong:
    error = str(wrong)
print(json.dumps({{"done": sorted(r.plan.number for r in source.records if r.outcome == "stable"),
                   "pending": max(pending), "error": error, "lost": source.given_up != []}}))
"""


def driven(cluster: RayCluster, folder: Path, plans: int, options: str) -> dict[str, Any]:
    """Return what came of trials run on a cluster, by a driver in a process of its own."""
    code = DRIVE.format(address=cluster.address, folder=str(folder), plans=plans, options=options)
    found: dict[str, Any] = cluster.python(code)
    return found


@contextmanager
def autoscaling(
    folder: Path, head_cores: int, nodes: dict[str, dict[str, float]], **workers: int
) -> Iterator[RayCluster]:
    """Run a cluster that Ray's own autoscaler for tests gives nodes to, each a process of this machine."""
    (port,) = free_ports(1)
    config = {
        "cluster_name": "growing", "max_workers": 2, "idle_timeout_minutes": 5, "upscaling_speed": 1.0,
        "provider": {
            "type": "fake_multinode", "head_node_id": HEAD_ID, "gcs_address": f"127.0.0.1:{port}",
            "launch_multiple": True, "disable_node_updaters": True, "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": head_cores}, "node_config": {}, "max_workers": 0},
            **{name: {"resources": has, "node_config": {}, **workers} for name, has in nodes.items()},
        },
        "head_node_type": "ray.head.default", "auth": {}, "file_mounts": {}, "cluster_synced_files": [],
        **{f"{who}_commands": [] for who in ("initialization", "setup", "head_setup", "worker_setup")},
        "head_start_ray_commands": [], "worker_start_ray_commands": [],
        "rsync_exclude": [], "rsync_filter": [],
    }  # fmt: skip
    (folder / "autoscaling.json").write_text(json.dumps(config))
    options = ("--num-cpus", str(head_cores), "--autoscaling-config", str(folder / "autoscaling.json"))
    # its nodes all have the head's address, and so no heartbeat of their own
    seconds = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "AUTOSCALER_HEARTBEAT_TIMEOUT_S": "100000"}
    variables = {"RAY_FAKE_CLUSTER": "1", **seconds}
    with ray_cluster(*options, variables=variables, port=port) as cluster:
        yield cluster


def test_a_cluster_grows_from_nothing_to_what_a_sweep_asks_for(tmp_path: Path) -> None:
    """Nothing has room at first; the trials that wait are a demand that the autoscaler sees, and answers."""
    with autoscaling(tmp_path, 0, {"worker": {"CPU": 1}}, min_workers=0, max_workers=2) as growing:
        found = driven(growing, tmp_path, 8, "concurrency=4")
    assert found["done"] == list(range(8)), found
    assert found["pending"] >= 1  # four were asked for, and no more than two nodes may come


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A head with a core, and two nodes that show GPUs to Ray."""
    nodes = {"cores": {"CPU": 4, "GPU": 1}, "gpus": {"CPU": 1, "GPU": 2}}
    with autoscaling(tmp_path_factory.mktemp("mixed"), 1, nodes, min_workers=1, max_workers=1) as running:
        yield running


ROOM = """
import json, time, ray, logging
from stabsearch.driver.environment import prepare
prepare(is_local=False)
ray.init({address!r}, logging_level=logging.ERROR)
from stabsearch.driver.room import slots
for _ in range(1000):
    if len([node for node in ray.nodes() if node["Alive"]]) == 3:
        break
    time.sleep(0.2)
needs = [{{"cpu": 1.0}}, {{"cpu": 0.5, "gpu": 0.5}}, {{"cpu": 1.0, "gpu": 1.0}}, {{"cpu": 1.0, "gpu": 2.0}}]
print(json.dumps([slots(need) for need in needs]))
"""


def test_room_on_nodes_that_differ(mixed: RayCluster) -> None:
    """Each node by what it has least of: cores on the one, GPUs on the other."""
    assert mixed.python(ROOM.format(address=mixed.address)) == [1 + 4 + 1, 2 + 2, 1 + 1, 1]


def test_trials_that_share_or_take_several_gpus_are_all_done(mixed: RayCluster, tmp_path: Path) -> None:
    """Halves go to both nodes with GPUs, pairs to the only one that has two."""
    mixed.python(ROOM.format(address=mixed.address))  # all nodes are there
    halves = driven(mixed, tmp_path, 6, "cpus_per_trial=0.5, gpus_per_trial=0.5")
    assert halves["done"] == list(range(6)), halves
    pairs = driven(mixed, tmp_path, 2, "gpus_per_trial=2")
    assert pairs["done"] == [0, 1], pairs
