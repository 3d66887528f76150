"""What was measured, as Markdown: the median over rounds, with the smallest and the largest."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from experiments.speed_benchmark.measuring import Measured, median_gap_s, num_processes
from experiments.speed_benchmark.setting import Setting

OURS = "stabsearch"


def table(rounds: Sequence[Sequence[Measured]], setting: Setting) -> str:
    """Return one row per method.

    Args:
        rounds: what each method took, in the same order in every round.
        setting: the sweep.
    """
    columns: dict[str, Callable[[Measured], float]] = {
        "trials / min": lambda one: one.trials_per_minute,
        "in steps, command": lambda one: one.share_of_command(setting.slots),
        "in steps, while trials run": lambda one: one.share_while_running(setting.slots),
        "in steps, of workers' time": lambda one: one.share_of_workers(),
        "end to next first step, s": lambda one: median_gap_s(one.gaps_s(setting.slots)),
        "first step after, s": lambda one: one.first_trial_s,
        "processes": lambda one: num_processes(one.trained),
        "peak memory, GiB": lambda one: one.peak_bytes / 2**30,
    }
    lines = [
        f"| method | {' | '.join(columns)} | stabsearch is faster by |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for place, first in enumerate(rounds[0]):
        values = [[read(one[place]) for one in rounds] for read in columns.values()]
        cells = [_spread(column) for column in values]
        lines.append(f"| {first.name} | {' | '.join(cells)} | {_ratio(rounds, place)} |")
    return "\n".join(lines)


def _ratio(rounds: Sequence[Sequence[Measured]], place: int) -> str:
    """Return how many times longer the method took than stabsearch in the same round."""
    ours = [next((one for one in measured if one.name == OURS), None) for measured in rounds]
    if None in ours or rounds[0][place].name == OURS:
        return ""
    pairs = zip(rounds, ours, strict=True)
    return _spread([measured[place].wall_s / one.wall_s for measured, one in pairs if one is not None])


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.3g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g} to {max(values):.3g})"
