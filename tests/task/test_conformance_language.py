"""Language models of every family keep what a trial relies on, packed, prompted, tied and untied."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from language_samples import ALL_ROLES, BART, BERT, GPT2, LLAMA, T5, task, text

from stabsearch.capture.bundle import read_bundle
from stabsearch.forensics.replay import Verdict, replay
from stabsearch.records import Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.task.masked_lm import DataCollatorForMaskedLanguageModeling
from stabsearch.task.registry import build_workload
from stabsearch.task.workload import RowWorkload
from stabsearch.testing.task_conformance import TaskConformance
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup

TEXTS = [text(row, 3 + row % 4) for row in range(48)]
FIRST_WORDS = [each.split()[0] for each in TEXTS]
ONLY_END = {"eos_token": "</s>"}
CHAT = "{% for m in messages %}{{ m['content'] }} </s> {% endfor %}"
NO_DROPOUT = {
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "t5": {"dropout_rate": 0.0},
    "bart": {"dropout": 0.0},
    "llama": {},
}


class LanguageConformance(TaskConformance):
    """What the losses of tokens owe beside: units that accumulation leaves alone, bundles that replay."""

    learning_rate = 3e-2
    kind: ClassVar[str]
    columns: ClassVar[dict[str, list[Any]]] = {"text": TEXTS}
    changes: ClassVar[dict[str, Any]] = {}

    def make_workload(self, folder: Path) -> RowWorkload:
        return self._made(folder, self.changes)

    def _made(self, folder: Path, changes: dict[str, Any]) -> RowWorkload:
        workload = build_workload(task(folder, self.kind, self.columns, **changes))
        assert isinstance(workload, RowWorkload)
        return workload

    def _trial(
        self, workload: RowWorkload, folder: Path, learning_rate: float, **training: Any
    ) -> TrialRecord:
        plan = TrialPlan(0, Stage.SEARCH, learning_rate, 0, 0.0, "fp32", 1, 2, 8)
        arguments = {"per_device_train_batch_size": 8, "remove_unused_columns": False, **training}
        setup = TrialSetup(
            max_steps=16, training=arguments, bundle_dir=str(folder / "bundles"), max_bundle_bytes=10**8
        )
        return run_trial(plan, workload, setup)

    @pytest.mark.parametrize("accumulation", [2, 4])
    def test_accumulation_leaves_the_units_alone(self, tmp_path: Path, accumulation: int) -> None:
        """Shares or means: models differ in what they do with the count, and a loss is that of its rows."""
        config = self.changes.get("config", {"causal-lm": GPT2, "masked-lm": BERT, "seq2seq": T5}[self.kind])
        still = {**self.changes, "config": {**config, **NO_DROPOUT[config["model_type"]]}}
        workload = self._made(tmp_path, still)
        whole = self._trial(workload, tmp_path, 1e-4)
        parts = self._trial(
            workload, tmp_path, 1e-4,
            per_device_train_batch_size=8 // accumulation, gradient_accumulation_steps=accumulation,
        )  # fmt: skip
        assert (whole.outcome, parts.outcome) == (Outcome.STABLE, Outcome.STABLE)
        assert list(parts.trace.losses) == pytest.approx(list(whole.trace.losses), rel=self.spread)

    spread: ClassVar[float] = 1e-4
    """Between a mean over a batch, and over its parts."""

    @pytest.mark.parametrize("accumulation", [1, 3])
    def test_a_trial_that_broke_replays_bit_for_bit(
        self, workload: RowWorkload, tmp_path: Path, accumulation: int
    ) -> None:
        """Batch, weights (tied ones once) and the count of labels are in the bundle."""
        record = self._trial(workload, tmp_path, 1e20, gradient_accumulation_steps=accumulation)
        assert (record.outcome, record.message) == (Outcome.NONFINITE, record.message)
        assert replay(read_bundle(tmp_path / "bundles" / record.bundle)).verdict is Verdict.BIT_EXACT


class TestGPT2(LanguageConformance):
    """Tied weights, and dropout."""

    kind = "causal-lm"


class TestGPT2Packed(LanguageConformance):
    """Blocks of one length: nothing is padded."""

    kind = "causal-lm"
    changes: ClassVar[dict[str, Any]] = {"packing": True, "max_length": 8}


class TestLlamaWithoutPadding(LanguageConformance):
    """Untied weights, and a tokenizer whose end stands in for padding."""

    kind = "causal-lm"
    changes: ClassVar[dict[str, Any]] = {"config": LLAMA, "tokenizer": ONLY_END}


class TestLlamaTiedWithPrompts(LanguageConformance):
    """Answers alone are learned."""

    kind = "causal-lm"
    columns: ClassVar[dict[str, list[Any]]] = {"prompt": TEXTS, "text": FIRST_WORDS}
    changes: ClassVar[dict[str, Any]] = {"config": {**LLAMA, "tie_word_embeddings": True}, "prompt": "prompt"}


class TestPackedPrompts(LanguageConformance):
    """A block may hold several answers, or half a prompt."""

    kind = "causal-lm"
    columns: ClassVar[dict[str, list[Any]]] = {"prompt": TEXTS, "text": FIRST_WORDS}
    changes: ClassVar[dict[str, Any]] = {"prompt": "prompt", "packing": True, "max_length": 16}


class TestConversations(LanguageConformance):
    """Written out by the chat template of the tokenizer."""

    kind = "causal-lm"
    columns: ClassVar[dict[str, list[Any]]] = {
        "talk": [
            [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
            for asked, said in zip(TEXTS, FIRST_WORDS, strict=True)
        ]
    }
    changes: ClassVar[dict[str, Any]] = {"messages": "talk", "tokenizer": {"chat": CHAT, **ALL_ROLES}}


class MaskedConformance(LanguageConformance):
    """Labels are made by the collator: here it hides every token there is."""

    kind = "masked-lm"
    draws = True
    spread = 0.1
    """Which tokens are hidden depends on how rows are put into batches."""

    def all_labels(self, workload: RowWorkload) -> list[Any]:
        return [workload.rows[row]["input_ids"] for row in range(workload.num_rows)]

    def all_rows(self, workload: RowWorkload) -> dict[str, torch.Tensor]:
        hides_all = DataCollatorForMaskedLanguageModeling(workload.tokenizer, mlm_probability=1.0)
        return dict(hides_all([workload.rows[row] for row in range(workload.num_rows)]))


class TestBert(MaskedConformance):
    """Tied weights and a tied bias."""


class TestBertPacked(MaskedConformance):
    """Blocks of one length."""

    changes: ClassVar[dict[str, Any]] = {"packing": True, "max_length": 8}


class PairConformance(LanguageConformance):
    """A decoder that writes the first word of what was read."""

    kind = "seq2seq"
    columns: ClassVar[dict[str, list[Any]]] = {"source": TEXTS, "target": FIRST_WORDS}


class TestT5(PairConformance):
    """Its decoder starts with padding."""


class TestBart(PairConformance):
    """One embedding for encoder, decoder and output; its decoder starts with the end."""

    changes: ClassVar[dict[str, Any]] = {"config": BART}
