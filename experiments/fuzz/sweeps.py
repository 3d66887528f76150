"""Mutated sweep files: refused in two lines with their place, or a sweep that is written and read again."""

from __future__ import annotations

import random
from pathlib import Path

from experiments.fuzz.mutations import byte_damage, value_damage
from experiments.fuzz.running import HangError, checked, limited, stabsearch
from experiments.fuzz.seeds import as_yaml, seed_sweeps
from experiments.fuzz.tally import Tally
from stabsearch.config import Sweep, difference, load_sweep, resolve, resolved_text
from stabsearch.errors import UserError

NUM_ROWS = 64
DRY_RUN_EVERY = 200
"""Accepted sweeps whose model and data are looked at, too: some tenths of a second each."""


def fuzz_sweeps(num_cases: int, seed: int, folder: Path) -> Tally:
    """Return how so many mutated sweeps ended."""
    tally = Tally("mutated sweeps", seed)
    seeds = seed_sweeps(folder)
    for path in (folder / "seed.yaml",):
        for kind, data in seeds.items():
            path.write_bytes(as_yaml(data, flow=False))
            assert load_sweep(path).sweep.task.type == kind
    for case in range(num_cases):
        rng = random.Random(f"{seed}/{case}")
        kind = rng.choice(list(seeds))
        data = seeds[kind] if rng.random() < 0.5 else value_damage(seeds[kind], rng)
        content = as_yaml(data, flow=rng.random() < 0.3)
        if data is seeds[kind] or rng.random() < 0.2:
            content = byte_damage(content, rng)
        path = folder / "sweep.yaml"
        path.write_bytes(content)
        tally.count(
            *_end(path, data["task"] if isinstance(data, dict) and "task" in data else None, case),
            f"case {case}",
        )
    return tally


def _end(path: Path, task: object, case: int) -> tuple[str, str]:
    """Return how a sweep file ended, and what is wrong with that."""
    try:
        with limited():
            sweep = load_sweep(path).sweep
            resolve(sweep, NUM_ROWS)
            return _accepted(path, sweep, case)
    except UserError:
        said, problem = checked(lambda: stabsearch("run", path, "--dry-run"), path.parent)
        return "refused", problem or ("" if said.is_refusal else f"loaded otherwise: {said}")
    except HangError:
        return "", "no end"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return "", f"{type(error).__name__}: {error}"[:300]


def _accepted(path: Path, sweep: Sweep, case: int) -> tuple[str, str]:
    """Return how a sweep that was accepted ended: what is written of it is the same sweep."""
    again = path.with_name("again.yaml")
    again.write_text(resolved_text(sweep), encoding="utf-8")
    changed = difference(sweep, load_sweep(again).sweep)
    if changed:
        return "", f"is another sweep once it was written: {changed}"
    if case % DRY_RUN_EVERY == 0 and sweep.task.type == "quickstart" and sweep.task.num_rows <= NUM_ROWS:
        return "looked at in full", checked(lambda: stabsearch("run", path, "--dry-run"), path.parent)[1]
    return "accepted", ""
