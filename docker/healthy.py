#!/usr/bin/env python3
"""Exit 0 if what this container was started as still answers.

The first process's command line says what that is: a Ray node, an MLflow server, or stabsearch itself,
which listens nowhere and is well as long as it runs.
"""

import pathlib
import sys
import urllib.request

TIMEOUT_S = 8  # chosen: below the image's own limit of 10 s, so that the reason is printed


def health_url(command: list[str]) -> str | None:
    """Return the address to ask, or None for a command that is no server.

    Raises:
        LookupError: not a command of this image.

    >>> health_url(["ray", "start", "--head", "--block"])
    'http://127.0.0.1:52365/api/healthz'
    >>> health_url(["/opt/venv/bin/python", "/opt/venv/bin/mlflow", "server", "--port", "5001"])
    'http://127.0.0.1:5001/health'
    """
    programs = [pathlib.PurePath(word).name for word in command]
    if "ray" in programs and "start" in programs:
        # Ray's agent answers for its node, and on the head for the cluster's control store as well.
        return f"http://127.0.0.1:{option(command, '--dashboard-agent-listen-port', '52365')}/api/healthz"
    if "mlflow" in programs and "server" in programs:
        return f"http://127.0.0.1:{option(command, '--port', '5000')}/health"
    if "stabsearch" in programs:
        return None
    raise LookupError(f"cannot tell the health of {' '.join(command)!r}")


def option(command: list[str], name: str, default: str) -> str:
    """Return the value of an option, given as ``--name value`` or ``--name=value``."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return default


def complaint(command: list[str]) -> str | None:
    """Return what is wrong with what was started by this command, or None."""
    try:
        url = health_url(command)
        if url is not None:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                answer.read()
    except (LookupError, OSError) as error:  # urllib's errors are OSErrors
        return f"not well: {error}"
    return None


if __name__ == "__main__":
    sys.exit(complaint(pathlib.Path("/proc/1/cmdline").read_bytes().decode().split("\0")))
