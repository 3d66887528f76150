"""Workloads for trials of two processes: which one a trial gets is said by its model seed."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from odd_models import NormedClassifier, OddConfig, SteepClassifier, Weighted
from odd_models import RootTrainer as NoSlopeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Trainer, TrainingArguments
from trial_samples import NanLoss, Odd, WeightedTrainer, build_tiny, no_dropout
from trial_samples import setup as trial_setup

from stabsearch.driver.base import WorkOrder
from stabsearch.driver.ranks import RankGroup

(
    PLAIN,
    STILL,
    POISONED,
    NO_SLOPE,
    STEEP,
    WORDS,
    RAISES,
    IS_KILLED,
    UNBALANCED,
    INFLATED,
    SHARDED,
    POISONED_WORDS,
    HELD_OUT,
    HELD_OUT_BROKEN,
) = range(1, 15)
"""Model seeds, and what they stand for."""
BAD_ROW = 17


@dataclass(frozen=True)
class RankTask:
    """What the processes are told: where to leave a note that one of them was there."""

    folder: str


@dataclass
class Made:
    """A workload out of a model and rows of its own."""

    make: Callable[[], PreTrainedModel]
    rows: Any
    trainer_class: type[Trainer] = Trainer
    chance_loss: float = 0.69

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    def model(self, model_seed: int) -> PreTrainedModel:
        torch.manual_seed(model_seed)
        return self.make()

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        return self.trainer_class(model=self.model(model_seed), args=args, train_dataset=self.rows)


class Words(torch.utils.data.Dataset[dict[str, Any]]):
    """Sentences of unequal lengths of labels, so that processes count different numbers of them."""

    def __init__(self, bad: int | None = None) -> None:
        self.bad = bad

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = (torch.arange(8) * (index + 1)) % 19
        labels = torch.where(torch.arange(8) < index % 7, -100, ids)
        mask = torch.ones(8, dtype=torch.long)
        weight = {} if self.bad is None else {"weight": math.nan if index == self.bad else 1.0}
        return {"input_ids": ids, "labels": labels, "attention_mask": mask, **weight}


def words_model() -> PreTrainedModel:
    """Return a causal language model, whose loss goes by ``num_items_in_batch``."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=19, max_position_embeddings=8, **sizes))


class CountsAloneTrainer(Trainer):
    """Each process averages over its own rows, and nothing is multiplied by their number."""

    def __init__(self, **named: Any) -> None:
        named["args"].average_tokens_across_devices = False
        super().__init__(**named)


class ShardedTrainer(Trainer):
    """Shares the weights out on a CPU too, where Accelerate 1.15 would train with DDP without a word."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.args.fsdp and self.args.world_size > 1:
            plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            if self.accelerator.mixed_precision != "no":
                plugin.set_mixed_precision(self.accelerator.mixed_precision)
            for state in (PartialState._shared_state, AcceleratorState._shared_state):
                state["distributed_type"] = DistributedType.FSDP
            AcceleratorState._shared_state["fsdp_plugin"] = plugin
            self.is_fsdp_enabled = True

    def compute_loss(self, model: Any, inputs: Any, **named: Any) -> Any:
        weight = inputs.pop("weight", torch.ones(1)).mean()
        loss = super().compute_loss(model, inputs, **named)
        return (loss[0] * weight, loss[1]) if isinstance(loss, tuple) else loss * weight


class HeldOut(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows to evaluate on: too few for the last batch of the second process."""

    def __init__(self, rows: Any, broken_in: int | None = None) -> None:
        self.rows, self.broken_in = rows, broken_in

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict[str, Any]:
        if os.environ.get("RANK") == str(self.broken_in):
            raise KeyError("a row that the second process cannot read")
        row: dict[str, Any] = self.rows[index]
        return row


class UnluckyTrainer(Trainer):
    """Something happens to the second process in its third step, the first time it comes there."""

    folder = ""
    happens: Callable[[], None]

    def training_step(self, *args: Any, **named: Any) -> Any:
        if self.args.process_index == 1 and self.state.global_step == 2 and _first(self.folder):
            type(self).happens()
        return super().training_step(*args, **named)


def _first(folder: str) -> bool:
    try:
        (Path(folder) / "been here").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _raise() -> None:
    raise KeyError("the second process's own bug")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def unlucky(folder: str, happens: Callable[[], None]) -> type[Trainer]:
    return type("Unlucky", (UnluckyTrainer,), {"folder": folder, "happens": staticmethod(happens)})


class Several:
    """One of many workloads, by the model seed of the trial."""

    def __init__(self, task: RankTask) -> None:
        tiny = build_tiny()
        self.held_out = {HELD_OUT: HeldOut(tiny.rows), HELD_OUT_BROKEN: HeldOut(tiny.rows, broken_in=1)}
        self.of: dict[int, Any] = {
            PLAIN: Odd(tiny),
            STILL: Odd(tiny, CountsAloneTrainer, change_model=no_dropout),
            INFLATED: Odd(tiny, change_model=no_dropout),
            POISONED: Odd(tiny, WeightedTrainer, NanLoss(tiny.rows, bad=BAD_ROW)),
            NO_SLOPE: Made(odd_model, Weighted(64, bad=(BAD_ROW,), weight=0.0), NoSlopeTrainer),
            STEEP: Made(steep_model, Weighted(64)),
            WORDS: Made(words_model, Words()),
            SHARDED: Made(words_model, Words(), ShardedTrainer),
            POISONED_WORDS: Made(words_model, Words(bad=BAD_ROW), ShardedTrainer),
            RAISES: Odd(tiny, unlucky(task.folder, _raise)),
            IS_KILLED: Odd(tiny, unlucky(task.folder, _kill)),
            HELD_OUT: Odd(tiny, CountsAloneTrainer, change_model=no_dropout),
            HELD_OUT_BROKEN: Odd(tiny),
            UNBALANCED: Made(odd_model, Weighted(25)),
        }

    num_rows, chance_loss = 64, 0.69

    def model(self, model_seed: int) -> PreTrainedModel:
        model: PreTrainedModel = self.of[model_seed].model(model_seed)
        return model

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        trainer: Trainer = self.of[model_seed].trainer(args, model_seed)
        return trainer

    def eval_dataset(self, trainer: Trainer) -> HeldOut | None:
        return self.held_out.get(trainer.args.seed)


def odd_model() -> PreTrainedModel:
    return NormedClassifier(OddConfig())


def steep_model() -> PreTrainedModel:
    return SteepClassifier(OddConfig())


def group(folder: Path, **changes: Any) -> RankGroup:
    """Return two processes, started with their first trial."""
    kept = {"bundle_dir": str(folder), "max_bundle_bytes": 10**8, "allow_fp16_on_cpu": True}
    order_setup = trial_setup(num_processes=2, **kept, **changes)
    return RankGroup(WorkOrder(RankTask(str(folder)), order_setup, 300.0, Several))
