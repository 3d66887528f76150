"""All numbers of a model: tied ones once, buffers that no checkpoint holds, memory shared or not."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

from stabsearch.capture.weights import load_weights, nonfinite_weights, num_bytes, weights_of


class Parts(nn.Module):
    """Ties, buffers of all kinds, and parameters in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.short = nn.Parameter(torch.rand(3).to(torch.bfloat16))
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("hidden", torch.rand(2), persistent=False)
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("nothing", None)
        self.register_buffer("empty", torch.empty(0))
        self.register_buffer("also_empty", torch.empty(0))


def changed(model: Any) -> Any:
    """Return the model with every number replaced."""
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.copy_((torch.rand(tensor.shape) * 5).to(tensor.dtype))
    return model


def everything(model: nn.Module) -> dict[str, torch.Tensor]:
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: tensor.detach().clone() for name, tensor in named}


def test_nothing_is_left_out_and_ties_are_stored_once() -> None:
    """A ``state_dict`` would leave out the buffer that is not persistent, and hold the tie twice."""
    tensors, aliases = weights_of(Parts())
    assert aliases == {"head.weight": "embedding.weight"}
    assert "hidden" in tensors
    assert "hidden" not in Parts().state_dict()
    assert {"norm.running_mean", "norm.num_batches_tracked", "mask", "empty", "also_empty", "short"} <= {
        *tensors
    }
    assert num_bytes({"short": tensors["short"], "mask": tensors["mask"]}) == 3 * 2 + 2


SMALL = {
    "vocab_size": 11, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "tie_word_embeddings": True,
}  # fmt: skip


def llama() -> nn.Module:
    return LlamaForCausalLM(LlamaConfig(**SMALL))


def bert() -> nn.Module:
    return BertForMaskedLM(BertConfig(**SMALL))


@pytest.mark.parametrize("make", [Parts, llama, bert])
def test_another_model_of_the_same_make_becomes_the_same(make: Any) -> None:
    """Parameters, their dtypes, and every buffer, whatever the other one held before."""
    model = changed(make())
    tensors, aliases = weights_of(model)
    stored = {name: tensor.clone() for name, tensor in tensors.items()}
    other = make()
    load_weights(other, stored, aliases)
    ours, theirs = everything(model), everything(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert theirs[name].dtype is value.dtype
        assert torch.equal(theirs[name], value), name


def test_tied_weights_stay_tied_after_loading() -> None:
    """An update of the one must still be one of the other, in the replay too."""
    model = Parts()
    load_weights(model, *weights_of(changed(Parts())))
    with torch.no_grad():
        model.head.weight.zero_()
    assert model.embedding.weight.sum() == 0


def test_what_was_loaded_is_a_copy() -> None:
    """A replay must not write into what the next one starts from."""
    tensors, aliases = weights_of(Parts())
    stored = {name: tensor.clone() for name, tensor in tensors.items()}
    model = Parts()
    load_weights(model, stored, aliases)
    changed(model)
    assert all(torch.equal(stored[name], tensors[name]) for name in stored)


def test_a_model_of_another_make_is_refused() -> None:
    """A tensor that is missing, or of another shape."""
    tensors, aliases = weights_of(nn.Linear(2, 3))
    with pytest.raises(ValueError, match=r"weight has shape \(3, 4\), stored is \(3, 2\)"):
        load_weights(nn.Linear(4, 3), tensors, aliases)
    with pytest.raises(KeyError, match="running_mean"):
        load_weights(nn.BatchNorm1d(3), {"weight": torch.ones(3), "bias": torch.ones(3)}, {})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(bad: float) -> None:
    """One number is enough; buffers may hold infinities by design."""
    model = Parts()
    model.hidden.fill_(-float("inf"))
    assert nonfinite_weights(model) == []
    with torch.no_grad():
        model.short[1] = bad
    assert nonfinite_weights(model) == ["short"]


def test_weights_that_cannot_be_asked_count_as_finite() -> None:
    """torch has no ``isfinite`` for eight bits, and none for weights that are elsewhere."""
    model = nn.Linear(2, 2)
    model.weight = nn.Parameter(torch.zeros(2, 2).to(torch.float8_e4m3fn), requires_grad=False)
    model.bias = nn.Parameter(torch.zeros(2, device="meta"))
    assert nonfinite_weights(model) == []
