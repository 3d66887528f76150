"""Activation checkpointing: less memory, the same numbers in every bit, and read back as it really is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from trial_samples import TASK, Odd, plan, setup

from stabsearch.config import Peft
from stabsearch.records import Outcome, TrialRecord
from stabsearch.task.registry import build_workload
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.checkpointing import recompute_like
from stabsearch.trial.forward_probe import ForwardProbe
from stabsearch.trial.run import run_trial

CPU = torch.device("cpu")


def trial(workload: Any, precision: str = "fp32", **training: Any) -> TrialRecord:
    told = setup(training=training, allow_fp16_on_cpu=True)
    record = run_trial(plan(precision=precision, horizon=4, learning_rate=1e-2), workload, told)
    assert record.outcome is Outcome.STABLE, record.message
    return record


def is_recomputed(record: TrialRecord) -> bool:
    assert record.effective is not None
    return record.effective.gradient_checkpointing


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-pure", "fp16"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_numbers_are_the_same_in_every_bit(tiny: RowWorkload, precision: str, accumulation: int) -> None:
    """Dropout draws the same numbers again: losses and gradients are those of a trial without."""
    cut = {"gradient_accumulation_steps": accumulation}
    plain = trial(tiny, precision, **cut)
    again = trial(tiny, precision, activation_checkpointing=True, **cut)
    assert again.trace == plain.trace
    assert (is_recomputed(plain), is_recomputed(again)) == (False, True)


def test_the_older_name_means_the_same(tiny: RowWorkload) -> None:
    """``gradient_checkpointing`` was the name before Transformers 5.24."""
    assert is_recomputed(trial(tiny, gradient_checkpointing=True))


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_adapters_on_frozen_weights_learn_all_the_same(use_reentrant: bool) -> None:
    """The inputs of the first layer need no gradient of their own: without care adapters would get none."""
    workload = build_workload(TASK, peft=Peft(lora_dropout=0.1, target_modules=["query"]))
    plain = trial(workload)
    told = {"activation_checkpointing_kwargs": {"use_reentrant": use_reentrant}}
    again = trial(workload, activation_checkpointing=True, **told)
    assert again.trace == plain.trace
    assert is_recomputed(again)
    assert all(norm > 0 for norm in again.trace.grad_norms)


class Ignoring(Odd):
    """A user's model that says it recomputes, and does not."""

    def model(self, model_seed: int) -> Any:
        model = super().model(model_seed)
        model.activation_checkpointing_enable = lambda **_: None
        return model


def test_what_is_read_back_is_what_happened(tiny: RowWorkload) -> None:
    """Seen in the backward pass, not in the arguments."""
    assert not is_recomputed(trial(Ignoring(tiny), activation_checkpointing=True))


def test_a_crash_says_that_a_model_cannot(tiny: RowWorkload) -> None:
    """Transformers refuses by itself; the trial is a crash with that message, not a measurement."""

    class Unable(Odd):
        def model(self, model_seed: int) -> Any:
            model = super().model(model_seed)
            model.supports_gradient_checkpointing = False
            return model

    told = setup(training={"activation_checkpointing": True})
    record = run_trial(plan(), Unable(tiny), told)
    assert record.outcome is Outcome.CRASHED
    assert "does not support activation checkpointing" in record.message


def llama() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                    intermediate_size=16)
    )  # fmt: skip


def adapted() -> Any:
    return get_peft_model(llama(), LoraConfig(task_type="CAUSAL_LM"))


@pytest.mark.parametrize("make", [llama, adapted])
@pytest.mark.parametrize("is_asked", [True, False])
def test_a_model_beside_the_trained_one_recomputes_too(
    tiny: RowWorkload, tmp_path: Any, make: Any, is_asked: bool
) -> None:
    """As the Trainer would have it: the one that a failed step is run again on has to fit into memory."""
    told = setup(training={"activation_checkpointing": is_asked})
    trainer = tiny.trainer(trial_arguments(plan(), told, str(tmp_path)), 0)
    model = make().train()
    for _ in range(3):
        recompute_like(trainer, model)
    hooks = sum(len(module._forward_hooks) for module in model.modules())
    assert hooks <= is_asked, "asked again and again, it is still switched on once"
    probe = ForwardProbe(model, CPU)
    ids = torch.arange(8)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    assert probe.is_recomputed is is_asked


def test_how_it_is_asked_for_is_passed_on(tiny: RowWorkload, tmp_path: Any) -> None:
    """Which layers, and what autograd is told: another way to recompute has another memory."""
    kwargs = {"use_reentrant": False, "every_n_layers": 2, "offload": False}
    told = setup(training={"activation_checkpointing": True, "activation_checkpointing_kwargs": kwargs})
    trainer = tiny.trainer(trial_arguments(plan(), told, str(tmp_path)), 0)
    model, seen = llama().train(), []
    model.activation_checkpointing_enable = lambda **given: seen.append(given)
    recompute_like(trainer, model)
    assert seen == [
        {"activation_checkpointing_kwargs": {"use_reentrant": False}, "every_n_layers": 2, "offload": False}
    ]
