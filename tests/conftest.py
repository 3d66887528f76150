"""Settings of every test: no timing limits, since the machine may be busy."""

import gc

import pytest
from hypothesis import settings

settings.register_profile("stabsearch", deadline=None)
settings.load_profile("stabsearch")


@pytest.fixture(scope="session", autouse=True)
def _frozen_modules() -> None:
    """Spare hundreds of tiny trainings, each of which collects garbage first, a look at every module."""
    gc.collect()
    gc.freeze()
