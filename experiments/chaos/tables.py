"""Kills and damage as tables."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path

from experiments.chaos.checks import Damage
from experiments.chaos.sweeps import Ended

RESULTS = Path(__file__).with_name("results.csv")


def table(ends: list[Ended]) -> str:
    """Return kills and damage as a Markdown table, a line per place."""
    names = [field.name for field in fields(Damage)]
    head = ["where", "sweeps", "trials", "runs", "kills", *names]
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in head)} |", "|---" * len(head) + "|"]
    for where in dict.fromkeys(end.where for end in ends):
        mine = [end for end in ends if end.where == where]
        damage = asdict(sum((end.damage for end in mine), Damage()))
        values = [
            where, len(mine), sum(end.story.trials for end in mine), sum(end.story.runs for end in mine),
            sum(end.story.kills.total() for end in mine), *(damage[name] for name in names),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, values))} |")
    return "\n".join(lines)


def kinds(ends: list[Ended]) -> str:
    """Return what was killed how often."""
    counted: Counter[str] = sum((end.story.kills for end in ends), Counter())
    return ", ".join(f"{kind} {count}" for kind, count in counted.most_common())


def save(end: Ended) -> None:
    """Add the line of a sweep."""
    with RESULTS.open("a", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(["where", "seed", "trials", "runs", "kills", "damage", "exit_codes"])
        story = end.story
        killed = "; ".join(f"{kind} {count}" for kind, count in sorted(story.kills.items()))
        damage = "; ".join(f"{name} {count}" for name, count in asdict(end.damage).items())
        codes = " ".join(map(str, story.codes))
        writer.writerow([end.where, story.seed, story.trials, story.runs, killed, damage, codes])
