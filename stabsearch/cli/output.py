"""A sweep's result on stdout: for people, or as one JSON object."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stabsearch.sweep import SweepResult


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Let whoever reads our output go (``| head``): the exit code still says what was found."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # flushing stdout once more at exit must not fail either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_result(result: SweepResult, as_json: bool) -> None:
    """Print a result; progress went to stderr."""
    if as_json:
        print_json(result_json(result))
        return
    from stabsearch.report.terminal import print_summary

    with reader_may_leave():
        print_summary(result.findings, result.folder, sys.stdout)
        if result.diagnosis is not None:
            from stabsearch.report.diagnosis import diagnosis_text

            sys.stdout.write("\n" + diagnosis_text(result.diagnosis) + "\n")


def result_json(result: SweepResult) -> dict[str, Any]:
    """Return a result as strict JSON data."""
    from stabsearch.report.files import answer_to_json

    delivery = result.delivery
    return {
        "exit_code": int(result.exit_code),
        "answer": answer_to_json(result.answer),
        "recommended": result.recommended,
        "frontier": json.loads(result.frontier.to_json(orient="records", double_precision=15)),
        "outcomes": {name: int(count) for name, count in result.trials["outcome"].value_counts().items()},
        "folder": str(result.folder),
        "diagnosis": dict(result.diagnosis) if result.diagnosis else None,
        "mlflow": {"url": delivery.url, "run_id": delivery.run_id, "missing": delivery.missing}
        if delivery
        else None,
        "disk": None if result.disk is None else asdict(result.disk),
    }


def print_json(data: Any) -> None:
    """Print strict JSON on stdout."""
    with reader_may_leave():
        sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")
