"""What the process tells Ray before it is imported."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from stabsearch.driver.environment import PRIVATE, QUIET, prepare, worker_variables


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return an empty environment in place of the process's own."""
    empty: dict[str, str] = {}
    monkeypatch.delitem(sys.modules, "ray._private.ray_constants", raising=False)
    monkeypatch.setattr("stabsearch.driver.environment.os.environ", empty)
    return empty


def test_a_private_ray_listens_to_this_machine_and_its_own_token_only(environment: dict[str, str]) -> None:
    """No other user of the machine can send it work, and the token is in no file."""
    prepare(is_local=True)
    assert environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert environment["RAY_AUTH_MODE"] == "token"
    assert len(environment["RAY_AUTH_TOKEN"]) == 64


def test_a_cluster_keeps_its_own_addresses_and_token(environment: dict[str, str]) -> None:
    """A made-up token would lock us out of it."""
    prepare(is_local=False)
    assert not environment.keys() & PRIVATE
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_ray_that_was_imported_before_listens_where_its_processes_do(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read address and token at import; told others afterwards, a private Ray would not start."""
    constants = SimpleNamespace(ENABLE_RAY_CLUSTER=True)
    monkeypatch.setitem(sys.modules, "ray._private.ray_constants", constants)
    prepare(is_local=False)
    assert constants.ENABLE_RAY_CLUSTER
    prepare(is_local=True)
    assert not constants.ENABLE_RAY_CLUSTER
    assert "RAY_AUTH_TOKEN" not in environment


def test_what_the_user_set_stays(environment: dict[str, str]) -> None:
    """Whoever debugs Ray wants to see it."""
    environment["RAY_AIR_NEW_OUTPUT"] = "1"
    prepare(is_local=True)
    assert environment["RAY_AIR_NEW_OUTPUT"] == "1"
    assert environment.keys() >= QUIET.keys()


def test_workers_get_one_thread_pool_per_trial() -> None:
    """Not one per core of the machine."""
    assert worker_variables(3)["OMP_NUM_THREADS"] == worker_variables(3)["MKL_NUM_THREADS"] == "3"
