"""How many trials at a time a device takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertForSequenceClassification

from stabsearch.config import QuickstartTask
from stabsearch.driver import packing
from stabsearch.driver.base import WorkOrder
from stabsearch.driver.child import Child, same_modules
from stabsearch.driver.given import GivenWorkload
from stabsearch.driver.packing import Packed, Packing, Ran, chosen, side_by_side
from stabsearch.errors import UserError
from stabsearch.records import Outcome, Stage, TrialPlan
from stabsearch.task.models import PretrainedCopies
from stabsearch.task.registry import build_workload
from stabsearch.task.workload import RowWorkload
from stabsearch.testing.faulty_task import FaultyTask, build_faulty
from stabsearch.trial.setup import TrialSetup

PLAN = TrialPlan(0, Stage.CANARY, 1e-5, 0, 1.0, "fp32", 1, 2, horizon=20)
TINY = QuickstartTask(num_rows=64, hidden_size=16, num_hidden_layers=1)


def device(speeds: dict[int, float], share: float = 0.01) -> tuple[Callable[[int], Packed], list[int]]:
    """Return what runs trials at given speeds, each with a share of the memory, and what was asked."""
    asked: list[int] = []

    def run(trials: int) -> Packed:
        asked.append(trials)
        fits = share * trials <= 1
        return Packed(trials, speeds[trials] if fits else 0.0, min(share * trials, 1.0), fits)

    return run, asked


def test_as_many_as_there_are_cores_where_each_brings_its_own() -> None:
    """Also where their number is no power of two."""
    run, asked = device({1: 10, 2: 20, 4: 40, 6: 60})
    assert chosen(run, 6, on_gpu=False).trials == 6
    assert asked == [1, 2, 4, 6]


def test_the_fewest_that_are_as_good_as_any() -> None:
    """Twice as many that bring 2 % more end later each; beyond them nothing is tried."""
    run, asked = device({1: 100, 2: 180, 4: 184, 8: 500})
    found = chosen(run, 64, on_gpu=True)
    assert (found.trials, asked) == (2, [1, 2, 4])


def test_more_that_are_slower_together_are_not_taken() -> None:
    """One trial may fill the device."""
    run, _ = device({1: 100, 2: 70})
    assert chosen(run, 64, on_gpu=True).trials == 1


def test_what_would_not_fit_is_not_tried() -> None:
    """Three quarters of the memory for two: four are left alone."""
    run, asked = device({1: 10, 2: 20, 4: 40}, share=0.375)
    assert chosen(run, 64, on_gpu=True).trials == 2
    assert asked == [1, 2]


def test_out_of_memory_ends_the_measuring() -> None:
    """What fitted before is the answer, and the sentence says both."""

    def run(trials: int) -> Packed:
        return Packed(trials, 10.0 * trials, 0.2 * trials) if trials < 4 else Packed(4, 0.0, 1.0, fits=False)

    found = chosen(run, 64, on_gpu=True)
    assert found.sentence() == (
        "packing: 2 at a time on each GPU (with 1 10 steps/s and 20% of memory; "
        "with 2 20 steps/s and 40% of memory; 4 do not fit)"
    )


@pytest.mark.parametrize(
    ("trials", "on_gpu", "meant"),
    [
        (1, True, (1.0, 1.0)),
        (3, True, (1.0, 0.3333)),
        (8, True, (1.0, 0.125)),
        (2, False, (4.0, 0.0)),
        (8, False, (1.0, 0.0)),
    ],
)
def test_what_a_trial_takes(trials: int, on_gpu: bool, meant: tuple[float, float]) -> None:
    """So many trials fit, and not one more."""
    taken = Packing(trials, on_gpu, 8, ()).resources
    assert (taken["cpus_per_trial"], taken["gpus_per_trial"]) == meant


def test_a_packing_is_kept_in_a_study() -> None:
    """JSON and back."""
    found = Packing(2, True, 8, (Packed(1, 10.0, 0.1), Packed(2, 12.0, 1.0, fits=False)))
    assert Packing.from_json(found.to_json()) == found


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MEASURE_S", 0.1)


def order_of(task: Any, build: Any = None) -> WorkOrder:
    return WorkOrder(task, TrialSetup(max_steps=40), 120.0, build)


def test_trials_really_run_side_by_side() -> None:
    """Two processes train at the same time, and the memory is that of both."""
    alone, two = (side_by_side(order_of(TINY), PLAN, trials, cores=2) for trials in (1, 2))
    assert (alone.fits, two.fits) == (True, True)
    assert min(alone.steps_per_s, two.steps_per_s) > 0
    assert 1.5 < two.share / alone.share < 2.5


def test_a_workload_with_a_checkpoint_reaches_the_processes(tmp_path: Path) -> None:
    """It goes as bytes: torch would send weights as open files, which these processes cannot take."""
    made = build_workload(TINY)
    assert isinstance(made, RowWorkload)
    config = BertConfig(vocab_size=len(made.tokenizer), hidden_size=16, num_hidden_layers=1, num_labels=4,
                        num_attention_heads=2, intermediate_size=16)  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    copies = PretrainedCopies(str(tmp_path), BertForSequenceClassification, trust_remote_code=False)
    order = order_of(TINY, GivenWorkload(replace(made, make_model=copies)))
    assert side_by_side(order, PLAN, 1, cores=1).fits


@dataclass(frozen=True)
class Hungry:
    """A task whose trials need more memory than there is."""

    folder: str
    alone: bool
    """One trial has enough."""


def build_hungry(task: Hungry) -> Any:
    """Return a workload of which each process but the first, or every one, runs out of memory."""
    import os

    first = Path(task.folder) / "first"
    if task.alone and not first.exists():
        first.write_text(str(os.getpid()))
    else:
        raise MemoryError("there is no more")
    return build_faulty(FaultyTask(task.folder))


def test_trials_that_do_not_fit_together(tmp_path: Path) -> None:
    """One of two has too little memory."""
    found = side_by_side(order_of(Hungry(str(tmp_path), alone=True), build_hungry), PLAN, 2, cores=2)
    assert (found.fits, found.steps_per_s) == (False, 0.0)


def test_a_trial_that_does_not_fit_by_itself_is_an_error(tmp_path: Path) -> None:
    """There is nothing to pack."""
    with pytest.raises(UserError, match="one by itself does not run: MemoryError: there is no more"):
        side_by_side(order_of(Hungry(str(tmp_path), alone=False), build_hungry), PLAN, 1, cores=2)


def test_a_trial_that_raises_is_an_error(tmp_path: Path) -> None:
    """Whatever else goes wrong would go wrong in the sweep, too."""
    task = FaultyTask(str(tmp_path), ((PLAN.model_seed, "raise"),))
    with pytest.raises(UserError, match="does not run: RuntimeError: the trial raised"):
        side_by_side(order_of(task, build_faulty), PLAN, 1, cores=2)


ON_GPU = WorkOrder(TINY, TrialSetup(max_steps=40, on_gpu=True), 120.0)


def test_trials_that_share_a_gpu_see_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that are visible, a Trainer would take all."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert packing._one_gpu(ON_GPU) == {"CUDA_VISIBLE_DEVICES": "3"}
    assert packing._one_gpu(order_of(TINY)) == {}


@pytest.mark.parametrize(("gpus", "meant"), [("0", 8), ("0,1", 4), ("0,1,2,3,4,5,6,7,8,9", 1)])
def test_gpus_share_out_the_cores(gpus: str, meant: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that all fit on one GPU must not leave the others without a core."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setattr(packing, "cores", lambda: 8)
    assert packing.cores_per_device(on_gpu=True) == meant
    assert packing.cores_per_device(on_gpu=False) == 8


def test_the_fullest_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's is shared by the trials of all its GPUs, a GPU's by its own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    ran = [Ran(Outcome.STABLE, "", 10, 1.0, {"machine": 0.1, "gpu": 0.3}) for _ in range(2)]
    assert packing._fullest(ran, on_gpu=True) == pytest.approx(0.8)
    assert packing._fullest(ran, on_gpu=False) == pytest.approx(0.6)


@pytest.mark.parametrize(("cores", "has_room"), [(8, True), (16, True), (4, False)])
def test_a_packing_of_a_larger_machine_has_no_room(
    cores: int, has_room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that goes on there measures again."""
    monkeypatch.setattr(packing, "cores", lambda: cores)
    assert Packing(1, on_gpu=False, cores=8, tried=()).has_room() is has_room


def test_a_process_ends_with_the_one_that_started_it() -> None:
    """Also in the middle of a trial: the line is cut, and nobody would ever end it."""
    child = Child.started(0, {**os.environ, **same_modules()}, packing.MODULE)
    long = replace(PLAN, horizon=10**6)
    child.send(replace(order_of(TINY), setup=TrialSetup(max_steps=10**6)))
    child.send(long)
    child.line.close()
    assert child.process.wait(60) == 0
