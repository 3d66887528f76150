"""Buffers that forwards change are known from before the forward; those that do not change cost nothing."""

from typing import Any

import pytest
import torch
from torch import nn

from stabsearch.capture.buffers import ChangingBuffers, buffers_kept, restore_buffers


class Statistics(nn.Module):
    """Buffers of every temper; each forward changes some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("counted", torch.zeros(()), persistent=False)
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("late", torch.zeros(2))
        self.register_buffer("hidden", torch.zeros(2))
        self.register_buffer("constant", torch.arange(3))
        self.register_buffer("missing", None)
        self.forwards = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += 1
        self.counted += 1
        self.replaced = self.replaced + 1
        self.hidden.data.add_(1)  # past the count of writes
        if self.forwards >= 3:
            self.late += 1
        return self.norm(x)


def everything(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def after(num_forwards: int) -> tuple[Statistics, ChangingBuffers]:
    """Return a model that has made some forwards, watched from the first."""
    torch.manual_seed(0)
    model, changing = Statistics(), ChangingBuffers()
    for _ in range(num_forwards):
        changing.before_forward(model)
        model(torch.randn(4, 2))
    return model, changing


@pytest.mark.parametrize("num_forwards", [0, 1, 3, 4])
def test_a_forward_can_be_undone(num_forwards: int) -> None:
    """Running statistics, counters, buffers that are replaced, and writes that torch does not count."""
    model, changing = after(num_forwards)
    before = everything(model)
    kept = changing.before_forward(model)
    model(torch.full((4, 2), torch.nan))
    assert not torch.isfinite(model.norm.running_mean).all()
    restore_buffers(model, kept)
    assert all(torch.equal(value, before[name]) for name, value in everything(model).items())


def test_what_does_not_change_is_not_copied_again() -> None:
    """After the first forward only those that move are copied."""
    model, changing = after(1)
    assert changing.before_forward(model).keys() == {
        "norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "counted", "replaced", "hidden",
    }  # fmt: skip
    plain = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    plain.register_buffer("positions", torch.arange(9))
    second = ChangingBuffers()
    assert second.before_forward(plain).keys() == {"positions"}
    assert second.before_forward(plain) == {}


def test_a_buffer_that_starts_to_change_later_is_noticed() -> None:
    """From the forward after the one in which it moved for the first time."""
    model, changing = after(3)
    assert "late" in changing.before_forward(model)


def test_a_batch_norm_that_is_thawed_later() -> None:
    """At first its statistics do not move, and later torch does not count it: they are always copied."""
    model, changing = Statistics(), ChangingBuffers()
    model.norm.eval()
    for _ in range(2):
        changing.before_forward(model)
        model(torch.randn(4, 2))
    model.norm.train()
    before = everything(model)
    kept = changing.before_forward(model)
    model(torch.randn(4, 2))
    restore_buffers(model, kept)
    assert torch.equal(model.norm.running_mean, before["norm.running_mean"])


def test_copies_do_not_move_with_the_model() -> None:
    """What was kept is from before the forward, however many follow."""
    model, changing = after(2)
    kept = changing.before_forward(model)
    counted = float(kept["counted"])
    model(torch.randn(4, 2))
    assert float(kept["counted"]) == counted == 2.0


def test_a_graph_that_waits_for_its_backward_is_not_disturbed() -> None:
    """A buffer that already has its value is not written to: autograd would refuse the backward."""
    model = Statistics()
    loss = model(torch.randn(4, 2)).square().sum()
    restore_buffers(model, everything(model))
    loss.backward()
    assert model.norm.weight.grad is not None


def test_buffers_of_another_shape_are_put_back_too() -> None:
    """A cache that grew in the forward."""
    model = nn.Module()
    model.register_buffer("cache", torch.zeros(2))
    with buffers_kept(model):
        model.cache = torch.ones(5)
    assert model.cache.tolist() == [0, 0]


def test_buffers_are_put_back_when_the_step_raises() -> None:
    """A replay that fails leaves the model as it found it."""
    model = Statistics()
    before = everything(model)

    def run() -> Any:
        with buffers_kept(model):
            model(torch.randn(4, 2))
            raise ValueError("in mid-step")

    with pytest.raises(ValueError, match="in mid-step"):
        run()
    assert all(torch.equal(value, before[name]) for name, value in everything(model).items())
