"""Sweeps made in Python, without a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from word_tokenizer import word_tokenizer

import stabsearch
from stabsearch.config import Sweep


def test_a_sweep_made_in_python_keeps_its_paths_whole_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its relative paths start where it was made; the saved sweep holds them whole."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(
        f"good {i} {word}\t{label}\n" for i in range(16) for word, label in (("a", "x"), ("b", "y"))
    )
    Path("rows.tsv").write_text(f"text\tlabel\n{rows}", encoding="utf-8")
    word_tokenizer(tmp_path / "words", rows.split())
    config = {"model_type": "bert", "vocab_size": 500, "hidden_size": 16, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32}
    parts = {
        "name": "moved",
        "task": {
            "type": "sequence-classification",
            "model": {"config": config},
            "tokenizer": "./words",
            "data": {"train": "rows.tsv"},
        },
        "training": {"max_steps": 20, "per_device_train_batch_size": 4},
        "search": {"learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0], "precision": ["fp32"]},
        "budget": {"trials": 2, "horizon": 4},
        "resources": {"driver": "inline"},
        "tracking": {"uri": "none"},
    }
    stabsearch.run_sweep(Sweep.model_validate(parts))
    saved = Path("runs/moved/sweep.resolved.yaml").read_text(encoding="utf-8")
    assert str(tmp_path / "rows.tsv") in saved
    again = stabsearch.run_sweep(Sweep.model_validate(parts), resume="must")
    assert len(again.trials) == 2


def test_overrides_go_with_a_file() -> None:
    """Given beside a Sweep they would be ignored in silence."""
    parts = {"name": "a", "task": {"type": "quickstart"}, "training": {"max_steps": 10}}
    with pytest.raises(ValueError, match="overrides go with a sweep file"):
        stabsearch.run_sweep(Sweep.model_validate(parts), overrides=["seed=1"])
