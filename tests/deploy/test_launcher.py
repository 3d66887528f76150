"""The cluster file for `ray up`: Ray's own launcher accepts it, and workers are spot instances."""

from __future__ import annotations

import copy
import shlex
from typing import Any

import jsonschema
import pytest
from command_lines import unknown_options
from deploy_files import documents, stages, text

from stabsearch.driver.environment import prepare

[CLUSTER] = documents("ray-cluster.yaml")


def _validated(cluster: dict[str, Any]) -> None:
    prepare(is_local=True)
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))


def test_ray_accepts_it() -> None:
    """Its schema, and what it asks beyond it, as for the sums of workers."""
    _validated(copy.deepcopy(CLUSTER))


@pytest.mark.parametrize("change", [{"max_worker": 3}, {"head_node_type": "haed"}, {"cluster_name": 7}])
def test_a_slip_would_be_found(change: dict[str, Any]) -> None:
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        _validated(copy.deepcopy(CLUSTER) | change)


def test_workers_are_spot_instances_and_the_head_is_not() -> None:
    types = CLUSTER["available_node_types"]
    assert types["spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert (types["spot"]["min_workers"], types["spot"]["max_workers"]) == (0, CLUSTER["max_workers"])
    head = types[CLUSTER["head_node_type"]]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["resources"] == {"CPU": 0}


@pytest.mark.parametrize("key", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_commands_and_options_exist_in_what_is_installed(key: str) -> None:
    for command in CLUSTER[key]:
        assert unknown_options(shlex.split(command)) == set()


def test_the_dashboard_is_reached_through_ssh_only() -> None:
    assert "--dashboard-host=127.0.0.1" in shlex.split(CLUSTER["head_start_ray_commands"][-1])


def test_every_node_has_the_token_and_asks_for_it() -> None:
    options = dict(option.removeprefix("--env=").split("=") for option in CLUSTER["docker"]["run_options"]
                   if option.startswith("--env="))  # fmt: skip
    assert options["RAY_AUTH_MODE"] == "token"
    assert options["RAY_AUTH_TOKEN_PATH"] in CLUSTER["file_mounts"]


def test_its_image_has_what_the_launcher_calls_inside() -> None:
    """Found in ray/autoscaler/_private: rsync into containers, ssh and boto3 on the head."""
    [stage] = stages("Dockerfile.launcher")
    commands = " ".join(stage.all("RUN"))
    for name in ("openssh-client", "rsync", "boto3=="):
        assert name in commands
    assert CLUSTER["docker"]["image"].endswith("-launcher")
    assert "stabsearch:0.1.0-launcher" in text("Dockerfile.launcher")
