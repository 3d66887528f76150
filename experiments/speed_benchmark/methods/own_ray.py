"""A private Ray for the methods that want one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.speed_benchmark.setting import Setting


@contextmanager
def own_ray(setting: Setting) -> Iterator[None]:
    """Start Ray with as many cores as there are slots, one thread per worker, and end it again."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    import ray

    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    ray.init(
        num_cpus=setting.slots, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        runtime_env={"env_vars": threads},
    )  # fmt: skip
    try:
        yield
    finally:
        ray.shutdown()


def per_trial(setting: Setting) -> dict[str, float]:
    """Return what one trial is given."""
    return {"cpu": 1} if setting.device == "cpu" else {"cpu": 1, "gpu": 1 / setting.slots}
