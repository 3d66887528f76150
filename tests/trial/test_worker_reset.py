"""A trial in a worker that has seen much is the trial of a fresh process, bit for bit."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from stabsearch.config import QuickstartTask
from stabsearch.records import Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.task.digest import tensors_digest, weights_digest
from stabsearch.task.models import PretrainedCopies
from stabsearch.task.registry import build_workload
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup
from stabsearch.trial.switches import SWITCHES

PLAN = TrialPlan(0, Stage.SEARCH, 3e-3, 0, 1.0, "fp32", 5, 6, horizon=6)
TASK = {"num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1}
PROGRAM = """
import json, sys
from stabsearch.config import QuickstartTask
from stabsearch.records.record import plan_from_json
from stabsearch.task.registry import build_workload
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup
task, plan = json.loads(sys.argv[1]), plan_from_json(json.loads(sys.argv[2]))
record = run_trial(plan, build_workload(QuickstartTask(**task)), TrialSetup(max_steps=12))
print(json.dumps([record.initial_weights, [loss.hex() for loss in record.trace.losses]]))
"""


POISONS: dict[str, Callable[[], Any]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "gradients off": lambda: torch.set_grad_enabled(False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "autocast dtype": lambda: torch.set_autocast_dtype("cpu", torch.float16),
    "matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    "attention kernels": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
    "threads": lambda: torch.set_num_threads(2),
    "generators": lambda: (torch.manual_seed(1), np.random.seed(1), random.seed(1)),
}


def plan_in_json() -> str:
    return json.dumps(TrialRecord(PLAN, Outcome.STABLE).to_json()["plan"])


@pytest.fixture(scope="module")
def workload() -> RowWorkload:
    torch.set_num_threads(1)
    made = build_workload(QuickstartTask(**TASK))
    assert isinstance(made, RowWorkload)
    return made


@pytest.fixture(scope="module")
def fresh() -> tuple[str, list[str]]:
    """Return digest and losses of the trial in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(TASK), plan_in_json()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    digest, losses = json.loads(done.stdout.splitlines()[-1])
    return digest, losses


@pytest.fixture(autouse=True)
def _switched_back() -> Iterator[None]:
    before = [read() for read, _ in SWITCHES]
    yield
    for (_, write), value in zip(SWITCHES, before, strict=True):
        write(value)
    torch.set_float32_matmul_precision("highest")
    torch.set_num_threads(1)


def ran(workload: RowWorkload) -> tuple[str, list[str]]:
    record = run_trial(PLAN, workload, TrialSetup(max_steps=12))
    assert record.outcome is Outcome.STABLE, record.message
    return record.initial_weights, [loss.hex() for loss in record.trace.losses]


@pytest.mark.parametrize("poison", POISONS)
def test_nothing_of_the_process_reaches_a_trial(
    workload: RowWorkload, fresh: tuple[str, list[str]], poison: str
) -> None:
    """Digest of the first weights and every loss are those of a fresh process."""
    assert ran(workload) == fresh
    POISONS[poison]()
    assert ran(workload) == fresh


def test_a_diverged_trial_leaves_nothing(workload: RowWorkload, fresh: tuple[str, list[str]]) -> None:
    """The trial after one that ended in the middle of a step is like any other."""
    wild = TrialPlan(1, Stage.SEARCH, 1e30, 0, 0.0, "fp32", 5, 6, horizon=6)
    assert run_trial(wild, workload, TrialSetup(max_steps=12)).outcome is Outcome.NONFINITE
    assert ran(workload) == fresh


def test_equal_seeds_have_equal_digests_in_every_precision(workload: RowWorkload) -> None:
    """It is that of the weights as they came, before a precision rounds them."""
    digests = {
        (seed, precision): run_trial(
            TrialPlan(0, Stage.SEARCH, 1e-3, 0, 1.0, precision, seed, 6, horizon=1),
            workload,
            TrialSetup(max_steps=12),
        ).initial_weights
        for seed in (1, 2)
        for precision in ("fp32", "bf16", "bf16-pure")
    }
    assert len({digests[1, each] for each in ("fp32", "bf16", "bf16-pure")}) == 1
    assert digests[1, "fp32"] != digests[2, "fp32"]


def test_other_weights_from_the_same_seed_are_a_crash(workload: RowWorkload) -> None:
    """A model that remembers the trial before would make every later trial of this worker worthless."""
    kept: list[Any] = []

    def reused(seed: int) -> Any:
        if not kept:
            kept.append(workload.make_model(seed))
        return kept[0]

    leaking = RowWorkload(workload.rows, workload.chance_loss, workload.tokenizer, workload.collator, reused)
    first = run_trial(PLAN, leaking, TrialSetup(max_steps=12))
    again = run_trial(PLAN, leaking, TrialSetup(max_steps=12))
    assert (first.outcome, again.outcome) == (Outcome.STABLE, Outcome.CRASHED)
    assert again.message == "model seed 5 gave other first weights than before in this worker"


def test_a_written_to_checkpoint_is_a_crash(workload: RowWorkload, tmp_path: Path) -> None:
    """All copies of it would be wrong, whatever their seed."""
    config = {"vocab_size": len(workload.tokenizer), "hidden_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 16, "num_labels": 4}  # fmt: skip
    BertForSequenceClassification(BertConfig(**config)).save_pretrained(tmp_path)
    maker = PretrainedCopies(str(tmp_path), BertForSequenceClassification, trust_remote_code=False)
    used = RowWorkload(workload.rows, workload.chance_loss, workload.tokenizer, workload.collator, maker)
    assert run_trial(PLAN, used, TrialSetup(max_steps=12)).outcome is Outcome.STABLE
    with torch.no_grad():
        maker._template.get_input_embeddings().weight[0, 0] += 1
    record = run_trial(PLAN, used, TrialSetup(max_steps=12))
    assert record.outcome is Outcome.CRASHED
    assert "have changed since they were read: an earlier trial has written to them" in record.message


@pytest.mark.gpu
def test_a_checkpoint_kept_on_the_gpu_gives_the_same_weights(tmp_path: Path) -> None:
    """Also the new head, which is drawn on the processor."""
    config = BertConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=16)
    BertForSequenceClassification(config).bert.save_pretrained(tmp_path)
    maker = PretrainedCopies(
        str(tmp_path), BertForSequenceClassification, trust_remote_code=False, num_labels=3
    )
    there = maker.on(torch.device("cuda", 0), 7)
    assert there.device.type == "cuda"
    assert maker._on_device is not None
    assert weights_digest(there) == weights_digest(maker(7))


def test_a_digest_sees_every_bit_and_place() -> None:
    """Other values, places, shapes, dtypes and names are other digests; a view is what it shows."""
    torch.manual_seed(0)
    weight = torch.randn(300, 100)  # more than a table's row of words, and a rest
    flipped = weight.clone()
    flipped[299, 99] = -flipped[299, 99]
    others = [
        {"a": flipped},
        {"a": weight.flip(0)},
        {"a": weight.flip(1)},
        {"a": weight.reshape(100, 300)},
        {"a": weight.double()},
        {"b": weight},
        {"a": torch.zeros(300, 100)},
        {"a": torch.ones(300, 100)},
        {"a": weight, "b": torch.zeros(0)},
    ]
    digests = [tensors_digest(each) for each in ({"a": weight}, *others)]
    assert len(set(digests)) == len(digests)
    padded = torch.cat([torch.zeros(1, 100), weight])[1:]
    assert tensors_digest({"a": padded}) == digests[0]
    assert tensors_digest({"a": weight.T.contiguous().T}) == digests[0]


def test_a_digest_sees_words_that_change_places() -> None:
    """Within a row of the table that they are summed in, from row to row, and bits under another name."""
    words = torch.randint(2**62, (3, 1024))
    in_row, rows = words.clone(), words[[1, 0, 2]]
    in_row[0, [3, 4]] = in_row[0, [4, 3]]
    held = (words, in_row, rows, words.view(torch.float64))
    assert len({tensors_digest({"a": each}) for each in held}) == 4


def test_a_digest_takes_every_dtype() -> None:
    """Whatever a model holds: masks, half precision, quantised bytes, scalars, an odd offset."""
    held = {
        name: torch.tensor([1, 0, 1], dtype=getattr(torch, name))
        for name in ("bool", "uint8", "int8", "float16", "bfloat16", "float64", "complex64", "int64")
    }
    odd = {"scalar": torch.tensor(3.0), "odd": torch.arange(7, dtype=torch.float16)[1:]}
    assert len(tensors_digest({**held, **odd, "no tensor": 1})) == 16
