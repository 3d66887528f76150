"""Which rows of the training data are in a micro-batch: right in every order, training left as it was."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from stabsearch.capture.rows import RowNumbers

NUM_ROWS = 11


class Numbered(Dataset[dict[str, Any]]):
    """Rows that carry their own number."""

    def __len__(self) -> int:
        return NUM_ROWS

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": torch.tensor([1, index]), "labels": index % 2}


class Streamed(IterableDataset[dict[str, Any]]):
    """The same rows without numbers, and without a length."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(Numbered()[index] for index in range(NUM_ROWS))


class Stop(TrainerCallback):
    """Ends the training after some updates."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.global_step >= self.at


class Heard(Trainer):
    """Notes what was said of each micro-batch beside what was really in it."""

    loader: Any = None

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.remove_callback(PrinterCallback)
        self.said: list[tuple[int, ...] | None] = []
        self.real: list[tuple[int, ...]] = []

    def get_train_dataloader(self) -> Any:
        return super().get_train_dataloader() if self.loader is None else self.loader

    def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
        self.said.append(self.rows.take())  # type: ignore[attr-defined]
        self.real.append(tuple(inputs["input_ids"][:, 1].tolist()))
        return super().training_step(model, inputs, *rest)


class Resumed(TrainerCallback):
    """Passes on where the training begins, as the guard does."""

    def __init__(self, rows: RowNumbers) -> None:
        self.rows = rows

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.rows.resumed_at(state.global_step)


def make(folder: Path, rows: Any = None, loader: Any = None, **changes: Any) -> Heard:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=20, hidden_size=4, intermediate_size=4, num_hidden_layers=1,
                        num_attention_heads=1, max_position_embeddings=4)  # fmt: skip
    values = {
        "output_dir": str(folder), "use_cpu": True, "per_device_train_batch_size": 3, "num_train_epochs": 3,
        "save_strategy": "no", "logging_strategy": "no", "report_to": "none", "disable_tqdm": True, "seed": 5,
        **changes,
    }  # fmt: skip
    trainer = Heard(
        model=BertForSequenceClassification(config),
        args=TrainingArguments(**values),
        train_dataset=Numbered() if rows is None else rows,
    )
    trainer.loader = loader
    trainer.rows = RowNumbers(trainer)
    trainer.add_callback(Resumed(trainer.rows))
    return trainer


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train_sampling_strategy": "sequential"},
        {"gradient_accumulation_steps": 3},
        {"gradient_accumulation_steps": 4, "dataloader_drop_last": True},
        {"dataloader_drop_last": True},
        {"per_device_train_batch_size": 50},
        {"max_steps": 9, "num_train_epochs": 1},
    ],
    ids=str,
)
def test_rows_are_those_of_the_batch(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Shuffled or in order, over several epochs, with the last batch short or left out."""
    trainer = make(tmp_path, **changes)
    trainer.train()
    assert trainer.said == trainer.real
    assert len(trainer.real) >= 3


def test_workers_that_fetch_ahead_do_not_mix_up_the_rows(tmp_path: Path) -> None:
    """Two processes load batches before they are needed; they are handed out in order."""
    trainer = make(tmp_path, dataloader_num_workers=2, gradient_accumulation_steps=3, num_train_epochs=2)
    trainer.train()
    assert trainer.said == trainer.real
    assert len(trainer.real) == 8


def test_the_order_is_that_of_an_unheard_training(tmp_path: Path) -> None:
    """Listening draws no random number and changes no order."""
    heard, plain = make(tmp_path), make(tmp_path)
    plain.rows.release()
    heard.train()
    plain.train()
    assert heard.real == plain.real
    assert plain.said == [None] * len(plain.real)


@pytest.mark.parametrize(("accumulation", "at"), [(1, 1), (1, 4), (2, 5), (3, 3)])
def test_a_training_that_goes_on_from_a_checkpoint(tmp_path: Path, accumulation: int, at: int) -> None:
    """Batches of the epoch that were trained on before are passed over, and their rows with them."""
    arguments = {"gradient_accumulation_steps": accumulation, "save_strategy": "steps", "save_steps": at}
    first = make(tmp_path, **arguments)
    first.add_callback(Stop(at))
    first.train()
    second = make(tmp_path, **arguments)
    second.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{at}"))
    assert second.said == second.real
    whole = make(tmp_path, **arguments)
    whole.train()
    assert first.real + second.real == whole.real


def test_a_checkpoint_whose_data_are_not_passed_over(tmp_path: Path) -> None:
    """With ``ignore_data_skip`` the epoch begins again from its first batch."""
    first = make(tmp_path, save_strategy="steps", save_steps=2)
    first.add_callback(Stop(2))
    first.train()
    second = make(tmp_path, ignore_data_skip=True)
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert second.said == second.real
    assert len(second.real) >= 8


def test_trained_again(tmp_path: Path) -> None:
    """A second ``train()`` on the same Trainer, after one that stopped with batches already fetched."""
    trainer = make(tmp_path, dataloader_num_workers=1)
    trainer.add_callback(Stop(1))
    trainer.train()
    trainer.pop_callback(Stop)
    trainer.train()
    assert trainer.said == trainer.real
    assert len(trainer.real) == 13


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_has_no_row_numbers(tmp_path: Path, workers: int) -> None:
    """An iterable data set of unknown length: None, and nothing breaks."""
    trainer = make(tmp_path, Streamed(), max_steps=5, dataloader_num_workers=workers)
    trainer.train()
    assert trainer.said == [None] * 5


class Endless:
    """A batch sampler without a length and without an end."""

    def __iter__(self) -> Iterator[list[int]]:
        return ([number % NUM_ROWS, (number * 3 + 1) % NUM_ROWS] for number in count())


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_sampler_without_a_length(tmp_path: Path, accumulation: int) -> None:
    """To the Trainer all of it is one epoch, also where it goes on from a checkpoint."""

    def endless(**changes: Any) -> Heard:
        loader = DataLoader(Numbered(), batch_sampler=Endless())
        return make(tmp_path, loader=loader, gradient_accumulation_steps=accumulation, max_steps=5, **changes)

    first = endless(save_strategy="steps", save_steps=3)
    first.train()
    assert first.said == first.real
    second = endless()
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert second.said == second.real == first.real[3 * accumulation :]


class ByKey(Dataset[dict[str, Any]]):
    """Rows that are looked up by text."""

    def __len__(self) -> int:
        return NUM_ROWS

    def __getitem__(self, key: str) -> dict[str, Any]:
        return Numbered()[int(key.removeprefix("row"))]


def test_keys_that_are_no_numbers(tmp_path: Path) -> None:
    """A sampler of the user's own may hand out anything: that is no row number, and no error."""
    keys = [["row1", "row2"], ["row3"]]
    trainer = make(tmp_path, loader=DataLoader(ByKey(), batch_sampler=keys), num_train_epochs=1)
    trainer.train()
    assert trainer.said == [None, None]
    assert trainer.real == [(1, 2), (3,)]


def test_a_loader_of_the_users_own(tmp_path: Path) -> None:
    """A plain torch loader that ``get_train_dataloader`` returns is heard as well; any iterable is let be."""
    trainer = make(tmp_path, loader=DataLoader(Numbered(), batch_size=4, shuffle=True))
    trainer.train()
    assert trainer.said == trainer.real
    batch = {"input_ids": torch.tensor([[1, 2]]), "labels": torch.tensor([1])}
    odd = make(tmp_path, loader=[batch, batch], max_steps=2)
    odd.train()
    assert odd.said == [None, None]
