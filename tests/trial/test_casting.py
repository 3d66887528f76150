"""Weights in another dtype: as a checkpoint would be loaded in it, and back to the very same ones."""

import tempfile
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from stabsearch.trial.casting import cast, dtypes_of, weights_in

SMALL: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16,
}  # fmt: skip
HALF = torch.bfloat16


class KeepsItsNorm(LlamaForCausalLM):
    """A class that says which of its weights stay in float32, as mixtures of experts do."""

    _keep_in_fp32_modules_strict = frozenset({"post_*_layernorm"})


def bert() -> PreTrainedModel:
    return BertForSequenceClassification(BertConfig(**SMALL))


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SMALL))


def keeps_its_norm() -> PreTrainedModel:
    return KeepsItsNorm(LlamaConfig(**SMALL))


def t5() -> PreTrainedModel:
    return T5ForConditionalGeneration(
        T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    )


def resnet() -> PreTrainedModel:
    return ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1]))


def contents(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named if tensor.is_floating_point()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    pairs = [(left[name], right[name]) for name in left]
    return left.keys() == right.keys() and all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("make", [bert, llama, keeps_its_norm, t5, resnet])
def test_a_cast_model_is_the_one_that_loading_in_that_dtype_gives(make: Any) -> None:
    """Each weight and buffer has the dtype and the bits of ``from_pretrained(..., dtype=bfloat16)``."""
    torch.manual_seed(0)
    model = make()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = type(model).from_pretrained(folder, dtype=HALF)
    assert not same(contents(model), contents(loaded))
    cast(model, HALF)
    assert same(contents(model), contents(loaded))


def test_a_plain_conversion_would_round_rotary_frequencies() -> None:
    """``model.to(bfloat16)`` is not what loading in bfloat16 gives: why there is a cast of our own."""
    plain, ours = llama().to(HALF), llama()
    cast(ours, HALF)
    name = "model.rotary_emb.inv_freq"
    assert plain.get_buffer(name).dtype is HALF
    assert ours.get_buffer(name).dtype is torch.float32


def test_weights_come_back_in_every_bit() -> None:
    """Another dtype for a while: what was rounded away then is there again, in the very same tensors."""
    model = resnet()
    before, objects = contents(model), [id(weight) for weight in model.parameters()]

    def step_that_breaks() -> None:
        with weights_in(model, HALF):
            model(torch.ones(1, 3, 32, 32, dtype=HALF), labels=torch.tensor([1])).loss.backward()
            assert {weight.grad.dtype for weight in model.parameters() if weight.grad is not None} == {HALF}
            raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        step_that_breaks()
    assert same(contents(model), before)
    assert [id(weight) for weight in model.parameters()] == objects
    model(torch.ones(1, 3, 32, 32), labels=torch.tensor([1])).loss.backward()
    assert {weight.grad.dtype for weight in model.parameters() if weight.grad is not None} == {torch.float32}


def test_an_optimizer_goes_on_with_cast_weights() -> None:
    """One that was made before the cast moves the weights after it: they are the same objects."""
    model = bert()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    cast(model, HALF)
    before = contents(model)
    model(torch.ones(1, 4, dtype=torch.long), labels=torch.tensor([1])).loss.backward()
    optimizer.step()
    assert not same(contents(model), before)
    assert {state["exp_avg"].dtype for state in optimizer.state.values()} == {HALF}


def test_trained_and_frozen_weights_are_told_apart() -> None:
    """Quantised weights are storage, and no number format of the training."""
    model = bert()
    for weight in model.bert.parameters():
        weight.requires_grad = False
        weight.data = weight.data.to(HALF)
    model.bert.pooler.dense.bias.data = torch.zeros(16, dtype=torch.uint8)
    found = dtypes_of(model)
    assert (found.trained, found.frozen) == (("float32",), ("bfloat16",))


def test_what_a_class_keeps_in_float32_is_no_deviation() -> None:
    """A model whose class keeps some weights in float32 is in bfloat16 all the same."""
    model = keeps_its_norm()
    cast(model, HALF)
    assert {str(weight.dtype) for weight in model.parameters()} == {"torch.float32", "torch.bfloat16"}
    assert dtypes_of(model).trained == ("bfloat16",)
