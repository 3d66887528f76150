"""Everything that can be read from a live Trainer before it trains."""

from __future__ import annotations

import inspect
import logging
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import Trainer

from stabsearch.forensics.facts.batch import BatchFacts, batch_of, picked_rows
from stabsearch.forensics.facts.crossed import Marks
from stabsearch.forensics.facts.environment import EnvironmentFacts, trainer_environment
from stabsearch.forensics.facts.model import ModelFacts, ignore_indices, model_facts
from stabsearch.forensics.facts.optimizer import optimizer_facts
from stabsearch.forensics.facts.probe import is_quick, probe_model
from stabsearch.forensics.facts.rows import LABEL_COLUMNS, RowSource, UnreadableRow, column_names, row_source
from stabsearch.forensics.facts.run import RunFacts, run_facts
from stabsearch.forensics.facts.summary import RowSummary, summarise
from stabsearch.forensics.facts.table import TableFacts, TextColumn
from stabsearch.forensics.facts.target import LossKind, Target, base_model, target_of
from stabsearch.forensics.facts.tokens import TokenLimits, token_limits
from stabsearch.forensics.facts.training_rows import LabelsAndLoss, Masking, SourceFacts, TrainingRows
from stabsearch.forensics.finding import Finding, sorted_findings
from stabsearch.forensics.rules.batch import BATCH
from stabsearch.forensics.rules.counted import COUNTED
from stabsearch.forensics.rules.environment import ENVIRONMENT
from stabsearch.forensics.rules.labels import LABELS
from stabsearch.forensics.rules.loss import LOSS
from stabsearch.forensics.rules.model import FORWARD, WEIGHTS
from stabsearch.forensics.rules.optimizer import OPTIMIZER
from stabsearch.forensics.rules.source import SOURCE
from stabsearch.forensics.rules.table import TABLE
from stabsearch.forensics.rules.tokens import TOKENS

GENERAL = frozenset({"STAB-D050", "STAB-D053", "STAB-L011", "STAB-L012", "STAB-L013", "STAB-M010"})
"""Rules that see a consequence; a rule that sees its reason speaks instead."""
HEADED = (LossKind.CLASSES, LossKind.REGRESSION, LossKind.MULTI_LABEL, LossKind.TOKENS)
"""Losses whose model has a new head, with one output per label."""


def check_trainer(
    trainer: Any,
    precisions: Sequence[str] = ("fp32",),
    texts: Sequence[str] | None = None,
    probe: bool = True,
    environment: EnvironmentFacts | None = None,
) -> list[Finding]:
    """Return what speaks against training with this Trainer, the worst first.

    Nothing about the Trainer changes: weights, buffers, random numbers, configuration and mode
    are those it had. All rows are looked at, except those of a stream.

    Args:
        trainer: any ``transformers.Trainer``, not started.
        precisions: what will be trained in, besides what the TrainingArguments say.
        texts: the texts that the rows were made of, where they are at hand.
        probe: also run a small batch through a copy of the model, on the CPU in fp32.
        environment: what the machine offers; default: it is asked.
    """
    with _random_numbers_kept(), _nothing_said():
        check = _Check(trainer, _all_precisions(trainer.args, precisions))
        return sorted_findings(check.run(texts, probe, environment))


def _all_precisions(args: Any, precisions: Sequence[str]) -> tuple[str, ...]:
    own = [name for name in ("fp16", "bf16", "tf32") if getattr(args, name, False)]
    return tuple(dict.fromkeys([*precisions, *own]))


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Give every generator its state back: data sets and collators may draw."""
    python, array = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)


@contextmanager
def _nothing_said() -> Iterator[None]:
    """Keep what Transformers and PyTorch say of the batches of a look to themselves."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@dataclass
class _Check:
    """One look at one Trainer."""

    trainer: Any
    precisions: tuple[str, ...]

    def run(
        self, texts: Sequence[str] | None, probe: bool, environment: EnvironmentFacts | None
    ) -> list[Finding]:
        """Return what was found, each rule once."""
        found = _of_texts(texts) if texts is not None else []
        source, rows = self._read()
        found += SOURCE.findings(source)
        batch = self._batch(rows, found)
        target = target_of(self.trainer, batch.label_dtype)
        if rows is not None:
            facts = self._training_rows(rows, target)
            found += [*LABELS.findings(facts), *COUNTED.findings(facts), *TOKENS.findings(facts)]
            batch = self._batch(rows, found)  # once more, without the rows at fault
        found += self._of_batch(rows, batch, target)
        weights = self._weights(target)
        found += WEIGHTS.findings(weights)
        if probe and batch.parts:
            tried = probe_model(self.trainer, self._affordable(batch), target, self.run_facts)
            found += FORWARD.findings(tried)
        return _most_telling([*found, *self._of_settings(weights, environment)])

    @property
    def model(self) -> Any:
        """Return the Transformers model inside the Trainer's."""
        return base_model(self.trainer.model)

    @property
    def takes(self) -> frozenset[str]:
        """Return the arguments that the model's forward names."""
        return frozenset(inspect.signature(self.model.forward).parameters)

    @property
    def run_facts(self) -> RunFacts:
        """Return how the run goes through its rows."""
        return run_facts(self.trainer.args, self.precisions)

    @property
    def limits(self) -> TokenLimits:
        """Return what model and tokenizer allow, as it will be once training has begun."""
        trainer = self.trainer
        limits = token_limits(self.model, self._tokenizer)
        if limits.model_pad_id is None and trainer.processing_class is not None:
            # train() gives the model the special tokens of a tokenizer that the Trainer was handed
            return replace(limits, model_pad_id=limits.pad_id)
        return limits

    @property
    def _tokenizer(self) -> Any:
        return self.trainer.processing_class or getattr(self.trainer.data_collator, "tokenizer", None)

    @property
    def masking(self) -> Masking | None:
        """Return what the collator hides; None where it hides nothing, or nothing is known of it."""
        collator = self.trainer.data_collator
        if not getattr(collator, "mlm", False) or not hasattr(self._tokenizer, "all_special_ids"):
            return None
        is_replaced = getattr(collator, "mask_replace_prob", 1.0) < 1
        return Masking(
            float(collator.mlm_probability),
            bool(getattr(collator, "hides_one", False)),
            is_replaced and getattr(collator, "random_replace_prob", 0.0) > 0,
        )

    def _read(self) -> tuple[SourceFacts, RowSummary | None]:
        """Return how far the rows can be read, and what is in them; None where nothing is."""
        dataset = self.trainer.train_dataset
        source = row_source(dataset) if dataset is not None else RowSource(None, 0, iter(()))
        facts = SourceFacts(source.num_rows, source.num_read, self.run_facts)
        try:
            rows = summarise(source.blocks, self._marks())
        except UnreadableRow as unreadable:
            return replace(facts, bad_row=unreadable.row, problem=unreadable.reason), None
        return facts, rows if rows.num_rows else None

    def _marks(self) -> Marks:
        kind, limits = target_of(self.trainer, "int64").kind, self.limits
        padding = {LossKind.TOKENS: None, LossKind.SEQ2SEQ: limits.distinct_pad_id}
        return Marks(
            pad_id=limits.distinct_pad_id,
            label_pad_id=padding.get(kind, limits.pad_id),
            unk_id=limits.unk_id,
            shifts=kind is LossKind.CAUSAL,
            pads_labels=kind is LossKind.SEQ2SEQ,
            label=self.label_column,
            special_ids=frozenset(self._tokenizer.all_special_ids) if self.masking else frozenset(),
        )

    @cached_property
    def label_column(self) -> str:
        """Return the column that becomes the labels; empty where the collator makes its own."""
        if "LanguageModeling" in type(self.trainer.data_collator).__name__ or self._has_own_loader():
            return ""
        names = column_names(self.trainer.train_dataset)
        return next((name for name in LABEL_COLUMNS if name in names), "")

    def _has_own_loader(self) -> bool:
        return type(self.trainer).get_train_dataloader is not Trainer.get_train_dataloader

    def _batch(self, rows: RowSummary | None, found: Sequence[Finding]) -> BatchFacts:
        """Return a batch of rows that no finding names; an empty one where there is nothing to batch."""
        if rows is None or self._has_own_loader():
            names = tuple(self.trainer.label_names or LABEL_COLUMNS[:1])
            return BatchFacts(takes=self.takes, label_names=names)
        bad = {row for finding in found if finding.is_error for row in finding.rows}
        return batch_of(self.trainer, picked_rows(rows, bad, self.run_facts.batch_size), self.takes)

    def _affordable(self, batch: BatchFacts) -> BatchFacts:
        """Return the batch, or one of fewer of its rows for a large model."""
        if is_quick(self.trainer.model, batch) or len(batch.rows) < 2:
            return batch
        return batch_of(self.trainer, batch.rows[:1], self.takes)

    def _training_rows(self, rows: RowSummary, target: Target) -> TrainingRows:
        return TrainingRows(
            rows, target, self.limits, self.run_facts, self.label_column, self._dropped(rows),
            tuple(self._ignored_classes()), self.masking,
        )  # fmt: skip

    def _dropped(self, rows: RowSummary) -> frozenset[str]:
        if not self.trainer.args.remove_unused_columns:
            return frozenset()
        return frozenset(rows.columns) - self.takes - {*LABEL_COLUMNS, *(self.trainer.label_names or ())}

    def _ignored_classes(self) -> Iterator[tuple[str, int]]:
        padded = getattr(self.trainer.data_collator, "label_pad_token_id", None)
        if isinstance(padded, int):
            yield "label_pad_token_id of the collator", padded
        if self.trainer.label_smoother is not None:
            yield "ignore_index of the label smoother", self.trainer.label_smoother.ignore_index
        for name, index in ignore_indices(self.model):
            yield f"ignore_index of {name}", index

    def _of_batch(self, rows: RowSummary | None, batch: BatchFacts, target: Target) -> list[Finding]:
        labels = rows.columns.get(self.label_column) if rows is not None else None
        facts = LabelsAndLoss(batch, target, labels, self.limits, self.precisions)
        return [*BATCH.findings(facts), *LOSS.findings(facts)]

    def _weights(self, target: Target) -> ModelFacts:
        num_outputs = target.num_labels if target.kind in HEADED else 0
        return model_facts(self.trainer.model, num_outputs, self.precisions)

    def _of_settings(self, weights: ModelFacts, environment: EnvironmentFacts | None) -> list[Finding]:
        if environment is None:
            environment = trainer_environment(
                self.trainer, self.precisions, weights.num_weights, weights.num_trained
            )
        settings = optimizer_facts(self.trainer, weights.dtypes)
        of_optimizer = OPTIMIZER.findings(settings) if settings is not None else []
        return [*of_optimizer, *ENVIRONMENT.findings(environment)]


def _of_texts(texts: Sequence[str]) -> list[Finding]:
    missing = np.array([text is None for text in texts], dtype=bool)
    empty = np.array([text is not None and not str(text).strip() for text in texts], dtype=bool)
    return TABLE.findings(TableFacts(len(texts), (TextColumn("text", "text", missing, empty),)))


def _most_telling(found: Sequence[Finding]) -> list[Finding]:
    """Return each rule once, without the consequences of what another rule explains."""
    once = list({finding.rule: finding for finding in reversed(found)}.values())
    reasons = [
        finding
        for finding in once
        if finding.is_error and finding.rule not in GENERAL and finding.rule.startswith(CAN_BREAK_A_BATCH)
    ]
    return [finding for finding in once if finding.rule not in GENERAL or not reasons]


CAN_BREAK_A_BATCH = ("STAB-D", "STAB-L", "STAB-M")
