"""What every workload owes a trial, as tests: fresh models, rows, an honest chance loss."""

from __future__ import annotations

import os
import pickle
import sys
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.nn import Module
from transformers import PreTrainedModel, Trainer, TrainingArguments

from stabsearch.forensics.preflight import check_trainer
from stabsearch.records import Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.task.base import Workload, surroundings_of
from stabsearch.task.padding import Padding, PickedRows
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup

IGNORED = -100
ALMOST_NEVER = 1e-9
"""Stands in for a share of zero, whose logit would not be finite."""


class WorkloadConformance(ABC):
    """What a trial relies on, whatever is trained: derive a test class, and say how the workload is made.

    It wants a small model, and rows that can be learned: a trial of some steps is run on them.
    """

    learning_rate: ClassVar[float] = 1e-2
    """Of the trial: high enough for the loss to fall, low enough for it not to blow up."""
    horizon: ClassVar[int] = 40
    """Optimizer steps of the trial."""
    batch_size: ClassVar[int] = 8

    @abstractmethod
    def make_workload(self, folder: Path) -> Workload:
        """Return the workload to be tested; ``folder`` is an empty one for its files."""

    @pytest.fixture(scope="class")
    def workload(self, tmp_path_factory: pytest.TempPathFactory) -> Workload:
        """Return the workload, made once."""
        torch.set_num_threads(1)
        return self.make_workload(tmp_path_factory.mktemp("task"))

    @pytest.fixture(scope="class")
    def record(self, workload: Workload) -> TrialRecord:
        """Return the record of one trial."""
        return self._run(workload)

    def _run(self, workload: Workload) -> TrialRecord:
        plan = TrialPlan(0, Stage.SEARCH, self.learning_rate, 0, 1.0, "fp32", 1, 2, self.horizon)
        training = {"per_device_train_batch_size": self.batch_size, "remove_unused_columns": False}
        return run_trial(plan, workload, TrialSetup(max_steps=4 * self.horizon, training=training))

    def _trainer(self, workload: Workload, folder: Path, *, remove_unused_columns: bool = False) -> Trainer:
        args = TrainingArguments(
            str(folder), use_cpu=True, report_to=[], disable_tqdm=True, max_steps=4,
            per_device_train_batch_size=self.batch_size, remove_unused_columns=remove_unused_columns,
        )  # fmt: skip
        return workload.trainer(args, model_seed=1)

    def test_the_model_seed_decides_all_new_weights(self, workload: Workload) -> None:
        """The same seed gives the same weights bit for bit, whatever was drawn before; another, others."""
        first = workload.model(1).state_dict()
        other = workload.model(2).state_dict()
        torch.rand(7)
        again = workload.model(1).state_dict()
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert any(not torch.equal(first[name], other[name]) for name in first)

    def test_models_share_nothing(self, workload: Workload) -> None:
        """Training one trial's model leaves that of the next alone."""
        first, other = workload.model(1), workload.model(1)
        assert not _storages(first) & _storages(other)
        with torch.no_grad():
            for weight in first.parameters():
                weight.fill_(7.0)
        third = workload.model(1).state_dict()
        assert all(torch.equal(value, third[name]) for name, value in other.state_dict().items())

    def test_weights_are_float32(self, workload: Workload) -> None:
        """Precision is the trial's to choose, by autocast: fp16 weights would train in pure fp16."""
        assert {weight.dtype for weight in workload.model(1).parameters()} == {torch.float32}

    def test_a_trial_learns(self, record: TrialRecord) -> None:
        """It ends stable, every loss is finite, and the last ones are lower than the first."""
        assert (record.outcome, record.message) == (Outcome.STABLE, record.message)
        losses = np.array(record.trace.losses)
        assert np.isfinite(losses).all()
        tenth = max(1, len(losses) // 10)
        assert losses[-tenth:].mean() < losses[:tenth].mean()

    def test_the_same_plan_gives_the_same_losses(self, workload: Workload, record: TrialRecord) -> None:
        """Bit for bit, on a workload that another trial has used."""
        assert self._run(workload).trace.losses == record.trace.losses

    def test_a_trial_leaves_the_process_as_it_was(self, workload: Workload, record: TrialRecord) -> None:
        """Folder, arguments, variables, module path and output belong to whoever runs trials."""
        before = _process()
        self._run(workload)
        assert _process() == before

    def test_the_preflight_has_nothing_against_it(self, workload: Workload, tmp_path: Path) -> None:
        """No error is found in its rows, its batches or its model."""
        with surroundings_of(workload):
            found = check_trainer(self._trainer(workload, tmp_path))
        assert [finding for finding in found if finding.is_error] == []


class TaskConformance(WorkloadConformance):
    """What every built-in task owes beside that: rows, and an honest chance loss.

    All rows are put into one batch. Where the model's output is made otherwise than by a head or an output
    embedding, override ``head``; where labels are made by the collator, ``all_labels`` and ``all_rows``.
    """

    draws: ClassVar[bool] = False
    """Whether the collator draws random numbers, for each batch others."""

    @abstractmethod
    def make_workload(self, folder: Path) -> RowWorkload:
        """Return the workload to be tested; ``folder`` is an empty one for its files."""

    def head(self, model: PreTrainedModel) -> Module:
        """Return the last part of the model: what makes its logits or numbers."""
        found = model.get_output_embeddings() or getattr(model, "classifier", None)
        return found if isinstance(found, Module) else model.score

    def all_labels(self, workload: RowWorkload) -> list[Any]:
        """Return the labels of every row, as a number or a list."""
        return [workload.rows[row]["labels"] for row in range(workload.num_rows)]

    def all_rows(self, workload: RowWorkload) -> dict[str, Any]:
        """Return all rows as one batch."""
        return dict(workload.collator([workload.rows[row] for row in range(workload.num_rows)]))

    def trivial_output(self, workload: RowWorkload, model: PreTrainedModel) -> torch.Tensor:
        """Return what a model puts out that knows the marginals of the labels and nothing of the rows."""
        labels = self.all_labels(workload)
        problem = getattr(model.config, "problem_type", None)
        if problem == "regression":
            return torch.from_numpy(np.array(labels, dtype=np.float64).reshape(len(labels), -1).mean(axis=0))
        if problem == "multi_label_classification":
            return torch.logit(torch.tensor(labels, dtype=torch.float64).mean(dim=0), eps=ALMOST_NEVER)
        classes = np.concatenate([np.atleast_1d(row) for row in labels])
        counts = torch.from_numpy(np.bincount(classes[classes != IGNORED])).double()
        return (counts / counts.sum()).clamp_min(ALMOST_NEVER).log()

    def test_every_row_can_be_had_by_its_number(self, workload: RowWorkload) -> None:
        """There are as many as it says, and all have the same columns."""
        assert workload.num_rows == len(workload.rows) > 0
        names = {tuple(workload.rows[row]) for row in range(workload.num_rows)}
        assert len(names) == 1
        assert {"input_ids", "attention_mask"} <= set(*names)

    def test_rows_travel_to_other_processes(self, workload: RowWorkload) -> None:
        """Pickled and read again, they are the same."""
        again = pickle.loads(pickle.dumps(workload.rows))
        assert [again[row] for row in range(len(again))] == _rows_of(workload)

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_batches_are_those_of_the_library(
        self, workload: RowWorkload, side: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a collator makes of rows in one go is what Transformers' makes of them one by one."""
        monkeypatch.setattr(workload.tokenizer, "padding_side", side)
        assert isinstance(workload.collator, Padding) is not self.draws
        if self.draws:
            return
        rows = PickedRows(workload.rows.columns)
        order = np.random.default_rng(0).permutation(workload.num_rows).tolist()
        for numbers in (order[:1], order[1:6], order):
            made = workload.collator(rows.__getitems__(numbers))
            meant = workload.collator([workload.rows[number] for number in numbers])
            assert type(made) is type(meant)
            assert list(made) == list(meant)
            for name, tensor in meant.items():
                assert (made[name].dtype, made[name].shape) == (tensor.dtype, tensor.shape)
                assert torch.equal(made[name], tensor)

    @pytest.mark.parametrize("removes_unused", [True, False])
    def test_a_loader_takes_whole_batches(
        self, workload: RowWorkload, tmp_path: Path, removes_unused: bool
    ) -> None:
        """Whatever the Trainer puts around the collator, batches have what the collator puts into them."""
        trainer = self._trainer(workload, tmp_path, remove_unused_columns=removes_unused)
        assert isinstance(trainer.train_dataset, PickedRows) is not self.draws
        batch = next(iter(trainer.get_train_dataloader()))
        rows = [workload.rows[row] for row in range(self.batch_size)]
        assert list(batch) == list(workload.collator(rows))
        assert len(batch["input_ids"]) == self.batch_size

    def test_the_table_of_the_rows_says_the_same(self, workload: RowWorkload) -> None:
        """The preflight reads the table, the trial the rows."""
        assert workload.rows.arrow().to_pylist() == _rows_of(workload)

    def test_the_chance_loss_is_the_loss_of_knowing_the_marginals_alone(
        self, workload: RowWorkload, tmp_path: Path
    ) -> None:
        """In the units of the Trainer's own loss, over all rows; ``collapsed`` is judged by it."""
        trainer = self._trainer(workload, tmp_path)
        model = trainer.model
        output = self.trivial_output(workload, model).float()
        self.head(model).register_forward_hook(partial(_instead, output))
        [batch], num_items = trainer.get_batch_samples(
            iter([self.all_rows(workload)]), 1, torch.device("cpu")
        )
        loss = trainer.compute_loss(model, batch, num_items_in_batch=num_items)
        assert workload.chance_loss > 0
        assert loss.item() == pytest.approx(workload.chance_loss, rel=1e-4)


def _process() -> tuple[Any, ...]:
    """Return what a process has only one of."""
    torch_settings = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    return Path.cwd(), list(sys.argv), dict(os.environ), list(sys.path), sys.stdout, torch_settings


def _instead(output: torch.Tensor, module: Module, inputs: Any, made: torch.Tensor) -> torch.Tensor:
    """Return one output at every place; tokens that no row has are as good as impossible."""
    unseen = made.new_full((made.shape[-1] - len(output),), float(np.log(ALMOST_NEVER)))
    return torch.cat([output, unseen]).expand_as(made)


def _rows_of(workload: RowWorkload) -> list[dict[str, Any]]:
    return [workload.rows[row] for row in range(workload.num_rows)]


def _storages(model: Module) -> set[int]:
    held = [*model.parameters(), *model.buffers()]
    return {value.untyped_storage().data_ptr() for value in held if value.numel()}
