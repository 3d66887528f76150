"""Settings under which MLflow is quiet and does not repeat requests."""

from __future__ import annotations

import os

REQUEST_TIMEOUT_S = 10  # chosen: a black-holed server must not hold the delivery thread for minutes

_SETTINGS = {
    # MLflow repeats a POST whose reply was lost, which makes two runs of one; the mirror looks
    # for what arrived before it tries again, so the repeating is left to it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT_S),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def quieten_mlflow() -> None:
    """Set MLflow's environment for this process; what the user has set stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
