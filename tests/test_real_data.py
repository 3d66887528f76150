"""Real data sets through the whole route, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
from word_tokenizer import word_tokenizer

import stabsearch
from stabsearch.config import Sweep

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CLINC = SHARED / "clinc150_small_train.tsv"


@pytest.mark.skipif(not CLINC.exists(), reason="the real data sets do not lie beside this checkout")
def test_a_sweep_on_clinc150_from_a_tsv(tmp_path: Path) -> None:
    """Real texts with quotes in them, ten domains by name, a model from a configuration."""
    lines = CLINC.read_text(encoding="utf-8").splitlines()
    tokenizer = word_tokenizer(tmp_path / "words", [line.split("\t")[0] for line in lines[1:]])
    config = {"model_type": "bert", "vocab_size": 500, "hidden_size": 32, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 32}
    sweep = Sweep.model_validate(
        {
            "name": "clinc",
            "output_dir": str(tmp_path),
            "task": {
                "type": "sequence-classification",
                "model": {"config": config},
                "tokenizer": tokenizer,
                "data": {"train": str(CLINC)},
                "label": "domain",
                "max_length": 32,
            },
            "training": {"max_steps": 200, "per_device_train_batch_size": 16},
            "search": {
                "learning_rate": {"low": 1e-4, "high": 10.0},
                "warmup": [0],
                "max_grad_norm": [1.0],
                "precision": ["bf16"],
            },
            "budget": {"trials": 8, "horizon": 30},
            "risk": {"confirmation_trials": 1},
            "resources": {"driver": "inline"},
            "tracking": {"uri": "none"},
        }
    )
    result = stabsearch.run_sweep(sweep)
    trials = result.trials
    assert len(trials) == 8
    assert trials["chance_loss"].iloc[0] == pytest.approx(2.3026, abs=1e-3)
    assert set(trials["outcome"]) > {"stable"}, "the range reaches past the boundary"
    assert set(trials.loc[trials["stage"] != "canary", "autocast_dtype"]) == {"bfloat16"}
