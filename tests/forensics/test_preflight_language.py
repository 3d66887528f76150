"""The preflight of language models: silent on sound data, and each fault of data by its own name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from language_samples import ALL_ROLES, BART, BERT, GPT2, LLAMA, ROLES, T5, task, text
from preflight_samples import look, masked_bert, masking_collator, pair_collator, t5, tokenizer, tokens
from transformers import BartConfig, BartForConditionalGeneration

from stabsearch.config import Sweep
from stabsearch.errors import UserError
from stabsearch.forensics.finding import Finding
from stabsearch.forensics.preflight import preflight

TEXTS = [text(i) for i in range(24)]
ONE = {"text": TEXTS}
PROMPTS = {"text": TEXTS, "prompt": TEXTS[::-1]}
PAIRS = {"source": TEXTS, "target": TEXTS[::-1]}
ONLY_END = {"eos_token": "</s>"}
ONE_FOR_ALL = {"eos_token": "</s>", "bos_token": "</s>", "unk_token": "</s>"}


def found(
    folder: Path, kind: str, columns: dict[str, Any], batch_size: int = 4, **changes: Any
) -> list[Finding]:
    """Return what the preflight of a sweep says of a task."""
    values = {
        "name": "s",
        "output_dir": str(folder),
        "task": task(folder, kind, columns, **changes).model_dump(),
        "training": {"max_steps": 50, "per_device_train_batch_size": batch_size},
        "search": {"precision": ["fp32"]},
        "tracking": {"uri": "none"},
    }
    return list(preflight(Sweep.model_validate(values)).findings)


@pytest.mark.parametrize(
    ("kind", "columns", "changes"),
    [
        ("causal-lm", ONE, {}),
        ("causal-lm", ONE, {"config": GPT2, "tokenizer": ONE_FOR_ALL}),
        ("causal-lm", ONE, {"config": LLAMA, "tokenizer": ONLY_END}),
        ("causal-lm", ONE, {"packing": True, "max_length": 8}),
        ("causal-lm", ONE, {"config": {**BERT, "is_decoder": True}}),
        ("causal-lm", PROMPTS, {"prompt": "prompt"}),
        ("causal-lm", PROMPTS, {"prompt": "prompt", "packing": True, "max_length": 8}),
        ("causal-lm", PROMPTS | {"prompt": [""] * 24}, {"prompt": "prompt"}),
        ("masked-lm", ONE, {}),
        ("masked-lm", ONE, {"packing": True, "max_length": 8}),
        ("masked-lm", {"text": ["w1"] * 24}, {"batch_size": 1}),
        ("seq2seq", PAIRS, {"config": T5}),
        ("seq2seq", PAIRS, {"config": BART}),
        ("seq2seq", PAIRS, {"config": BART, "tokenizer": {**ROLES, "pad_token": "</s>"}}),
    ],
)  # fmt: skip
def test_sound_data_are_no_finding(
    tmp_path: Path, kind: str, columns: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Also where one token is end, beginning and padding at once, and where no label is asked for."""
    assert found(tmp_path, kind, columns, **changes) == []


LONG = {"text": [text(1, 40), *TEXTS]}
EMPTY = {"text": ["", *TEXTS]}
CUT = {"text": TEXTS[:6], "prompt": [text(5, 9), text(5, 9), *TEXTS[:4]]}
ONE_ROW = {"text": ["w1 w2"] * 9}
WORDS_OF_OTHERS = {"text": ["nobody knows these"] * 12 + TEXTS[:12]}


@pytest.mark.parametrize(
    ("kind", "columns", "changes", "rule", "is_error", "rows", "key"),
    [
        ("causal-lm", LONG, {"max_length": 64}, "STAB-D033", True, (0,), "max_length"),
        ("causal-lm", LONG, {"max_length": 64, "config": LLAMA}, "STAB-D034", False, (0,), "max_length"),
        ("causal-lm", LONG, {"max_length": 40, "packing": True}, "STAB-D033", True, (0, 1, 2), "max_length"),
        ("causal-lm", ONE, {"config": {**GPT2, "vocab_size": 18}}, "STAB-D030", True, None, "tokenizer"),
        ("causal-lm", ONE, {"config": {**GPT2, "vocab_size": 18}}, "STAB-D012", True, None, None),
        ("causal-lm", ONE, {"config": BERT}, "STAB-M011", True, (), "model"),
        ("causal-lm", EMPTY, {}, "STAB-D009", False, (0,), "text"),
        ("causal-lm", EMPTY, {}, "STAB-D018", False, (0,), None),
        ("causal-lm", ONE, {"batch_size": 99}, "STAB-D004", False, (), "data"),
        ("causal-lm", WORDS_OF_OTHERS, {}, "STAB-D039", False, tuple(range(10)), "tokenizer"),
        ("causal-lm", CUT, {"prompt": "prompt", "max_length": 9}, "STAB-D019", False, (0, 1), "max_length"),
        ("causal-lm", CUT, {"prompt": "prompt", "max_length": 4, "packing": True},
         "STAB-D018", True, (0, 1, 3, 4, 11), None),
        ("masked-lm", LONG, {"max_length": 64}, "STAB-D033", True, (0,), "max_length"),
        ("masked-lm", EMPTY, {}, "STAB-D018", False, (0,), None),
        ("masked-lm", EMPTY, {"batch_size": 1}, "STAB-D018", True, (0,), None),
        ("masked-lm", ONE_ROW, {"config": {**BERT, "vocab_size": 19}}, "STAB-D031", True, (), "tokenizer"),
        ("seq2seq", {"source": LONG["text"], "target": EMPTY["text"]}, {"config": BART, "max_length": 64},
         "STAB-D033", True, (0,), "max_length"),
        ("seq2seq", {"source": TEXTS, "target": EMPTY["text"][:24]}, {}, "STAB-D009", False, (0,), "target"),
        ("seq2seq", {"source": EMPTY["text"][:24], "target": TEXTS}, {}, "STAB-D009", False, (0,), "source"),
        ("seq2seq", PAIRS, {"config": {**T5, "vocab_size": 18}}, "STAB-D012", True, None, None),
    ],
)  # fmt: skip
def test_each_fault_is_named(
    tmp_path: Path, kind: str, columns: dict[str, Any], changes: dict[str, Any],
    rule: str, is_error: bool, rows: tuple[int, ...] | None, key: str | None,
) -> None:  # fmt: skip
    """Its rows are those of the file, or blocks, and its key is one that this type of task has."""
    by_rule = {finding.rule: finding for finding in found(tmp_path, kind, columns, **changes)}
    assert rule in by_rule
    finding = by_rule[rule]
    assert finding.is_error == is_error
    assert rows is None or finding.rows == rows
    assert finding.key == (("task",) if key is None else ("task", key))


def test_a_target_longer_than_the_decoders_positions(tmp_path: Path) -> None:
    """The encoder takes what it is given; labels have positions of their own."""
    columns = {"source": TEXTS, "target": [text(1, 40), *TEXTS[1:]]}
    (finding,) = [f for f in found(tmp_path, "seq2seq", columns, config=BART) if f.rule == "STAB-D033"]
    assert (finding.rows, finding.is_error) == ((0,), True)
    assert "labels of 1 of 24 rows are longer than the decoder's last position, 32" in finding.message
    assert finding.key == ("task", "max_target_length")


def test_a_missing_text_is_a_verdict_before_anything_is_built(tmp_path: Path) -> None:
    """No tokenizer and no model are needed to say so, for any column that is named."""
    for kind, columns, changes, name in (
        ("causal-lm", {"text": TEXTS, "prompt": [None, *TEXTS[1:]]}, {"prompt": "prompt"}, "prompt"),
        ("masked-lm", {"text": [None, *TEXTS[1:]]}, {}, "text"),
        ("seq2seq", {"source": TEXTS, "target": [None, *TEXTS[1:]]}, {}, "target"),
    ):  # fmt: skip
        (finding,) = found(tmp_path, kind, columns, tokenizer="./nowhere", **changes)
        assert (finding.rule, finding.rows) == ("STAB-D008", (0,))
        assert repr(name) in finding.message


def test_a_data_set_smaller_than_a_block_is_refused(tmp_path: Path) -> None:
    """There is nothing to train on, and the sweep's key says what to change."""
    with pytest.raises(UserError, match="are 11 tokens, fewer than one block of 16") as raised:
        found(tmp_path, "causal-lm", {"text": ["w1 w2 w3 w4", "w1 w2 w3 w4 w5"]}, packing=True)
    assert raised.value.key == ("task", "max_length")


def test_by_chance_unmasked_batches_are_no_finding_of_a_collator_that_masks_one() -> None:
    """Transformers' own collator is told apart from the one of the task."""
    rows = [{"input_ids": tokens(i, 2)} for i in range(12)]
    stock = look(rows, masked_bert(), masking_collator(), per_device_train_batch_size=1)
    assert "STAB-D042" in {finding.rule for finding in stock}
    (finding,) = [finding for finding in stock if finding.rule == "STAB-D042"]
    assert "about 4.9 batches" in finding.message  # 10 steps, two tokens, 0.7 squared


def test_a_target_that_ends_with_the_padding_token_is_not_padded() -> None:
    """One token is end and padding at once: its labels are ends."""
    shared = tokenizer()
    shared.pad_token = shared.eos_token
    collator = pair_collator()
    collator.tokenizer = shared
    rows = [{"input_ids": tokens(i), "labels": [*tokens(i, 3), shared.eos_token_id]} for i in range(12)]
    assert "STAB-D021" not in {finding.rule for finding in look(rows, t5(), collator)}
    padded = [{**row, "labels": [*row["labels"], 0, 0]} for row in rows]
    assert "STAB-D021" in {finding.rule for finding in look(padded, t5(), pair_collator())}


def test_barts_positions_count_padding() -> None:
    """Its tables keep two rows free, as OPT's do, but a padded row still takes one position per token."""
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=24, d_model=16, max_position_embeddings=8, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        pad_token_id=0,
    )  # fmt: skip
    model = BartForConditionalGeneration(config)
    rows = [
        {"input_ids": [*tokens(i, 6), 0, 0, 0], "attention_mask": [1] * 6 + [0] * 3, "labels": tokens(i, 4)}
        for i in range(12)
    ]
    assert "STAB-D033" in {finding.rule for finding in look(rows, model, pair_collator())}


def test_words_that_the_tokenizer_does_not_know_are_never_hidden(tmp_path: Path) -> None:
    """A text of such words alone has nothing to learn, like an empty one."""
    columns = {"text": ["nobody knows", *TEXTS]}
    rules = {finding.rule: finding for finding in found(tmp_path, "masked-lm", columns, tokenizer=ALL_ROLES)}
    assert rules["STAB-D018"].rows == (0,)
