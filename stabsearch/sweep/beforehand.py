"""What is known of frontiers before the first trial: an earlier sweep, or the sharpness of the loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stabsearch.errors import UserError
from stabsearch.frontier import Frontier
from stabsearch.frontier.hints import PriorHint, earlier_hints, sharpness_hints
from stabsearch.records.plain_json import read_json

if TYPE_CHECKING:
    from stabsearch.sweep.prepared import Prepared
    from stabsearch.trial.setup import TrialSetup

KEY = ("search", "prior", "earlier")
MAX_STEPS = 20  # chosen: Adam's second moments have settled on the model's scale by then


def hints_of_earlier(path: str | None) -> tuple[PriorHint, ...]:
    """Return what an earlier sweep says of frontiers; nothing without one.

    Args:
        path: its ``frontier.json``, or its folder.

    Raises:
        UserError: no frontier is there, or another version wrote it.
    """
    if path is None:
        return ()
    file = Path(path) / "frontier.json" if Path(path).is_dir() else Path(path)
    try:
        content = read_json(file)
        hints = earlier_hints(Frontier.from_json(content.get("frontier", content)))  # beside a sweep's answer
    except OSError as error:
        raise UserError(
            f"no frontier to read at {file}: {error.strerror}",
            "give a sweep's folder or its frontier.json",
            key=KEY,
        ) from None
    except (ArithmeticError, LookupError, ValueError, TypeError, AttributeError) as error:
        why = str(error).partition("\n")[0]
        raise UserError(
            f"{file} holds no frontier: {why}", "give the frontier.json of a sweep", key=KEY
        ) from None
    if not hints:
        raise UserError(f"no context of {file} has a frontier inside its range", "leave it out", key=KEY)
    return tuple(hints)


def measured_hints(prepared: Prepared, setup: TrialSetup) -> tuple[PriorHint, ...]:
    """Return what the sharpness of the loss says of frontiers; nothing where it cannot be measured."""
    from stabsearch.task.registry import build_workload
    from stabsearch.trial.sharpness import measure_sharpness

    sweep, resolved = prepared.sweep, prepared.resolved
    steps = min(max(1, *resolved.warmups), MAX_STEPS)
    workload = build_workload(sweep.task, peft=sweep.peft)
    found = measure_sharpness(workload, setup, num_steps=steps, seed=sweep.seed)
    return tuple(sharpness_hints(found, sweep.search.precision))
