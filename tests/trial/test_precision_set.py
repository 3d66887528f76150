"""How a precision is set, with devices that are only said to be there."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stabsearch.errors import UserError
from stabsearch.records import PRECISIONS, Precision
from stabsearch.trial.not_applied import SettingsNotApplied
from stabsearch.trial.precision import check_precision, matmul_precision, precision_arguments, put_into

PARTS = ("cudnn.conv", "cudnn.rnn", "cuda.matmul")
ON_GPU: dict[str, Any] = {"on_gpu": True, "is_local": True, "allow_fp16_on_cpu": False}
KEY = ("search", "precision", 0)


def give_gpu(monkeypatch: pytest.MonkeyPatch, *capability: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)


@pytest.mark.parametrize("precision", ["tf32", "bf16", "bf16-pure"])
def test_the_first_gpu_that_runs_it_is_accepted(
    monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    """The capability itself is enough."""
    give_gpu(monkeypatch, 8, 0)
    check_precision(precision, KEY, **ON_GPU)


@pytest.mark.parametrize("precision", ["tf32", "bf16", "bf16-pure"])
def test_the_last_gpu_that_does_not_is_refused(monkeypatch: pytest.MonkeyPatch, precision: Precision) -> None:
    """One below, and what it takes is said."""
    give_gpu(monkeypatch, 7, 5)
    with pytest.raises(UserError, match=r"needs a GPU of compute capability 8\.0") as raised:
        check_precision(precision, KEY, **ON_GPU)
    assert raised.value.key == KEY


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_old_gpu_runs_these(monkeypatch: pytest.MonkeyPatch, precision: Precision) -> None:
    """They ask for nothing."""
    give_gpu(monkeypatch, 6, 0)
    check_precision(precision, KEY, **ON_GPU)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_trial_uses_the_device_that_it_was_given(precision: Precision, on_gpu: bool) -> None:
    """A GPU that happens to be there is not taken; tf32 is never asked for here."""
    assert precision_arguments(precision, on_gpu) == {
        "bf16": precision == "bf16", "fp16": precision == "fp16", "use_cpu": not on_gpu,
    }  # fmt: skip


def settings() -> dict[str, str]:
    found = {}
    for name in PARTS:
        part: Any = torch.backends
        for step in name.split("."):
            part = getattr(part, step)
        found[name] = part.fp32_precision
    return found


@pytest.mark.parametrize(("precision", "value"), [("tf32", "tf32"), ("fp32", "ieee"), ("bf16", "ieee")])
def test_convolutions_and_recurrent_layers_are_set_too(precision: Precision, value: str) -> None:
    """cuDNN rounds them to tf32 by default, whatever matrix products do; all are put back."""
    before = settings()
    with matmul_precision(precision):
        assert settings() == dict.fromkeys(PARTS, value)
    assert settings() == before


@pytest.mark.parametrize("name", ["conv", "rnn"])
def test_a_part_that_was_set_by_itself_is_set_and_put_back(name: str) -> None:
    """A part with a value of its own does not follow the setting for all."""
    part: Any = getattr(torch.backends.cudnn, name)
    part.fp32_precision = "tf32"
    try:
        with matmul_precision("fp32"):
            assert part.fp32_precision == "ieee"
        assert part.fp32_precision == "tf32"
    finally:
        part.fp32_precision = "none"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_only_a_precision_with_a_dtype_of_its_own_casts(precision: Precision) -> None:
    """Weights in bfloat16 are refused where the plan wants float32, not made into it."""
    put_into(model := torch.nn.Linear(2, 2), precision)
    assert model.weight.dtype == torch.float32
    with pytest.raises(SettingsNotApplied, match="parameter dtype: planned float32, effective bfloat16"):
        put_into(torch.nn.Linear(2, 2, dtype=torch.bfloat16), precision)


def test_pure_bfloat16_casts_all_weights() -> None:
    """Frozen ones too; what comes in float16 is refused as it is."""
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad = False
    put_into(model, "bf16-pure")
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    half = torch.nn.Linear(2, 2, dtype=torch.float16)
    with pytest.raises(SettingsNotApplied, match="effective float16"):
        put_into(half, "bf16-pure")
    assert half.weight.dtype == torch.float16
