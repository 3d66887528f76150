"""Print how far ramps and sharpness lie from the frontier that a dense grid of trials shows.

python experiments/prior_probes.py [--data FOLDER] [--checkpoint FOLDER] [--cases NAME ...]

FOLDER holds clinc150_small_train.tsv and snips_train.jsonl (sources in LOG.md); without it only the
quickstart task runs. Offsets are log10(learning rate) minus log10(frontier) in decades: positive lies above.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from stabsearch.config import QuickstartTask, SequenceClassificationTask
from stabsearch.frontier.labels import relabel
from stabsearch.records import OutcomeRules, Precision, Stage, TrialPlan, TrialRecord
from stabsearch.records.ramp import as_ramp, broke_at, ramp_learning_rate, rose_at
from stabsearch.task.quickstart import build as build_quickstart
from stabsearch.task.text_classification import build as build_sequence_classification
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup
from stabsearch.trial.sharpness import measure_sharpness

RULES = OutcomeRules()
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
RAMP = (1e-5, 1.0)
PROBE_SEEDS = range(1000, 1003)
WARMUP_STEPS = 20


@dataclass(frozen=True)
class Case:
    """A workload, and the grid of trials that shows its frontier; no warmup, clip 1."""

    build: Callable[[], RowWorkload]
    horizon: int = 120
    log_rates: tuple[float, ...] = tuple(np.arange(-3.5, -1.49, 0.25).tolist())
    num_seeds: int = 4
    known: Mapping[str, float] = field(default_factory=dict)
    """log10 of frontiers that were measured before, per precision, instead of a grid."""


def main() -> None:
    options = arguments()
    cases = {name: case for name, case in all_cases(options).items() if name in (options.cases or [name])}
    print("| case | precision | frontier | probe | values | offset, decades |\n|---|---|---|---|---|---|")
    offsets: dict[str, list[float]] = {}
    for name, case in cases.items():
        workload = case.build()
        for precision in options.precisions:
            report(name, case, workload, precision, offsets)
    for probe, values in offsets.items():
        print(f"{probe}: {summary(values)}")


def report(
    name: str, case: Case, workload: RowWorkload, precision: Precision, offsets: dict[str, list[float]]
) -> None:
    began = time.monotonic()
    low, high = frontier_between(case, workload, precision)
    took_s = time.monotonic() - began
    middle = (low + high) / 2
    for probe, values in probes(case, workload, precision):
        known = [value - middle for value in values if value is not None]
        offsets.setdefault(probe, []).extend(known)
        shown = " ".join("none" if value is None else f"{value:.2f}" for value in values)
        where = f"{low:.2f} to {high:.2f}"
        print(f"| {name} | {precision} | {where} | {probe} | {shown} | {summary(known)} |", flush=True)
    print(f"<!-- grid {took_s:.0f} s, probes {time.monotonic() - began - took_s:.0f} s -->", flush=True)


def frontier_between(case: Case, workload: RowWorkload, precision: Precision) -> tuple[float, float]:
    """Return log10 of the highest learning rate below the first failure, and of the first that failed."""
    if precision in case.known:
        return case.known[precision], case.known[precision]
    plans = [
        TrialPlan(
            number, Stage.SEARCH, float(10**rate), 0, 1.0, precision, number, number + 500, case.horizon
        )
        for number, rate in enumerate(np.repeat(case.log_rates, case.num_seeds))
    ]
    records = relabel([run_trial(plan, workload, setup_of(case)) for plan in plans], RULES)
    failed = [record.outcome.is_failure for record in records]
    share_L = np.reshape(failed, (-1, case.num_seeds)).mean(axis=1)
    shown = " ".join(f"{rate:.2f}:{share:.2f}" for rate, share in zip(case.log_rates, share_L, strict=True))
    print(f"<!-- {precision}, share of failures per log10(learning rate): {shown} -->", flush=True)
    first = int(np.argmax(share_L > 0)) if share_L.any() else len(share_L)
    padded = (math.nan, *case.log_rates, math.nan)
    return padded[first], padded[first + 1]


def probes(
    case: Case, workload: RowWorkload, precision: Precision
) -> Iterator[tuple[str, list[float | None]]]:
    """Yield the name of each probe and its log10 learning rate per seed, None where it has none."""
    ramps = [run_trial(ramp(case, precision, seed), workload, setup_of(case)) for seed in PROBE_SEEDS]
    yield "ramp: broke", [broke_at(record) for record in ramps]
    yield "ramp: loss rose above its start", [rose_at(record, RULES) for record in ramps]
    yield "ramp: lowest loss", [lowest_at(record) for record in ramps]
    measured = [
        measure_sharpness(workload, setup_of(case), num_steps=WARMUP_STEPS, seed=seed) for seed in PROBE_SEEDS
    ]
    brackets = [sharpness.bracket or (math.nan, math.nan) for sharpness in measured]
    lows, highs = ([math.log10(rate) for rate in ends] for ends in zip(*brackets, strict=True))
    yield "sharpness: at the start", lows
    yield f"sharpness: after {WARMUP_STEPS} steps", highs
    yield "sharpness: middle", [(low + high) / 2 for low, high in zip(lows, highs, strict=True)]


def ramp(case: Case, precision: Precision, seed: int) -> TrialPlan:
    return as_ramp(TrialPlan(seed, Stage.RAMP, 1.0, 0, 1.0, precision, seed, seed, case.horizon), *RAMP)


def lowest_at(record: TrialRecord) -> float:
    """Return log10 of the learning rate at which the smoothed loss was lowest."""
    smooth_S = pd.Series(record.trace.losses).ewm(alpha=1 - RULES.smoothing, adjust=False).mean()
    return math.log10(ramp_learning_rate(record.plan, int(smooth_S.argmin()) + 1))


def setup_of(case: Case) -> TrialSetup:
    return TrialSetup(max_steps=5 * case.horizon, training={"per_device_train_batch_size": 16}, rules=RULES)


def summary(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{len(values)} values"
    mean, spread = statistics.mean(values), statistics.stdev(values)
    return f"{mean:+.2f} ± {spread:.2f} ({min(values):+.2f} to {max(values):+.2f}, n={len(values)})"


def all_cases(options: argparse.Namespace) -> dict[str, Case]:
    cases = {
        "quickstart": Case(
            lambda: build_quickstart(QuickstartTask()), log_rates=tuple(np.arange(-4.0, -0.99, 0.25).tolist())
        )
    }
    if options.data:
        bert = {"model_type": "bert", "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
                "intermediate_size": 384, "max_position_embeddings": 24, "vocab_size": 2000}  # fmt: skip
        llama = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
                 "intermediate_size": 192, "vocab_size": 2000, "pad_token_id": 0}  # fmt: skip
        cases["bert-clinc"] = Case(functools.partial(from_config, bert, clinc(options.data)))
        cases["llama-snips"] = Case(functools.partial(from_config, llama, snips(options.data)))
    if options.data and options.checkpoint:
        # medians of the sweep minilm_clinc.yaml, no warmup: its 90 % intervals are 0.7 decades wide
        cases["minilm-clinc"] = Case(
            lambda: classification(clinc(options.data), str(options.checkpoint), None),
            horizon=90,
            known={"fp32": math.log10(5.6e-4), "bf16": math.log10(6.4e-4)},
        )
    return cases


def clinc(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "clinc150_small_train.tsv", sep="\t", quoting=3)
    return pd.DataFrame({"text": frame["text"], "label": frame["domain"]})


def snips(folder: Path) -> pd.DataFrame:
    rows = [json.loads(line) for line in (folder / "snips_train.jsonl").read_text().splitlines()]
    return pd.DataFrame(
        {"text": [" ".join(row["tokens"]) for row in rows], "label": [row["intent"] for row in rows]}
    )


def from_config(config: dict[str, Any], frame: pd.DataFrame) -> RowWorkload:
    """Return a model with random weights and a tokenizer of whole words, made from the texts."""
    core = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]"]
    core.train_from_iterator(
        frame["text"], trainers.WordLevelTrainer(vocab_size=config["vocab_size"], special_tokens=special)
    )
    with tempfile.TemporaryDirectory() as folder:
        PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
            folder
        )
        return classification(frame, {"config": config}, folder)


def classification(frame: pd.DataFrame, model: str | dict[str, Any], tokenizer: str | None) -> RowWorkload:
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder) / "train.jsonl"
        frame.to_json(train, orient="records", lines=True)
        task = SequenceClassificationTask.model_validate(
            {
                "type": "sequence-classification", "model": model, "tokenizer": tokenizer, "text": "text",
                "label": "label", "max_length": 24, "data": {"train": str(train)},
            }
        )  # fmt: skip
        return build_sequence_classification(task)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the data sets")
    parser.add_argument("--checkpoint", type=Path, help="folder of a small pretrained BERT-like model")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--cases", nargs="+", help="names of cases; all by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
