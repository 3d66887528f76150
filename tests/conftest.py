"""Settings of every test: no timing limits, since the machine may be busy."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("stabsearch", deadline=None)
settings.load_profile("stabsearch")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse tests that import Ray at their top: it reads its environment then, which tests set later."""
    if "ray" in sys.modules:
        raise pytest.UsageError("Ray was imported while tests were collected: import it inside of them")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``gpu`` on a machine without one, and say so; fixtures are not made for it."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device, and this machine shows none")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Refuse tests that import Ray unprepared: for those after them it would print on stdout."""
    logs = sys.modules.get("ray._private.ray_logging")
    if logs is not None and logs.stdout_deduplicator.skip_re is None:
        logs.stdout_deduplicator.skip_re = re.compile("said once")
        pytest.fail("Ray was imported before stabsearch.driver.environment.prepare()")


@pytest.fixture(scope="session", autouse=True)
def _frozen_modules() -> None:
    """Spare hundreds of tiny trainings, each of which collects garbage first, a look at every module."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, which reaches this machine only; see ``experiments.on_loopback.browser.visit``."""
    from experiments.on_loopback.browser import chromium

    with chromium() as opened:
        yield opened
