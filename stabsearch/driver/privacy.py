"""What Ray is kept from doing: writing credentials into its logs, and importing from the current folder."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from ray.job_config import JobConfig
from ray.tune.execution import class_cache

SECRET_WORDS = ("SECRET", "TOKEN", "PASSWORD", "ACCESS_KEY", "CREDENTIAL")


def keep_credentials() -> None:
    """Have Tune pass no credentials on: its workers inherit them, and Ray logs what it is told to pass on.

    Tune 2.60 gives ``AWS_SECRET_ACCESS_KEY`` and others to each worker through its ``runtime_env``, which the
    agent that makes it writes into ``runtime_env_agent.log`` as it is.
    """
    passed_on = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = tuple(
        name for name in passed_on if not any(word in name for word in SECRET_WORDS)
    )


def where_we_look() -> JobConfig:
    """Return a job whose workers look for modules where this process does.

    Ray would let them look into the current folder first, whatever lies there: a ``torch.py`` beside the
    user's data would be every worker's torch.
    """
    job = JobConfig()
    job._py_driver_sys_path = _OurPaths()
    return job


class _OurPaths(list[str]):
    """Takes folders of this process's own path only."""

    def extend(self, folders: Iterable[str]) -> None:
        ours = {str(Path(folder).absolute()) for folder in sys.path}
        super().extend(folder for folder in folders if str(Path(folder).absolute()) in ours)
