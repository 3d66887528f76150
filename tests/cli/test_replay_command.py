"""``stabsearch replay``: what it prints, where it writes, and how it says what is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from odd_models import RootTrainer, Weighted
from own_trainers import make
from transformers import BertConfig, BertForSequenceClassification

from stabsearch import TrainingBroke, watch
from stabsearch.capture.manifest import MANIFEST

Command = Callable[..., Any]
POISON = 22
"""A token whose embedding is infinite."""


class Words:
    """A tokenizer of numbers."""

    def __len__(self) -> int:
        return 23

    def decode(self, ids: list[int]) -> str:
        return " ".join(f"w{i}" for i in ids)


def broken(folder: Path, trainer: Any) -> Path:
    """Return the bundle of a training that breaks."""
    with pytest.raises(TrainingBroke) as raised:
        watch(trainer, bundle_dir=folder).train()
    assert raised.value.bundle is not None
    return raised.value.bundle


def bert(rows: Any, **arguments: Any) -> Any:
    """Return a Trainer on a model with one bad embedding."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=23, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                        num_attention_heads=2, max_position_embeddings=8)  # fmt: skip
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[POISON] = torch.inf
    trainer = make(rows=rows, model=model, **arguments)
    trainer.processing_class = Words()
    return trainer


def row(index: int, *tokens: int) -> dict[str, Any]:
    return {"input_ids": torch.tensor([index + 1, 2, *tokens]), "labels": index % 2}


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a training at a learning rate beyond all reason."""
    rows = [row(index, 3) for index in range(12)]
    return broken(tmp_path_factory.mktemp("huge"), bert(rows, learning_rate=1e20, max_grad_norm=0.0))


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a training in which one row meets the bad embedding."""
    rows = [row(index, POISON if index == 5 else 3) for index in range(12)]
    return broken(tmp_path_factory.mktemp("poisoned"), bert(rows))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a user's model and Trainer, with a gradient that breaks."""
    trainer = make(RootTrainer, Weighted(24, bad=(7,), weight=0.0), gradient_accumulation_steps=3)
    return broken(tmp_path_factory.mktemp("own"), trainer)


def named(said: Any) -> dict[str, list[str]]:
    """Return the lines after the first by their name."""
    found: dict[str, list[str]] = {}
    for line in said.out.rstrip("\n").split("\n")[1:]:
        found.setdefault(line[:11].rstrip(), []).append(line[11:])
    return found


def test_a_failure_that_comes_back(stabsearch: Command, huge: Path) -> None:
    """Verdict first, then what was captured, what was seen now, and where it begins."""
    said = stabsearch("replay", huge)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("bit-exact: losses, outputs and gradients are the same in every bit\n")
    lines = named(said)
    assert lines["captured"] == ["loss is nan, optimizer step 2, micro-batch 2, fp32"]
    assert lines["replayed"] == ["fp32 on cpu, captured weights: loss nan, gradient norm nan"]
    assert lines["origin"][0].startswith("layer_norm in bert.embeddings.LayerNorm")
    assert lines["rows"] == ["every row of the batch is bad by itself: no single row is to blame"]
    assert lines["script"] == [str(huge / "reproduce.py")]
    assert (huge / "reproduce.py").is_file()


def test_a_row_that_did_it(stabsearch: Command, poisoned: Path) -> None:
    """By its number in the training data, with its text."""
    lines = named(stabsearch("replay", poisoned))
    assert lines["rows"] == [
        "without training row 5 the batch is finite", f"training row 5: 'w6 w2 w{POISON}'",
    ]  # fmt: skip
    alone = stabsearch("replay", poisoned, "--row", 5)
    assert (alone.code, alone.out.partition(":")[0]) == (0, "reproduced")
    others = [
        index for index in json.loads((poisoned / MANIFEST).read_text())["window"][0]["rows"] if index != 5
    ]
    without = stabsearch("replay", poisoned, *(part for index in others for part in ("--row", index)))
    assert (without.code, without.out.partition("\n")[0]) == (
        1, "not reproduced: the failure did not come back",
    )  # fmt: skip


def test_a_gradient_that_breaks(stabsearch: Command, own: Path) -> None:
    """All losses of the step are shown."""
    lines = named(stabsearch("replay", own, "--trust-code"))
    assert lines["captured"] == ["gradient is nan, optimizer step 2, micro-batch 6, fp32"]
    assert lines["replayed"][0].count(",") == 4
    assert lines["replayed"][0].endswith("gradient norm nan")
    assert lines["rows"] == ["without training row 7 the batch is finite"]


def test_json_is_one_strict_object(stabsearch: Command, poisoned: Path) -> None:
    """Numbers that JSON lacks are text; row numbers and places as lists."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    said = stabsearch("replay", poisoned, "--json")
    data = json.loads(said.out, parse_constant=refuse)
    assert data["bundle"] == str(poisoned)
    assert data["verdict"] == "bit-exact"
    assert data["captured"]["value"] == "nan"
    assert data["captured"]["cause"] is None
    assert data["replayed"]["losses"] == ["nan"]
    assert data["replayed"]["error"] is None
    assert 5 in data["rows"]["in_batch"]
    assert data["rows"]["suspects"] == [5]
    assert data["rows"]["in_batch"][data["rows"]["places"][0]] == 5
    assert data["rows"]["is_specific"] is True
    assert data["origin"]
    assert data["notes"] == []
    assert data["script"] == str(poisoned / "reproduce.py")


def wrong(stabsearch: Command, *arguments: object) -> str:
    """Return the two lines with which a command ends that could not judge."""
    said = stabsearch("replay", *arguments)
    assert said.code == 2
    assert said.out == ""
    assert len(said.error_lines) == 2, said.err
    return str(said.err)


def test_bad_input_is_two_lines(stabsearch: Command, poisoned: Path, own: Path, tmp_path: Path) -> None:
    """No folder, no bundle, no such row, weights, precision, device or trust."""
    assert "no bundle at" in wrong(stabsearch, tmp_path / "gone")
    assert "no bundle at" in wrong(stabsearch, tmp_path)
    assert "it holds rows" in wrong(stabsearch, poisoned, "--row", 99)
    assert "a watched training keeps none" in wrong(stabsearch, poisoned, "--weights", "initial")
    assert "(known: fp32, tf32, bf16, bf16-pure, fp16)" in wrong(stabsearch, poisoned, "--precision", "fp8")
    assert "(known: cpu, cuda)" in wrong(stabsearch, poisoned, "--device", "tpu")
    assert "--trust-code" in wrong(stabsearch, own)
    assert "neither captured nor initial" in stabsearch("replay", poisoned, "--weights", "last").err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there(stabsearch: Command, poisoned: Path) -> None:
    """An error, and the way out."""
    assert "--device cpu" in wrong(stabsearch, poisoned, "--device", "cuda")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_damaged_bundle_is_two_lines_too(
    stabsearch: Command, poisoned: Path, tmp_path: Path, as_json: bool
) -> None:
    """On stderr, also where JSON was asked for."""
    folder = shutil.copytree(poisoned, tmp_path / "copy")
    (folder / "batch.safetensors").write_bytes(b"cut")
    text = wrong(stabsearch, folder, *(["--json"] if as_json else []))
    assert text.startswith(f"{folder / 'batch.safetensors'} is damaged: its checksum differs")


class Anything:
    """Neither a tensor nor plain data."""


class Adding:
    """A collator that returns more than tensors."""

    def __init__(self, collate: Any, extra: Any) -> None:
        self.collate, self.extra = collate, extra

    def __call__(self, rows: Any) -> dict[str, Any]:
        return {**self.collate(rows), "extra": self.extra}


class Takes(BertForSequenceClassification):
    """A model of the user's own that takes anything."""

    def forward(self, extra: Any = None, **named: Any) -> Any:
        assert extra is not None
        return super().forward(**named)


@pytest.mark.parametrize(("extra", "is_stored"), [(["a", "b", "c"], True), ([Anything()], False)])
def test_inputs_that_are_no_tensors(stabsearch: Command, tmp_path: Path, extra: Any, is_stored: bool) -> None:
    """Text is stored and replayed; what cannot be stored is named when somebody replays it."""
    trainer = bert([row(index, POISON) for index in range(12)])
    trainer.model.__class__ = Takes
    trainer.data_collator = Adding(trainer.data_collator, extra)
    trainer.args.remove_unused_columns = False
    folder = broken(tmp_path, trainer)
    if is_stored:
        said = stabsearch("replay", folder, "--trust-code")
        assert said.out.startswith("bit-exact"), said
    else:
        text = wrong(stabsearch, folder, "--trust-code")
        assert text.startswith(
            "input 'extra' was a test_replay_command.Anything: neither a tensor nor plain data"
        )


def test_the_script_can_go_elsewhere(stabsearch: Command, poisoned: Path, tmp_path: Path) -> None:
    """And where it cannot be written, that is an error only if the place was asked for."""
    place = tmp_path / "show.py"
    assert named(stabsearch("replay", poisoned, "--script", place))["script"] == [str(place)]
    assert str(poisoned) in place.read_text()
    assert "cannot write" in wrong(stabsearch, poisoned, "--script", tmp_path / "gone" / "show.py")


def test_a_folder_that_cannot_be_written(stabsearch: Command, poisoned: Path, tmp_path: Path) -> None:
    """The verdict does not depend on it."""
    folder = shutil.copytree(poisoned, tmp_path / "copy")
    (folder / "reproduce.py").unlink(missing_ok=True)
    (folder / "reproduce.py").mkdir()
    said = stabsearch("replay", folder)
    assert said.code == 0
    assert named(said)["script"][0].startswith("not written")
    assert json.loads(stabsearch("replay", folder, "--json").out)["script"] is None


def test_a_link_where_the_script_goes_is_replaced_and_not_followed(
    stabsearch: Command, huge: Path, tmp_path: Path
) -> None:
    """A bundle comes from somebody else: its links must not choose what is overwritten."""
    bundle = shutil.copytree(huge, tmp_path / "bundle")
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    (bundle / "reproduce.py").unlink(missing_ok=True)
    (bundle / "reproduce.py").symlink_to(victim)
    assert stabsearch("replay", bundle).code == 0
    assert victim.read_text() == "mine"
    assert not (bundle / "reproduce.py").is_symlink()
