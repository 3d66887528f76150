"""Adapters around the built-in tasks' models: fresh, decided by the seed, refused where they fit nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import PeftModelForSequenceClassification
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from stabsearch.config import Peft, QuickstartTask, Sweep
from stabsearch.errors import UserError
from stabsearch.records import Outcome, Stage, TrialPlan
from stabsearch.task.models import ModelFromConfig
from stabsearch.task.peft import kind_of, with_adapters
from stabsearch.task.registry import build_workload
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup

TASK = QuickstartTask(num_rows=64, num_classes=2, hidden_size=16, num_hidden_layers=1)
SMALL = {
    "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16,
}  # fmt: skip
BERT = {"model_type": "bert", **SMALL}
GPT2 = {"model_type": "gpt2", "vocab_size": 30, "n_embd": 16, "n_layer": 1, "n_head": 2}
T5 = {
    "model_type": "t5",
    "vocab_size": 30,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 16,
    "num_layers": 1,
    "num_heads": 2,
}


def made(seed: int = 0, **fields: Any) -> Any:
    return build_workload(TASK, peft=Peft(**fields)).model(seed)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def trained(model: torch.nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def refusal(make: Callable[[], Any]) -> tuple[str, str, tuple[Any, ...]]:
    with pytest.raises(UserError) as raised:
        make()
    return raised.value.message, raised.value.hint, raised.value.key


def test_a_classifier_trains_its_adapters_and_its_head() -> None:
    """Nothing else; the head is found by the model's class."""
    model = made(target_modules=["query", "value"])
    assert type(model) is PeftModelForSequenceClassification
    layer = "base_model.model.bert.encoder.layer.0.attention.self"
    adapters = {f"{layer}.{part}.lora_{end}.default.weight" for part in ("query", "value") for end in "AB"}
    head = {f"base_model.model.classifier.modules_to_save.default.{end}" for end in ("weight", "bias")}
    assert trained(model) == adapters | head
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_the_seed_decides_adapters_and_head() -> None:
    """The same seed gives the same bits, whatever was drawn before; another one other weights."""
    make = build_workload(TASK, peft=Peft(init_lora_weights="gaussian")).model
    first = weights(make(3))
    torch.rand(7)
    again, other = weights(make(3)), weights(make(4))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    differing = {name for name, value in first.items() if not torch.equal(value, other[name])}
    assert {name for name in differing if "lora_A" in name}
    assert {name for name in differing if "classifier.modules_to_save" in name and "weight" in name}


def test_adapters_draw_numbers_of_their_own() -> None:
    """Not those that the same seed gave the first weights of the model."""
    model = made(3, init_lora_weights="gaussian", r=16, target_modules=["query"])
    drawn = model.get_submodule("base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.default")
    flat = drawn.weight.detach().flatten()
    for name, weight in model.named_parameters():
        if "lora" not in name and weight.numel() >= flat.numel():
            other = weight.detach().flatten()[: flat.numel()]
            assert abs(float(torch.corrcoef(torch.stack([flat, other]))[0, 1])) < 0.5 or other.std() == 0, (
                name
            )


def test_every_trial_gets_models_of_its_own() -> None:
    """Training one leaves the next as fresh as the first."""
    make = build_workload(TASK, peft=Peft()).model
    first = make(1)
    before = weights(first)
    with torch.no_grad():
        for weight in first.parameters():
            weight.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in weights(make(1)).items())


@pytest.mark.parametrize(
    ("auto_class", "config", "kind"),
    [
        (AutoModelForSequenceClassification, BERT, "SEQ_CLS"),
        (AutoModelForSequenceClassification, {"model_type": "llama", **SMALL}, "SEQ_CLS"),
        (AutoModelForTokenClassification, BERT, "TOKEN_CLS"),
        (AutoModelForMaskedLM, BERT, None),
        (AutoModelForCausalLM, {"model_type": "llama", **SMALL}, "CAUSAL_LM"),
        (AutoModelForCausalLM, GPT2, "CAUSAL_LM"),
        (AutoModelForSeq2SeqLM, T5, "SEQ_2_SEQ_LM"),
    ],
)  # fmt: skip
def test_each_kind_of_model_gets_adapters(auto_class: Any, config: dict[str, Any], kind: str | None) -> None:
    """PEFT's own choice of layers fits each of these, and every new head of labels is trained."""
    make = ModelFromConfig(config, auto_class)
    assert kind_of(make(0)) == kind
    names = trained(with_adapters(make, Peft())(0))
    assert any("lora_A" in name for name in names)
    assert any("modules_to_save" in name for name in names) == (kind in {"SEQ_CLS", "TOKEN_CLS"})


def test_a_class_that_transformers_does_not_list_goes_by_its_name() -> None:
    """Code that comes with a model has classes of its own."""

    class OwnForTokenClassification:
        pass

    assert kind_of(OwnForTokenClassification()) == "TOKEN_CLS"
    assert kind_of(object()) is None


def test_the_fields_reach_peft() -> None:
    """Rank, scale, dropout, layers: the named ones and any other."""
    model = made(r=4, lora_alpha=16, lora_dropout=0.25, target_modules="all-linear", use_dora=True,
                 modules_to_save=["pooler"])  # fmt: skip
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_dora) == (4, 16, 0.25, True)
    names = trained(model)
    assert any("intermediate.dense.lora_A" in name for name in names)
    assert any("lora_magnitude_vector" in name for name in names)
    assert any("pooler.modules_to_save" in name for name in names)


@pytest.mark.parametrize(
    ("fields", "message", "hint", "key"),
    [
        ({"lora_alhpa": 16}, "has no field 'lora_alhpa'", "did you mean 'lora_alpha'?",
         ("peft", "lora_alhpa")),
        ({"task_type": "CAUSAL_LM"}, "has no field 'task_type' to be set", "see PEFT's LoraConfig",
         ("peft", "task_type")),
        ({"target_modules": ["query", "vlaue"]},
         "BertForSequenceClassification has no layer whose name ends in 'vlaue'", "did you mean 'value'?",
         ("peft", "target_modules", 1)),
        ({"modules_to_save": ["head"]}, "has no layer whose name ends in 'head'", "its layers are called ",
         ("peft", "modules_to_save", 0)),
        ({"target_modules": ".*nothing.*"}, "no layer of BertForSequenceClassification can get an adapter",
         "write all-linear, or some of", ("peft", "target_modules")),
        ({"target_modules": ["query"], "layers_to_transform": [5]}, "by target_modules ['query']",
         "write all-linear, or some of", ("peft", "target_modules")),
        ({"target_modules": ["LayerNorm"]}, "no adapters can be made: Target module LayerNorm", "see PEFT's",
         ("peft",)),
        ({"init_lora_weights": "gauss"}, "no adapters can be made: Unknown initialization", "see PEFT's",
         ("peft",)),
        ({"init_lora_weights": "eva"}, "adapters that begin as 'eva' need a pass over the data", "choose",
         ("peft", "init_lora_weights")),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_fits_nothing_is_refused(
    fields: dict[str, Any], message: str, hint: str, key: tuple[Any, ...]
) -> None:
    """With its key and the way out; PEFT itself passes over a name that matches nothing beside others."""
    seen = refusal(lambda: build_workload(TASK, peft=Peft(**fields)))
    assert message in seen[0]
    assert seen[1].startswith(hint)
    assert seen[2] == key


def test_an_architecture_that_peft_knows_nothing_of() -> None:
    """Without target_modules it has to be told; what there is to choose from is named."""
    config = {"model_type": "fnet", "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1,
              "intermediate_size": 16}  # fmt: skip
    make = ModelFromConfig(config, AutoModelForSequenceClassification)
    message, hint, key = refusal(lambda: with_adapters(make, Peft()))
    assert message == "PEFT has no target_modules of its own for FNetForSequenceClassification"
    assert hint == "write all-linear, or some of classifier, dense, projection"
    assert key == ("peft", "target_modules")
    assert trained(with_adapters(make, Peft(target_modules="all-linear"))(0))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optional part of the installation: the error says how to get it."""
    monkeypatch.setitem(sys.modules, "peft", None)
    seen = refusal(lambda: build_workload(TASK, peft=Peft()))
    assert seen == (
        "adapters need the package peft, which is not installed here", "pip install 'stabsearch[peft]'",
        ("peft",),
    )  # fmt: skip


def plan(**changes: Any) -> TrialPlan:
    values: dict[str, Any] = {
        "number": 0, "stage": Stage.SEARCH, "learning_rate": 1e-2, "warmup_steps": 0, "max_grad_norm": 1.0,
        "precision": "fp32", "model_seed": 1, "data_seed": 2, "horizon": 6,
    }  # fmt: skip
    return TrialPlan(**{**values, **changes})


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-pure", "fp16"])
def test_a_trial_moves_adapters_and_nothing_else(precision: str) -> None:
    """In every precision; what is frozen is in the precision's dtype too, and read back."""
    workload = build_workload(TASK, peft=Peft())
    setup = TrialSetup(40, training={"per_device_train_batch_size": 4}, allow_fp16_on_cpu=True)
    record = run_trial(plan(precision=precision), workload, setup)
    assert record.outcome is Outcome.STABLE, record.message
    assert record.effective is not None
    dtype = "bfloat16" if precision == "bf16-pure" else "float32"
    assert (record.effective.parameter_dtype, record.effective.frozen_dtype) == (dtype, dtype)
    assert record.effective.optimizer_dtype == dtype
    again = run_trial(plan(precision=precision), build_workload(TASK, peft=Peft()), setup)
    assert again.trace == record.trace
    assert run_trial(plan(precision=precision, model_seed=2), workload, setup).trace != record.trace


def test_a_sweep_may_ask_for_adapters() -> None:
    """Lists stay lists; nothing is asked for by default."""
    sections = {"name": "a", "task": {"type": "quickstart"}, "training": {"max_steps": 5}}
    assert Sweep.model_validate(sections).peft is None
    told = Sweep.model_validate({**sections, "peft": {"r": 4, "target_modules": ["query"], "use_dora": True}})
    assert told.peft is not None
    assert told.peft.arguments["target_modules"] == ["query"]
    assert told.peft.arguments["use_dora"] is True


@pytest.mark.parametrize(
    "task",
    [{"type": "trainer", "factory": "a:b"}, {"type": "script", "path": "a.py"}],
    ids=lambda task: task["type"],
)
def test_code_of_the_users_brings_its_own_adapters(task: dict[str, Any]) -> None:
    """The section would do nothing there: it is refused."""
    sections = {"name": "a", "task": task, "training": {"max_steps": 5}, "peft": {}}
    with pytest.raises(ValueError, match="your own code makes the model of a"):
        Sweep.model_validate(sections)


def test_the_seed_decides_the_adapters_whatever_the_model_drew() -> None:
    """A checkpoint draws few numbers for its new head, a model from a configuration many."""
    make = ModelFromConfig(BERT, AutoModelForSequenceClassification)

    def drawing(seed: int) -> Any:
        model = make(seed)
        torch.rand(seed + 1)
        return model

    few, many = (with_adapters(maker, Peft())(3) for maker in (make, drawing))
    assert all(torch.equal(value, weights(many)[name]) for name, value in weights(few).items())
