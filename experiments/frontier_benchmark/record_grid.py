"""Record a dense grid of real small fine-tunes, once, for searches to be replayed on.

nice -n 15 python -m experiments.frontier_benchmark.record_grid --data DIR

DIR holds CLINC150 (clinc150_small_train.tsv: text, intent, domain) and SNIPS (snips_train.jsonl:
tokens, intent). Finished trials are kept in the scratch folder: the same command goes on where an
earlier one was stopped.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from experiments.frontier_benchmark import recorded_problems as problems
from experiments.frontier_benchmark.recorded import TABLE
from stabsearch.driver.base import WorkOrder
from stabsearch.driver.worker import work
from stabsearch.frontier.labels import relabel
from stabsearch.records import OutcomeRules, TrialPlan, TrialRecord

SCRATCH = Path("runs/recorded_grid")
PROBLEMS = tuple(itertools.product(problems.MODELS, problems.DATA))
TIMEOUT_S = 600.0  # not enforced here: nothing hangs without a second process to wait for


def main() -> int:
    """Record what is missing, then write the table; return 1 when a trial was no measurement."""
    options = _options()
    os.environ["OMP_NUM_THREADS"] = "1"  # before a worker imports torch
    for data in problems.DATA:
        problems.prepare(data, options.data, options.scratch)
    found = {problem: complete(*problem, options.scratch, options.processes) for problem in PROBLEMS}
    wrong = [record for records in found.values() for record in records if not record.outcome.is_evidence]
    for record in wrong:
        print(f"no measurement: {record.plan.run_name}: {record.outcome}: {record.message}", file=sys.stderr)
    if wrong:
        return 1
    write(pd.concat([table(*problem, records) for problem, records in found.items()]), TABLE)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the two data sets")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="where finished trials are kept")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def complete(model: str, data: str, scratch: Path, processes: int) -> list[TrialRecord]:
    """Return the record of every plan of one problem; runs those that the scratch file lacks."""
    path = scratch / f"{model}-{data}.jsonl"
    done = {record.plan.number: record for record in read(path)}
    append(path, done.values(), mode="w")  # without what was being written when it was stopped
    missing = [plan for plan in problems.plans() if plan.number not in done]
    print(f"{model} on {data}: {len(done)} trials are there, {len(missing)} to run", flush=True)
    for record in run(missing, work_order(model, data, scratch), processes):
        append(path, [record])
        done[record.plan.number] = record
    return [done[number] for number in sorted(done)]


def run(plans: Sequence[TrialPlan], order: WorkOrder, processes: int) -> Iterator[TrialRecord]:
    """Yield the record of each plan as it finishes; every process builds the workload once."""
    if plans:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            yield from pool.imap_unordered(partial(work, order=order), plans)


def work_order(model: str, data: str, scratch: Path) -> WorkOrder:
    """Return what the processes need, whatever the plan."""
    from stabsearch.trial.setup import TrialSetup

    setup = TrialSetup(problems.MAX_STEPS, training=problems.TRAINING, allow_fp16_on_cpu=True)
    return WorkOrder(problems.task(model, data, scratch), setup, TIMEOUT_S)


def append(path: Path, records: Iterable[TrialRecord], mode: str = "a") -> None:
    """Write one line per record."""
    with path.open(mode) as file:
        file.writelines(json.dumps(record.to_json()) + "\n" for record in records)


def read(path: Path) -> Iterator[TrialRecord]:
    """Yield the records of a scratch file, but for a last line that has no end yet."""
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        if line.endswith("\n"):
            yield TrialRecord.from_json(json.loads(line))


def table(model: str, data: str, records: Sequence[TrialRecord]) -> pd.DataFrame:
    """Return one row per trial of one problem, labelled among its peers."""
    rows = [_row(record) for record in relabel(records, OutcomeRules())]
    frame = pd.DataFrame(rows).astype({"first_bad_step": "Int64"})
    return pd.DataFrame({"model": model, "data": data}, index=frame.index).join(frame)


def _row(record: TrialRecord) -> dict[str, object]:
    plan = record.plan
    return {
        "precision": plan.precision,
        "warmup_steps": plan.warmup_steps,
        "max_grad_norm": plan.max_grad_norm,
        "learning_rate": float(f"{plan.learning_rate:.6g}"),
        "seed": plan.model_seed,
        "outcome": record.outcome.value,
        "grade": record.grade.value if record.grade else "",
        "steps": record.steps,
        "first_bad_step": record.first_bad_step,
    }


def write(trials: pd.DataFrame, path: Path) -> None:
    """Write the table; the same rows give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(trials.to_csv(index=False, lineterminator="\n").encode(), mtime=0))


if __name__ == "__main__":
    sys.exit(main())
