"""The process environment that an embedded Ray needs; set before Ray is imported."""

from __future__ import annotations

import os
import secrets
import sys
from types import ModuleType

LISTENS_ELSEWHERE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    LISTENS_ELSEWHERE: "0",  # every listener binds to 127.0.0.1
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "1",  # weights that models are copied from, once per machine
    "RAY_ROTATION_MAX_BYTES": str(4 * 2**20),  # of a log, of which each process has one or two
    "RAY_ROTATION_BACKUP_COUNT": "1",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else "(raylet) A worker died" goes to stdout, into the JSON
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the study is the truth; Tune's own state is never read
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's own waits up to 15 s for trials in mid-step
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
PRIVATE = {LISTENS_ELSEWHERE, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
WORKER = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}


def prepare(is_local: bool) -> None:
    """Set what a private Ray on this machine needs; what the user set stays.

    A cluster decides for itself about addresses and authentication. A private Ray gets a token of
    its own that no file keeps, so that other users of the machine cannot send it work.
    """
    for name, value in QUIET.items():
        if is_local or name not in PRIVATE:
            os.environ.setdefault(name, value)
    if is_local:
        _keep_private(sys.modules.get("ray._private.ray_constants"))


def _keep_private(imported_ray: ModuleType | None) -> None:
    """Close a private Ray to others, one that was imported before as far as it still listens.

    Its library read mode and token at import: processes started with other ones would refuse it
    ("Failed to start GCS" is all it says), so that Ray keeps its own token, in its own file.
    """
    if imported_ray is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    else:
        imported_ray.ENABLE_RAY_CLUSTER = os.environ[LISTENS_ELSEWHERE] not in {"0", "false"}  # type: ignore[attr-defined]


def worker_variables(num_threads: int) -> dict[str, str]:
    """Return the variables of every worker: one thread pool per trial, not one per core."""
    return {**WORKER, "OMP_NUM_THREADS": str(num_threads), "MKL_NUM_THREADS": str(num_threads)}


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
