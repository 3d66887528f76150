"""Models with adapters before and after a failure: looked at, explained, and drawn anew like any other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from forensic_cases import case
from peft import LoraConfig, get_peft_model
from preflight_samples import bert, causal_collator, changed, class_rows, gpt2, look, plain_rows, rows
from trial_samples import TASK, NanLoss, Odd, WeightedTrainer

from stabsearch.config import Peft
from stabsearch.forensics.cures import FreshWeights
from stabsearch.forensics.ladder import diagnose
from stabsearch.records import Cause
from stabsearch.task.registry import build_workload
from stabsearch.task.workload import RowWorkload


def adapted(model: Any, kind: str | None = "SEQ_CLS", **fields: Any) -> Any:
    return get_peft_model(model, LoraConfig(task_type=kind, **fields))


def rules(*parts: Any, **settings: Any) -> set[str]:
    return {finding.rule for finding in look(*parts, **settings)}


def with_wide_head() -> Any:
    model = adapted(bert())
    with torch.no_grad():
        model.base_model.model.classifier.modules_to_save["default"].weight.mul_(200)
    return model


@pytest.mark.parametrize("rank", [1, 3, 16])
def test_a_sound_model_with_adapters(rank: int) -> None:
    """Nothing is found; also where an adapter is as wide as the head (3 classes)."""
    assert look(class_rows(), adapted(bert(), r=rank)) == []
    assert look(plain_rows(), adapted(gpt2(), "CAUSAL_LM", r=rank), causal_collator()) == []


def test_the_rules_see_through_the_adapters() -> None:
    """Loss, labels, tokens, head and accumulation are those of the model inside."""
    made = class_rows()
    assert rules(changed(made, 5, labels=3), adapted(bert())) == {"STAB-D012"}
    assert rules(rows([float(i % 3) for i in range(12)]), adapted(bert())) == {"STAB-L006"}
    assert "STAB-D030" in rules(changed(made, 5, input_ids=[99] * 5, attention_mask=[1] * 5), adapted(bert()))
    assert rules(made, with_wide_head()) >= {"STAB-M002"}
    assert rules(made, adapted(bert()), gradient_accumulation_steps=2) == {"STAB-M007"}
    accumulated = {"gradient_accumulation_steps": 2}
    assert rules(plain_rows(), adapted(gpt2(), "CAUSAL_LM"), causal_collator(), **accumulated) == set()


def test_frozen_weights_are_no_fault() -> None:
    """Most of them are, with adapters; in half precision they lose no update. All frozen is a fault."""
    half = adapted(bert().bfloat16())
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16, torch.float32}
    for name, weight in half.named_parameters():
        if "modules_to_save" in name:
            weight.data = weight.data.float()
    assert rules(class_rows(), half, precisions=("bf16",)) == set()
    nothing = adapted(bert())
    nothing.requires_grad_(False)
    assert rules(class_rows(), nothing) == {"STAB-M008"}


@pytest.fixture(scope="module")
def tiny_adapted() -> RowWorkload:
    torch.set_num_threads(1)
    workload = build_workload(TASK, peft=Peft(lora_dropout=0.1))
    assert isinstance(workload, RowWorkload)
    return workload


def test_a_rate_too_high_for_adapters(tiny_adapted: RowWorkload) -> None:
    """The ladder climbs as for any model: the cells of its matrix, then the cure."""
    found = diagnose(case(tiny_adapted, learning_rate=1e39, max_grad_norm=0.0), findings=())
    assert found.cause is Cause.LEARNING_RATE, found.to_json()
    tried = {each.tried: each.is_good for each in found.evidence}
    assert tried["the bad step on the initial weights, fp32"] is True
    assert tried["the bad step on the captured weights, fp32"] is False


def test_a_poisoned_row_under_adapters(tiny_adapted: RowWorkload) -> None:
    """It is the row, and it is named."""
    poisoned = Odd(tiny_adapted, WeightedTrainer, NanLoss(tiny_adapted.rows, bad=11))
    found = diagnose(case(poisoned, horizon=16), findings=())
    assert (found.cause, found.rows) == (Cause.DATA, (11,)), found.to_json()


class Other(Odd):
    """A workload whose models are one that was given."""

    def __init__(self, base: Any, given: Any) -> None:
        super().__init__(base)
        self.given = given

    def model(self, model_seed: int) -> Any:
        return self.given


def test_new_weights_leave_adapters_in_place(tiny_adapted: RowWorkload) -> None:
    """The cure draws what is the model's own, frozen or saved beside; the adapters are those of the trial."""
    given, wanted = tiny_adapted.model(4), dict(tiny_adapted.model(3).named_parameters())
    own = {name for name in wanted if "lora" not in name}
    assert any("base_layer" in name for name in own)
    assert any("modules_to_save" in name for name in own)
    adapters = {name: weight.clone() for name, weight in given.named_parameters() if name not in own}
    redrawn = dict(FreshWeights(Other(tiny_adapted, given)).model(3).named_parameters())
    assert all(torch.equal(redrawn[name], wanted[name]) for name in own)
    assert all(torch.equal(redrawn[name], weight) for name, weight in adapters.items())
