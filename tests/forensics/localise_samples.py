"""Tiny models with one fault each, and the step that runs them."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from stabsearch.forensics.localise import Localisation, localise

VOCABULARY = 64
Function = Callable[[torch.Tensor], torch.Tensor]


def bert(kind: Any = BertForSequenceClassification, **changes: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=16, **sizes, **changes)
    return kind(config).train()


def masked_lm() -> Any:
    return bert(BertForMaskedLM)


def gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16}
    special = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **sizes, **special)).train()


def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 2}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 16}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **heads, **sizes)).train()


def t5() -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    return T5ForConditionalGeneration(
        T5Config(vocab_size=VOCABULARY, decoder_start_token_id=0, **sizes)
    ).train()


LANGUAGE_MODELS: dict[str, tuple[Callable[[], Any], tuple[str, ...], str]] = {
    "bert": (
        masked_lm,
        ("bert.encoder.layer.1.intermediate.dense.weight", "bert.encoder.layer.1.output.dense.weight"),
        "bert.encoder.layer.1.output.dense",
    ),
    "gpt2": (
        gpt2,
        ("transformer.h.1.mlp.c_fc.weight", "transformer.h.1.mlp.c_proj.weight"),
        "transformer.h.1.mlp.c_proj",
    ),
    "llama": (
        llama,
        ("model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight"),
        "model.layers.1.mlp.down_proj",
    ),
    "t5": (
        t5,
        (
            "encoder.block.1.layer.1.DenseReluDense.wi.weight",
            "encoder.block.1.layer.1.DenseReluDense.wo.weight",
        ),
        "encoder.block.1.layer.1.DenseReluDense.wo",
    ),
}
"""By name: the model, weights to enlarge, and the module that then overflows half precision."""


def enlarge(model: nn.Module, names: tuple[str, ...], factor: float) -> None:
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).mul_(factor)


def batch(**changes: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, VOCABULARY, (4, 8), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1, 0, 1]), **changes}


def forward(
    model: Any, inputs: dict[str, Any], dtype: torch.dtype | None = None
) -> Callable[[], torch.Tensor]:
    def step() -> torch.Tensor:
        with torch.autocast("cpu", dtype) if dtype is not None else nullcontext():
            loss = model(**inputs).loss
        return loss.float()

    return step


def found_in(
    model: Any, inputs: dict[str, Any], dtype: torch.dtype | None = None, **more: Any
) -> Localisation:
    torch.set_num_threads(1)
    return localise(model, forward(model, inputs, dtype), **more)


class Middle(nn.Module):
    """A module that computes any function."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class Net(nn.Module):
    """Two linear layers with any function between them."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(4, 4), Middle(function), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.middle(self.first(x)))


FEATURES = torch.linspace(-1.0, 1.0, 20).reshape(5, 4)
CLASSES = torch.tensor([0, 1, 0, 1, 0])


def net(function: Function = lambda x: x) -> Net:
    torch.manual_seed(0)
    return Net(function)


def found_between(function: Function, **more: Any) -> Localisation:
    """Return the localisation of a classifier that computes ``function`` in module ``middle``."""
    model = net(function)
    return localise(model, lambda: cross_entropy(model(FEATURES), CLASSES), **more)
