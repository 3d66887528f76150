"""Workloads that are handed to workers instead of being built there."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from stabsearch.config import QuickstartTask
from stabsearch.driver.environment import prepare
from stabsearch.driver.given import GivenWorkload, builder
from stabsearch.driver.interrupts import kept_handlers
from stabsearch.task.models import PretrainedCopies
from stabsearch.task.registry import build_workload
from stabsearch.task.workload import RowWorkload
from stabsearch.testing.faulty_task import FaultyTask, build_faulty


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> RowWorkload:
    """Return a workload on a checkpoint that is large enough for Ray to keep it in shared memory."""
    folder = tmp_path_factory.mktemp("checkpoint")
    config = BertConfig(
        hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=128, vocab_size=4000
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    made = build_workload(QuickstartTask(num_rows=20_000))
    assert isinstance(made, RowWorkload)
    copies = PretrainedCopies(str(folder), AutoModelForSequenceClassification, trust_remote_code=False)
    return RowWorkload(made.rows, made.chance_loss, made.tokenizer, made.collator, copies)


@pytest.mark.ray
def test_workers_read_rows_and_weights_where_ray_keeps_them(workload: RowWorkload) -> None:
    """Neither is copied on the way: the memory is Ray's, for reading only, and models are copies of it."""
    prepare(is_local=True)
    import ray

    with kept_handlers(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Zero-copy tensor|The given NumPy array is not writable")
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            given = ray.get(ray.put(GivenWorkload(workload)))
            received = given(None)
            tokens_T = received.rows.columns["input_ids"].flat_T
            assert not tokens_T.flags.writeable
            assert is_shared(tokens_T.ctypes.data)
            assert [received.rows[row] for row in range(50)] == [workload.rows[row] for row in range(50)]
            template = received.make_model._template
            embedding = template.get_input_embeddings().weight
            assert is_shared(embedding.data_ptr())
            made, meant = received.model(3).state_dict(), workload.model(3).state_dict()
            assert all(torch.equal(made[name], value) for name, value in meant.items())
            assert received.model(3).get_input_embeddings().weight.data_ptr() != embedding.data_ptr()
        finally:
            ray.shutdown()


def is_shared(address: int) -> bool:
    """Return whether this memory is one that processes share, as what Ray keeps is."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions = line.split()[:2]
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= address < high:
            return permissions.endswith("s")
    return False


def test_only_what_another_process_can_take_is_handed_over(workload: RowWorkload, tmp_path: Path) -> None:
    """Classes that came with a model, and Trainers of the user's own code, are made where they are used."""
    handed = builder(workload, trust_remote_code=False)
    assert handed is not None
    assert handed(None) is workload
    assert builder(workload, trust_remote_code=True) is None
    assert builder(build_faulty(FaultyTask(str(tmp_path))), trust_remote_code=False) is None
    assert builder(None, trust_remote_code=False) is None
