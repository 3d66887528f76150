"""The bundles of a watched training: the same whenever it is noticed, and bit-exact in another process."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fresh_process import Said, run_afresh
from odd_models import (
    GoesAroundTrainer,
    OwnStepTrainer,
    Plain,
    RootTrainer,
    SharpTrainer,
    Streamed,
    Weighted,
    squared_loss,
)
from own_trainers import make, same
from transformers import Trainer

from stabsearch import TrainingBroke, watch
from stabsearch.capture.bits import digest
from stabsearch.capture.bundle import Bundle, read_bundle
from stabsearch.capture.manifest import Digest
from stabsearch.errors import UserError
from stabsearch.forensics.replay import Options, replay
from stabsearch.trial.rerun import Rerun

POISONED = Weighted(24, bad=(7, 8))
FLAT = Weighted(24, bad=(7, 8), weight=0.0)


def broken(folder: Path, trainer: Trainer) -> Bundle:
    """Return the bundle of a training that breaks."""
    with pytest.raises(TrainingBroke) as raised:
        watch(trainer, bundle_dir=folder).train()
    assert raised.value.bundle is not None
    return read_bundle(raised.value.bundle)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_noticed_at_once_or_later_it_is_the_same_state(tmp_path: Path, accumulation: int) -> None:
    """A loss seen before its backward pass, or after it: same batch, random numbers, weights, statistics."""
    classes = [Trainer, OwnStepTrainer, GoesAroundTrainer]
    first, *others = (
        broken(tmp_path / cls.__name__, make(cls, POISONED, gradient_accumulation_steps=accumulation))
        for cls in classes
    )
    for other in others:
        assert first.manifest.bad == other.manifest.bad
        assert first.manifest.window == other.manifest.window
        assert same(first.weights(), other.weights())
        for ours, theirs in zip(first.window(), other.window(), strict=True):
            assert digest(ours.inputs.values()) == digest(theirs.inputs.values())
            assert torch.equal(ours.rng.cpu, theirs.rng.cpu)


def test_a_model_that_is_none_of_transformers(tmp_path: Path) -> None:
    """Its bundle is written, and whoever replays it is told why it cannot be made again."""
    bundle = broken(tmp_path, make(rows=POISONED, model=Plain()))
    assert bundle.window()
    with pytest.raises(UserError, match="Plain of odd_models is no PreTrainedModel"):
        replay(bundle, Options(trust_code=True))


def test_another_bad_batch_has_a_bundle_of_its_own(tmp_path: Path) -> None:
    """In a folder that is used again too; the same batch of the same training is there already."""
    first = broken(tmp_path, make(rows=Weighted(24, bad=(7,))))
    other = broken(tmp_path, make(rows=Weighted(24, bad=(11,))))
    assert first.folder != other.folder
    assert 7 in (first.manifest.window[-1].rows or ())
    assert 11 in (other.manifest.window[-1].rows or ())
    assert broken(tmp_path, make(rows=Weighted(24, bad=(7,)))).folder == first.folder
    assert len(list(tmp_path.glob("step-*"))) == 2


def test_streams_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    """Their rows have no numbers."""
    first, other = (broken(tmp_path, make(rows=Streamed(Weighted(24, bad=(row,))))) for row in (7, 11))
    assert first.folder != other.folder


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory"), RuntimeError("no mood")])
def test_a_step_that_cannot_be_run_again_is_kept_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The batch is the answer; only the bits to compare with are missing."""

    def refuse(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Rerun, "as_trained", refuse)
    bundle = broken(tmp_path, make(rows=POISONED))
    assert bundle.manifest.digest == Digest()
    assert bundle.window()


def test_a_step_that_ran_out_of_memory_leaves_no_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is what is short then."""
    original = Rerun._step

    def step(*arguments: Any) -> None:
        original(*arguments)
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(Rerun, "_step", step)
    trainer = make(rows=POISONED)
    broken(tmp_path, trainer)
    assert all(weight.grad is None for weight in trainer.model.parameters())


def pairs(rows: list[dict[str, Any]]) -> tuple[torch.Tensor, ...]:
    """Return a batch without names."""
    ids, labels = torch.stack([row["input_ids"] for row in rows]), [row["labels"] for row in rows]
    return ids, torch.tensor(labels), torch.tensor([row["weight"] for row in rows])


class PairTrainer(Trainer):
    """A Trainer for batches without names."""

    def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
        return model(*inputs)["loss"]


def test_a_batch_without_names(tmp_path: Path) -> None:
    """It is trained on as it is, and guarded; its bundle holds all but the batch, and says so."""
    trainer = make(PairTrainer)
    trainer.data_collator = pairs
    watch(trainer).train()
    assert trainer.state.global_step == 8
    trainer = make(PairTrainer, POISONED)
    trainer.data_collator = pairs
    bundle = broken(tmp_path, trainer)
    assert bundle.manifest.digest.outputs, "it could be run again at once"
    assert {7, 8} & set(bundle.manifest.window[-1].rows or ())
    with pytest.raises(UserError, match="'the whole batch' was a tuple without names"):
        replay(bundle, Options(trust_code=True))


def in_passing(folder: Path) -> Path:
    """Return the bundle of a training that went on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watch(make(rows=POISONED, bf16=True), "warn", folder).train()
    return min(folder.glob("step-*"))


def deterministic(folder: Path) -> Path:
    """Return the bundle of a training with deterministic algorithms."""
    torch.use_deterministic_algorithms(True)
    try:
        return broken(folder, make(rows=POISONED)).folder
    finally:
        torch.use_deterministic_algorithms(False)


def of(*arguments: Any, **named: Any) -> Callable[[Path], Path]:
    return lambda folder: broken(folder, make(*arguments, **named)).folder


def with_function(folder: Path) -> Path:
    """Return the bundle of a Trainer with a loss function of the user's own."""
    trainer = make(rows=POISONED, learning_rate=1e30, gradient_accumulation_steps=3)
    trainer.compute_loss_func = squared_loss
    return broken(folder, trainer).folder


CASES: dict[str, Callable[[Path], Path]] = {
    "fp32": of(rows=POISONED),
    "bf16": of(rows=POISONED, bf16=True),
    "fp16": of(rows=POISONED, fp16=True),
    "fp32 accumulated": of(rows=POISONED, gradient_accumulation_steps=3),
    "bf16 accumulated": of(rows=POISONED, gradient_accumulation_steps=3, bf16=True),
    "fp16 accumulated": of(rows=POISONED, gradient_accumulation_steps=3, fp16=True),
    "last step of the epoch": of(rows=Weighted(24, bad=(8,)), gradient_accumulation_steps=3),
    "gradient": of(RootTrainer, FLAT),
    "gradient accumulated": of(RootTrainer, FLAT, gradient_accumulation_steps=3),
    "gradient accumulated bf16": of(RootTrainer, FLAT, gradient_accumulation_steps=3, bf16=True),
    "own step": of(OwnStepTrainer, POISONED, gradient_accumulation_steps=3),
    "own step fp16": of(OwnStepTrainer, POISONED, fp16=True),
    "goes around": of(GoesAroundTrainer, POISONED, gradient_accumulation_steps=3),
    "own arguments": of(SharpTrainer, POISONED, sharpness=3.0),
    "own loss function": with_function,
    "in passing": in_passing,
    "deterministic": deterministic,
}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    """Return what ``stabsearch replay`` says of each bundle, in a process of its own."""
    folder = tmp_path_factory.mktemp("bundles")
    bundles = [capture(folder / name.replace(" ", "-")) for name, capture in CASES.items()]
    said = run_afresh([("replay", bundle, "--trust-code", "--json") for bundle in bundles])
    return dict(zip(CASES, said, strict=True))


@pytest.mark.parametrize("name", list(CASES))
def test_another_process_comes_to_the_same_bits(replayed: dict[str, Said], name: str) -> None:
    """Losses, outputs and all gradients; dropout and running statistics included."""
    said = replayed[name]
    assert said.code == 0, said.err
    assert said.data["verdict"] == "bit-exact", said.data
    assert said.data["notes"] == []
    assert said.data["origin"] is not None


def test_the_rows_that_did_it_are_named(replayed: dict[str, Said]) -> None:
    """By number in the training data, in whichever micro-batch of the step they are."""
    suspects = {name: said.data["rows"]["suspects"] for name, said in replayed.items()}
    specific = {name for name, said in replayed.items() if said.data["rows"]["is_specific"]}
    assert specific == set(CASES) - {"own loss function"}
    assert suspects["last step of the epoch"] == [8]
    assert all(
        rows == [7] for name, rows in suspects.items() if name in specific - {"last step of the epoch"}
    )
