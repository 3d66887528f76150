"""Training code as users write it: put into a module or a script of a temporary folder."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from stabsearch.config import TrainerTask

PARTS = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

def rows():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 8, (48, 4), generator=generator)
    return [{"input_ids": row + 8 * (i % 2), "labels": i % 2} for i, row in enumerate(tokens)]

def model():
    return BertForSequenceClassification(BertConfig(
        vocab_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=4))
"""
SOUND = """
def make_trainer(args):
    return Trainer(model=model(), args=args, train_dataset=rows())
"""
MAIN = """
from dataclasses import dataclass, field
from transformers import HfArgumentParser

@dataclass
class Own:
    kind: str = field(default="plain")
    sizes: list[int] = field(default_factory=list)

def main():
    own, args = HfArgumentParser((Own, TrainingArguments)).parse_args_into_dataclasses()
    trainer = Trainer(model=model(), args=args, train_dataset=rows())
    trainer.own = own
    BEFORE
    trainer.train()
    open("trained.txt", "w").write("it went on")

if __name__ == "__main__":
    main()
"""


def module(folder: Path, name: str, code: str = SOUND) -> Path:
    """Write a module of the user's."""
    path = folder / f"{name}.py"
    path.write_text(PARTS + textwrap.dedent(code))
    return path


def script(folder: Path, before: str = "", code: str = MAIN) -> Path:
    """Write a script of the user's; ``before`` runs right before it trains."""
    return module(folder, "train", code.replace("BEFORE", before or "pass"))


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    """Return TrainingArguments as a trial makes them."""
    given = {"use_cpu": True, "report_to": "none", "max_steps": 4, "save_strategy": "no", **changes}
    return TrainingArguments(output_dir=str(folder / "out"), **given)


@pytest.fixture
def plan_arguments(tmp_path: Path) -> TrainingArguments:
    """Return the arguments of a trial."""
    return arguments(tmp_path, learning_rate=0.25, per_device_train_batch_size=4)


def task(folder: Path, code: str = SOUND, **changes: Any) -> TrainerTask:
    """Return a task on a fresh module that holds the code."""
    name = f"users_{folder.name}".replace("-", "_")
    module(folder, name, code)
    values = {"type": "trainer", "factory": f"{name}:make_trainer", "folder": str(folder), **changes}
    return TrainerTask.model_validate(values)
