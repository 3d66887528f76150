"""A trial of two processes is one trial: they stop together, and one of them says why."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rank_samples import (
    BAD_ROW,
    HELD_OUT,
    INFLATED,
    NO_SLOPE,
    PLAIN,
    POISONED,
    STEEP,
    STILL,
    UNBALANCED,
    WORDS,
    RankTask,
    Several,
    group,
)
from trial_samples import plan, setup

from stabsearch.capture.bundle import read_bundle
from stabsearch.driver.ranks import RankGroup
from stabsearch.forensics.replay import Options, replay
from stabsearch.records import Cause, Outcome, TrialPlan, TrialRecord
from stabsearch.trial.run import run_trial


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def two(folder: Path) -> Iterator[RankGroup]:
    """Return two warm processes."""
    ranks = group(folder)
    yield ranks
    ranks.close()


def alone(trial: TrialPlan, folder: Path, **training: object) -> TrialRecord:
    """Return what one process makes of the trial, with batches twice as large."""
    kept = setup(training={"per_device_train_batch_size": 8, **training}, allow_fp16_on_cpu=True)
    return run_trial(trial, Several(RankTask(str(folder))), kept)


@pytest.mark.parametrize("seed", [STILL, WORDS])
def test_two_processes_train_as_one_on_batches_twice_as_large(
    two: RankGroup, folder: Path, seed: int
) -> None:
    """Losses and gradient norms are the same but for the order of sums, for both ways of averaging."""
    trial = plan(model_seed=seed, max_grad_norm=0.5)
    record, single = two.work(trial), alone(trial, folder)
    assert record.outcome is single.outcome is Outcome.STABLE, record.message
    assert record.trace.losses == pytest.approx(single.trace.losses, rel=1e-5)
    assert record.trace.grad_norms == pytest.approx(single.trace.grad_norms, rel=1e-4)
    assert record.effective is not None
    assert (record.effective.num_processes, record.effective.batch_rows) == (2, 4)


def test_the_loss_is_per_example_where_the_trainer_multiplies_it(two: RankGroup, folder: Path) -> None:
    """Transformers multiplies by the number of processes what it takes for a share, and BERT's is none.

    The real run does the same: training is left as it is, what is recorded and judged is divided.
    """
    trial = plan(model_seed=INFLATED, learning_rate=1e-9, max_grad_norm=0.0)
    record, single = two.work(trial), alone(trial, folder)
    assert record.trace.losses == pytest.approx(single.trace.losses, rel=1e-5)
    twice = [2 * norm for norm in single.trace.grad_norms]
    assert record.trace.grad_norms == pytest.approx(twice, rel=1e-4)


def test_what_the_trainer_multiplies_can_be_mended(tmp_path: Path) -> None:
    """Where the sweep asks for it, gradients too are those of one process on batches twice as large."""
    trial = plan(model_seed=INFLATED, max_grad_norm=0.5)
    mended = group(tmp_path, accumulation="fix")
    try:
        record, single = mended.work(trial), alone(trial, tmp_path)
    finally:
        mended.close()
    assert record.trace.losses == pytest.approx(single.trace.losses, rel=1e-5)
    assert record.trace.grad_norms == pytest.approx(single.trace.grad_norms, rel=1e-4)


def test_held_out_rows_count_once_however_many_processes_share_them(two: RankGroup, folder: Path) -> None:
    """The loss on them is that of one process, though the last batch is filled up from the front."""
    trial = plan(model_seed=HELD_OUT)
    record, single = two.work(trial), alone(trial, folder)
    assert record.outcome is single.outcome is Outcome.STABLE, record.message
    assert math.isfinite(single.eval_loss)
    assert record.eval_loss == pytest.approx(single.eval_loss, rel=1e-5)


def test_the_same_plan_gives_the_same_numbers(two: RankGroup) -> None:
    """In processes that have run other trials meanwhile."""
    first = two.work(plan(model_seed=PLAIN))
    two.work(plan(model_seed=STILL, precision="bf16", data_seed=9))
    assert two.work(plan(model_seed=PLAIN)).trace == first.trace


@pytest.mark.parametrize(("data_seed", "process"), [(2, 0), (3, 1)])
def test_a_poisoned_row_of_either_process_stops_both(
    two: RankGroup, folder: Path, data_seed: int, process: int
) -> None:
    """In the step in which one process on the doubled batch would have stopped; the row is named."""
    trial = plan(model_seed=POISONED, data_seed=data_seed, horizon=16, number=data_seed)
    record, single = two.work(trial), alone(trial, folder)
    assert (record.outcome, record.cause) == (Outcome.DATA_FAULT, Cause.DATA)
    assert f"of process {process})" in record.message
    assert record.suspect_rows == single.suspect_rows == (BAD_ROW,)
    assert record.first_bad_step == single.first_bad_step == record.steps + 1
    bundle = read_bundle(folder / record.bundle)
    rows = bundle.manifest.window[0].rows
    assert rows is not None
    assert (len(rows), BAD_ROW in rows) == (4, True)
    assert replay(bundle, Options(trust_code=True)).verdict == "bit-exact"


def test_a_gradient_that_one_process_spoiled(two: RankGroup, folder: Path) -> None:
    """After the average it is bad everywhere; the rows are those of the process that it came from."""
    trial = plan(model_seed=NO_SLOPE, horizon=16, number=40)
    record, single = two.work(trial), alone(trial, folder)
    assert record.message.startswith("gradient is nan at optimizer step")
    assert (record.cause, record.suspect_rows) == (single.cause, single.suspect_rows)
    assert record.suspect_rows == (BAD_ROW,)
    assert record.first_bad_step == single.first_bad_step
    assert replay(read_bundle(folder / record.bundle), Options(trust_code=True)).verdict == "bit-exact"


def test_a_bundle_of_losses_that_are_averaged_by_labels(two: RankGroup, folder: Path) -> None:
    """The number of labels counts those of all processes; a replay by one comes to the same bits."""
    trial = plan(model_seed=WORDS, learning_rate=1e20, max_grad_norm=0.0, number=41)
    record = two.work(trial)
    assert record.outcome is Outcome.NONFINITE, record.message
    assert record.cause is Cause.LEARNING_RATE
    assert replay(read_bundle(folder / record.bundle), Options(trust_code=True)).verdict == "bit-exact"


def test_a_loss_scale_that_never_settles(two: RankGroup, folder: Path) -> None:
    """Skipped updates are skipped by both, and judged alike."""
    trial = plan(model_seed=STEEP, precision="fp16", horizon=40, number=42)
    record, single = two.work(trial), alone(trial, folder)
    assert record.outcome is single.outcome is Outcome.SCALE_FLOOR, record.message
    assert (record.cause, record.skipped_steps) == (single.cause, single.skipped_steps)
    assert record.first_bad_step == single.first_bad_step


def test_epochs_end_together(two: RankGroup) -> None:
    """Rows that do not divide evenly: Accelerate fills up from the front, and nobody waits for more."""
    record = two.work(plan(model_seed=UNBALANCED, horizon=12))
    assert (record.outcome, record.steps) == (Outcome.STABLE, 12)
    assert all(map(math.isfinite, record.trace.losses))


def test_fewer_processes_than_planned_is_no_measurement(folder: Path) -> None:
    """A trial that trained on smaller batches than it should says nothing of the run that is prepared."""
    wrong = replace(setup(), num_processes=2)
    record = run_trial(plan(model_seed=STILL), Several(RankTask(str(folder))), wrong)
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert record.message == "processes: planned 2, effective 1"
