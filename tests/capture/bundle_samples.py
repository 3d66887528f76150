"""A small bundle, and ways to tamper with it."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stabsearch.capture.bundle import BATCH, WEIGHTS, write_bundle
from stabsearch.capture.manifest import (
    MANIFEST,
    ClassRef,
    Digest,
    FirstBad,
    Manifest,
    MicroBatchRef,
    ModelRef,
    Numerics,
    Suspects,
    TrainerRef,
)

HERE = ClassRef("transformers", "BertModel")
CONFIG = {"hidden_size": 4, "limit": {"__float__": "inf"}}


def manifest(**changes: Any) -> Manifest:
    """Return what a bundle says of itself, every kind of field in use."""
    values: dict[str, Any] = {
        "bad": FirstBad("loss", "7fc00000", "nan", 3, 7),
        "model": ModelRef(HERE, CONFIG, "sdpa", "", {"drop": 0.1}, ("hooked",)),
        "trainer": TrainerRef(HERE, HERE, {"seed": 1}, HERE, 2, False),
        "numerics": Numerics("fp16", 65536.0, "cpu", 1, "AVX2", False, "ieee"),
        "window": (
            MicroBatchRef(
                inputs={"mapping": {"input_ids": {"tensor": "micro0.input_ids"}}},
                num_items={"plain": None}, rng={"cpu": "micro0.rng.cpu"},
                buffers={"scale": "micro0.buffer.scale"}, rows=(4, 2), texts=("a", "b"), number=7,
            ),
        ),
        "aliases": {"head": "embedding"},
        "digest": Digest(("7fc00000",), "aa", "bb", "7f800000"),
        "outcome": "data_fault", "cause": "data", "suspects": Suspects((1,), (2,), 0, True),
        "signature": "loss|nan|fp16|data|2", "plan": {"learning_rate": 1e20, "ramp_from": None},
        "learning_rate": math.nan, "machine": {"torch": "2.0"},
    }  # fmt: skip
    return Manifest(**{**values, **changes})


def tensors() -> dict[str, dict[str, torch.Tensor]]:
    """Return what goes with the manifest."""
    return {
        WEIGHTS: {"embedding": torch.ones(3, 2)},
        BATCH: {
            "micro0.input_ids": torch.tensor([[1, 2]]),
            "micro0.rng.cpu": torch.get_rng_state(),
            "micro0.buffer.scale": torch.ones(2),
        },
    }


def written(folder: Path, **changes: Any) -> Path:
    """Return the folder, a bundle now."""
    write_bundle(folder, manifest(**changes), tensors())
    return folder


def tampered(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Return the bundle with its manifest changed by hand."""
    path = folder / MANIFEST
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return folder


def with_file(folder: Path, name: str, content: bytes) -> Path:
    """Return the bundle with one file exchanged, and its checksum put right."""
    (folder / name).write_bytes(content)
    return tampered(folder, lambda data: data["files"].update({name: hashlib.sha256(content).hexdigest()}))
