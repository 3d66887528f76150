"""Valid sweeps of every type of task to start from, with the files that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MODEL = {
    "config": {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
}
TEXTS = {
    "model": MODEL,
    "tokenizer": ".",
    "data": {"train": "rows.tsv", "eval": "rows.tsv"},
    "max_length": 16,
}
TASKS: dict[str, dict[str, Any]] = {
    "quickstart": {"num_rows": 64, "num_classes": 4, "label_noise": 0.05, "hidden_size": 16,
                   "num_hidden_layers": 1},
    "sequence-classification": {**TEXTS, "text": "text", "text_pair": "other", "label": "label"},
    "multi-label": {**TEXTS, "label": ["a", "b"]},
    "regression": {**TEXTS, "label": ["mood", "force"], "trust_remote_code": False},
    "token-classification": {**TEXTS, "text": "tokens", "label": "tags"},
    "causal-lm": {**TEXTS, "text": "text", "prompt": "label", "packing": True},
    "masked-lm": {**TEXTS, "data": {"path": ".", "name": "x", "split": "train", "revision": "0"},
                  "mlm_probability": 0.15},
    "seq2seq": {**TEXTS, "source": "text", "target": "label", "prefix": "to: ", "max_target_length": 8},
    "trainer": {"factory": "own:make", "folder": ".", "chance_loss": 1.5},
    "script": {"path": "own.py", "args": {"rows": "rows.tsv", "sizes": [1, 2], "fast": True, "none": None}},
}  # fmt: skip
OTHERS: dict[str, Any] = {
    "training": {"max_steps": 40, "per_device_train_batch_size": 4, "weight_decay": 0.01,
                 "optim": "adamw_torch"},
    "accumulation": "fix",
    "search": {
        "learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0, 0.05], "max_grad_norm": [0, 1.0],
        "precision": ["fp32", "bf16"], "sampler": "tpe", "tolerance": 0.12, "goal": "recommend",
        "adam_beta2": [0.95, 0.999], "prior": {"ramp": True},
    },
    "budget": {"trials": 14, "horizon": 8, "wall_clock": "20m", "trial_timeout": 30, "bridge_trials": 1},
    "risk": {"max_failure_probability": 0.1, "confidence": 0.9, "confirmation_trials": 2,
             "confirmation": "plain"},
    "resources": {"driver": "inline", "cpus_per_trial": 1},
    "study": {"storage": "sqlite:///study.db"},
    "tracking": {"uri": "none", "experiment": "x"},
    "bad_batches": {"max_gib": 1.0},
    "outcomes": {"divergence_share": 0.5},
}  # fmt: skip


def seed_sweeps(folder: Path) -> dict[str, dict[str, Any]]:
    """Return a valid sweep for every type of task, having written the files that they name."""
    (folder / "rows.tsv").write_text("text\tother\tlabel\nhello there\tyou\ta\ngood bye\tme\tb\n")
    (folder / "own.py").write_text("def make(args):\n    raise NotImplementedError\n")
    base = {"name": "fuzz", "output_dir": str(folder / "runs"), "seed": 3}
    return {
        kind: {**base, "task": {"type": kind, **task}, **OTHERS, **_peft(kind)}
        for kind, task in TASKS.items()
    }


def _peft(kind: str) -> dict[str, Any]:
    return {"peft": {"type": "lora", "r": 4}} if kind == "causal-lm" else {}


def as_yaml(data: Any, flow: bool) -> bytes:
    """Return data as YAML; values that YAML has no form for have one here."""
    text: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=flow, allow_unicode=True)
    return text.encode(errors="surrogatepass")
