"""Why MLflow failed, and whether trying again can help."""

from __future__ import annotations

from mlflow.exceptions import MlflowException

from stabsearch.config.address import without_password

_MAX_CHARACTERS = 200  # chosen: one line that a terminal shows in two
_PASSING = frozenset({408, 425, 429})  # too slow, too early, too many: the request itself was right


def reason(error: BaseException) -> str:
    """Return what went wrong, one line, passwords left out.

    MLflow wraps a refused connection in four layers of its libraries; people want the innermost one.
    """
    deepest = error
    while deepest.__cause__ or deepest.__context__:
        deepest = deepest.__cause__ or deepest.__context__ or deepest
    told = deepest if isinstance(deepest, OSError) else error
    lines = str(told).strip().splitlines() or [""]
    return without_password(lines[0])[:_MAX_CHARACTERS] or type(told).__name__


def is_passing(error: BaseException) -> bool:
    """True for an outage, False for an answer that will be the same next time."""
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        return status >= 500 or status in _PASSING
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    # A file error carries its number; what the HTTP libraries derive from OSError does not.
    is_about_a_file = isinstance(error, OSError) and error.errno is not None
    return not is_about_a_file and not isinstance(error, (ValueError, TypeError))
