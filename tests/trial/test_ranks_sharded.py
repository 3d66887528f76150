"""Weights that are shared out over processes (FSDP2): the guard holds, and says what it could not look into.

On a CPU the Trainer of these tests is talked into sharding; a GPU is needed for the stock one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rank_samples import BAD_ROW, POISONED_WORDS, SHARDED, WORDS, RankTask, Several, group
from trial_samples import plan, setup

from stabsearch.driver.ranks import RankGroup
from stabsearch.records import Cause, Outcome
from stabsearch.trial.run import run_trial


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RankGroup]:
    """Return two warm processes whose training section asks for FSDP."""
    ranks = group(tmp_path_factory.mktemp("sharded"), training={"fsdp": True})
    yield ranks
    ranks.close()


def test_a_sharded_trial_is_the_same_trial(two: RankGroup, tmp_path: Path) -> None:
    """Losses and norms are those of one process on batches twice as large."""
    trial = plan(model_seed=SHARDED, max_grad_norm=0.5)
    single = run_trial(
        trial, Several(RankTask(str(tmp_path))), setup(training={"per_device_train_batch_size": 8})
    )
    record = two.work(trial)
    assert record.outcome is single.outcome is Outcome.STABLE, record.message
    assert record.trace.losses == pytest.approx(single.trace.losses, rel=1e-5)
    assert record.trace.grad_norms == pytest.approx(single.trace.grad_norms, rel=1e-4)
    assert record.effective is not None
    assert (record.effective.num_processes, record.effective.is_sharded) == (2, True)


def test_what_fsdp_computes_in_is_read_back(two: RankGroup) -> None:
    """It casts the weights themselves, and switches no autocast on."""
    record = two.work(plan(model_seed=SHARDED, precision="bf16"))
    assert record.outcome is Outcome.STABLE, record.message
    assert record.effective is not None
    assert (record.effective.autocast_dtype, record.effective.parameter_dtype) == ("bfloat16", "float32")


def test_a_poisoned_row_is_found_on_the_initial_weights(two: RankGroup) -> None:
    """They are whole, and every process can make them."""
    record = two.work(plan(model_seed=POISONED_WORDS, horizon=8))
    assert (record.outcome, record.cause) == (Outcome.DATA_FAULT, Cause.DATA), record.message
    assert record.suspect_rows == (BAD_ROW,)
    assert record.first_bad_step == record.steps + 1
    assert record.bundle == ""
    assert record.message.endswith("only the initial ones were asked, nothing is kept")


def test_a_divergence_stays_a_failure_of_unknown_cause(two: RankGroup) -> None:
    """The trained weights are in parts, so nobody can tell the learning rate from the precision."""
    record = two.work(plan(model_seed=SHARDED, learning_rate=1e20, max_grad_norm=0.0))
    assert (record.outcome, record.cause) == (Outcome.NONFINITE, Cause.UNKNOWN), record.message
    assert record.outcome.is_evidence


def test_without_a_gpu_nothing_is_shared_out(two: RankGroup) -> None:
    """Accelerate trains with DDP then, without a word: no measurement of what was asked for."""
    record = two.work(plan(model_seed=WORDS))
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert record.message == "fsdp: planned True, effective False"
