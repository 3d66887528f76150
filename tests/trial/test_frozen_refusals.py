"""Who cannot be guarded in the frozen form, without the devices that it takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType

from stabsearch.trial.frozen_form import why_not


def trainer(lr: Any = 0.1, devices: tuple[str, ...] = ("cpu",), n_gpu: int = 0, **accelerator: Any) -> Any:
    weights = [torch.nn.Parameter(torch.ones(1, device=device)) for device in devices]
    fused = torch.optim.AdamW([weights[0]], lr=lr, fused=True)
    fused.param_groups[0]["params"] = weights
    alone = {"num_processes": 1, "distributed_type": DistributedType.NO} | accelerator
    return SimpleNamespace(
        accelerator=SimpleNamespace(**alone), args=SimpleNamespace(n_gpu=n_gpu), optimizer=fused
    )


def test_a_fused_optimizer_on_one_device_holds_still() -> None:
    """Nothing speaks against it: the refusals below are due to what each of them changes."""
    assert why_not(trainer()) == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"num_processes": 2}, "several processes"),
        ({"distributed_type": DistributedType.FSDP}, "several processes"),
        ({"n_gpu": 2}, "several devices"),
        ({"devices": ("cpu", "meta")}, "several devices"),
        ({"lr": torch.tensor(0.1)}, "learning rate is on the device"),
    ],
)
def test_what_the_frozen_form_cannot_guard_is_refused(changed: dict[str, Any], reason: str) -> None:
    """Each of them alone."""
    assert reason in why_not(trainer(**changed))
