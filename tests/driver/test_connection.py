"""Joining Ray: what comes in between."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from stabsearch.driver.environment import prepare
from stabsearch.driver.interrupts import kept_handlers
from stabsearch.errors import UserError


@pytest.mark.parametrize("code", [1, 15])  # of a private Ray's head, of a driver
def test_sigterm_while_ray_starts_is_an_interrupt(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray takes the signal for itself and ends the process; its exit code 1 says something else here."""
    prepare(is_local=True)
    from stabsearch.driver import connection

    def init(**_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(connection.ray, "init", init)
    before = signal.getsignal(signal.SIGTERM)
    with kept_handlers(), pytest.raises(KeyboardInterrupt), connection.started("local", 1, tmp_path):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("error", [Exception("The current node timed out during startup. This could be"),
                                   RuntimeError("The current node timed out during startup")])  # fmt: skip
def test_a_ray_that_does_not_come_up_is_no_bug_of_ours(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray raises a bare Exception where its node is slow to start; others pass as they are."""
    prepare(is_local=True)
    from stabsearch.driver import connection

    def init(**_: Any) -> None:
        raise error

    monkeypatch.setattr(connection.ray, "init", init)
    with pytest.raises(UserError) as raised, connection.started("local", 1, tmp_path):
        pass
    assert raised.value.message == (
        "Ray does not start on this machine: The current node timed out during startup"
    )
    assert "resources.driver: inline" in raised.value.hint
    error = KeyError("of ours")
    with pytest.raises(KeyError), connection.started("local", 1, tmp_path):
        pass
