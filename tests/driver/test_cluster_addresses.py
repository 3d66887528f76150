"""Addresses of clusters that cannot work are told at once, in two lines."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stabsearch.config.model import Budget, Resources
from stabsearch.driver.base import WorkOrder
from stabsearch.driver.environment import prepare
from stabsearch.driver.factory import make_driver
from stabsearch.errors import UserError
from stabsearch.trial.setup import TrialSetup


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server


def test_rays_client_is_refused_with_the_way_that_works() -> None:
    """Ray Tune would take the search along to the cluster, away from its study."""
    order = WorkOrder(None, TrialSetup(max_steps=2), 60.0)
    with pytest.raises(UserError, match="Ray's client cannot run a sweep") as raised:
        make_driver(Budget(), Resources(address="ray://head:10001"), order)
    assert raised.value.hint.startswith("stabsearch submit SWEEP --address ray://head:10001 runs all of it")
    assert raised.value.key == ("resources", "address")


def test_a_cluster_that_is_not_there_is_told_at_once(listener: socket.socket, tmp_path: Path) -> None:
    """Ray would wait for three minutes, and then end the process with what its inside has to say."""
    prepare(is_local=True)
    from stabsearch.driver.connection import started

    address = f"localhost:{listener.getsockname()[1]}"  # bound, and nobody listens
    with pytest.raises(UserError) as raised, started(address, 1, tmp_path):
        pass
    assert raised.value.message.startswith(f"no Ray cluster at {address!r}: nobody listens there")
    assert "refused" in raised.value.message
    assert raised.value.hint == "start one, or use address: local"


def test_somebody_who_listens_may_be_a_cluster(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also under what `auto` stands for."""
    prepare(is_local=True)
    from stabsearch.driver import reaching

    listener.listen()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(reaching, "canonicalize_bootstrap_address", lambda given: given and address)
    reaching.check_reachable("auto")
    listener.close()
    with pytest.raises(
        ConnectionError, match=rf"nobody listens there \(which is {address}\): Connection refused"
    ):
        reaching.check_reachable("auto")
