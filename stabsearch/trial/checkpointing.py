"""Activation checkpointing, as a Trainer switches it on when it begins to train."""

from __future__ import annotations

from typing import Any


def recompute_like(trainer: Any, model: Any) -> None:
    """Have a model compute activations again in its backward where the Trainer's arguments ask for it.

    Transformers switches it on within ``train()``: a model beside the trained one would keep all of its
    activations, and may not fit into memory.

    Source: ``Trainer._inner_training_loop`` of Transformers 5.24; before, it went by the name of
    ``gradient_checkpointing``.
    """
    args, kind = trainer.args, "activation"
    if not hasattr(args, "activation_checkpointing"):
        kind = "gradient"
    if not getattr(args, f"{kind}_checkpointing") or getattr(model, f"is_{kind}_checkpointing", False):
        return
    given = dict(getattr(args, f"{kind}_checkpointing_kwargs") or {})
    more = {name: given.pop(name) for name in ("every_n_layers", "offload") if name in given}
    enable = getattr(model, f"{kind}_checkpointing_enable", None)
    if enable is not None:
        enable(**{f"{kind}_checkpointing_kwargs": given or None}, **more)
