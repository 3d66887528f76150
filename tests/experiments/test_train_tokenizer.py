"""The tokenizer of the language models' examples: one serves all types of task."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from language_samples import BART, BERT, GPT2, task
from transformers import AutoTokenizer

from experiments.train_tokenizer import main
from stabsearch.task.registry import build_workload

ROWS = "text\tintent\nwhat is my balance\tbalance\nsend money to mom\ttransfer\n"


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["train_tokenizer.py", *words])
    return main()


def test_one_tokenizer_serves_every_type_of_language_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No text is unknown to it, and it has every special token that one of them asks for."""
    (tmp_path / "rows.tsv").write_text(ROWS)
    folder = tmp_path / "bpe"
    assert run(monkeypatch, str(tmp_path / "rows.tsv"), str(folder), "text", "intent", "--tokens", "300") == 0
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("günstig? ✓")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "günstig? ✓"
    for kind, config, columns in (
        ("causal-lm", GPT2, {"text": ["what is my balance"]}),
        ("masked-lm", BERT, {"text": ["what is my balance"]}),
        ("seq2seq", BART, {"source": ["send money"], "target": ["transfer"]}),
    ):  # fmt: skip
        made: Any = task(tmp_path / kind, kind, columns, config=config, tokenizer=str(folder))
        assert build_workload(made).model(0).config.vocab_size == len(tokenizer) <= 300


def test_a_column_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines and exit code 2, as everywhere."""
    (tmp_path / "rows.tsv").write_text(ROWS)
    assert run(monkeypatch, str(tmp_path / "rows.tsv"), str(tmp_path / "bpe"), "body") == 2
    assert "no column 'body' in the training data (columns: text, intent)" in capsys.readouterr().err
    assert not (tmp_path / "bpe").exists()
