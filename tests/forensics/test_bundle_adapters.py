"""Adapters of a bundle: what is kept of their make, and what comes of it around a model made again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from stabsearch.capture.manifest import AdaptersRef
from stabsearch.errors import UserError
from stabsearch.forensics.adapters import with_adapters
from stabsearch.trial.adapters import adapters_ref


def llama() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=16)
    )  # fmt: skip


def made(**fields: Any) -> AdaptersRef:
    """Return what a bundle keeps of a model with adapters."""
    found = adapters_ref(get_peft_model(llama(), LoraConfig(r=2, task_type="CAUSAL_LM", **fields)))
    assert found is not None
    return found


def test_a_bundle_does_not_say_where_a_model_comes_from() -> None:
    """Paths of the user's machine, and the name of a module to import, are no part of the computation."""
    kept = made(revision="main", megatron_core="os").configs["default"]
    assert kept["r"] == 2
    assert not kept.keys() & {"base_model_name_or_path", "revision", "megatron_core"}


def test_what_a_bundle_says_of_it_all_the_same_is_passed_over() -> None:
    """It may have been written by anybody."""
    fields = {**made().configs["default"], "megatron_core": "os", "revision": "theirs"}
    config = with_adapters(llama(), AdaptersRef({"default": fields}, ("default",))).peft_config["default"]
    assert (config.megatron_core, config.revision) == (LoraConfig().megatron_core, None)


def test_adapters_of_an_unknown_type() -> None:
    """Another version of PEFT wrote them: the way out is to use it."""
    unknown = AdaptersRef({"default": {"peft_type": "LORA2"}}, ("default",))
    with pytest.raises(UserError, match="knows no adapters of type 'LORA2'") as raised:
        with_adapters(llama(), unknown)
    assert "the version of peft that wrote it" in raised.value.hint


def test_a_way_to_begin_that_changes_the_model_is_not_gone_again() -> None:
    """PiSSA takes a part out of the model's own weights: theirs are about to be loaded, as they were then."""
    wrapped = with_adapters(llama(), made(init_lora_weights="pissa"))
    inside = {
        name.replace(".base_layer", ""): weight
        for name, weight in wrapped.get_base_model().named_parameters()
    }
    assert all(torch.equal(inside[name], weight) for name, weight in llama().named_parameters())


def test_adapters_are_in_the_dtype_of_their_model() -> None:
    """PEFT would put them into float32, where bf16-pure trained them in bf16."""
    wrapped = with_adapters(llama().bfloat16(), made())
    adapters = [weight.dtype for name, weight in wrapped.named_parameters() if "lora_" in name]
    assert adapters
    assert set(adapters) == {torch.bfloat16}
