"""After a localisation the model and the random generators are what they were."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from localise_samples import CLASSES, FEATURES, batch, bert, forward, found_in, gpt2, net
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import _get_current_dispatch_mode as get_current_dispatch_mode

from stabsearch.forensics.localise import Phase, localise


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(
        model.named_buffers(remove_duplicate=False)
    )
    return {name: value.detach().clone() for name, value in tensors.items()}


def hooks(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called", "_backward_hooks")
    modules = sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)
    parameters = sum(len(p._post_accumulate_grad_hooks or ()) for p in model.parameters())
    return modules + parameters


def noisy(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.dropout(x, 0.5) + random.random() + float(np.random.rand())


class Counting(nn.Module):
    """A model with a batch norm, and a buffer that it replaces on every call."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(4), nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls = self.calls + 1
        return self.last(self.norm(x)) * 1e25 * self.calls


def test_buffers_come_back() -> None:
    """Statistics and counters, persistent or not, after one run and after the second one."""
    model = Counting()
    before, calls = state(model), model.calls
    found = localise(model, lambda: model(FEATURES).sum(), loss_scale=1e20)
    after = state(model)
    assert found.is_benign_skip
    assert model.calls is calls
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("loss_scale", [1.0, 2.0**24])
def test_nothing_stays_behind(loss_scale: float) -> None:
    """Weights, hooks, generators, mode; tied weights included. Gradients are cleared."""
    model = gpt2()
    inputs = batch()
    inputs["labels"] = inputs["input_ids"]
    before, generator = state(model), torch.get_rng_state()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    found_in(model, inputs, torch.float16, loss_scale=loss_scale)
    after = state(model)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert [module.training for module in model.modules()] == modes
    assert hooks(model) == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nothing_stays_behind_an_exception() -> None:
    """The same after a step that raised."""
    model = bert()
    before, generator = state(model), torch.get_rng_state()
    found_in(model, batch(labels=torch.tensor([0, 5, 0, 1])))
    assert all(torch.equal(state(model)[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert hooks(model) == 0


def test_an_interrupt_goes_on_and_nothing_stays_behind() -> None:
    """Only exceptions of the step are an answer; the user's own Ctrl-C is not."""
    model = net()

    def interrupted() -> torch.Tensor:
        model(FEATURES)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        localise(model, interrupted)
    assert hooks(model) == 0


def test_every_generator_draws_the_same_again() -> None:
    """torch, Python and numpy: the caller's next numbers are as if nothing had run."""
    model = net(noisy)

    def draws() -> tuple[Any, ...]:
        return float(torch.rand(())), random.random(), float(np.random.rand())

    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    expected = draws()
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    localise(model, lambda: cross_entropy(model(FEATURES), CLASSES))
    assert draws() == expected


def test_the_step_without_the_scale_is_the_same_step() -> None:
    """Dropout draws the same numbers again."""
    drawn: list[torch.Tensor] = []

    def remember(x: torch.Tensor) -> torch.Tensor:
        drawn.append(noisy(x).detach())
        return x

    model = net(remember)
    found = localise(model, lambda: model(FEATURES).sum() * 1e15, loss_scale=1e30)
    assert found.is_benign_skip
    assert len(drawn) == 2
    assert torch.equal(*drawn)


def test_the_kind_of_the_problem_is_not_decided() -> None:
    """Transformers writes it into the config at the first forward; a localisation is none."""
    model = bert()
    found_in(model, batch())
    assert model.config.problem_type is None


def test_the_loss_is_that_of_a_plain_step() -> None:
    """Watching changes no bit."""
    model = bert()
    torch.manual_seed(3)
    plain = float(forward(model, batch())().detach())
    torch.manual_seed(3)
    found = found_in(model, batch())
    assert (found.loss, found.phase) == (plain, Phase.NOWHERE)


def test_a_tensor_of_the_batch_is_not_changed() -> None:
    """The batch can be used again."""
    inputs = batch()
    before = {name: value.clone() for name, value in inputs.items()}
    found_in(bert(), inputs)
    assert all(torch.equal(inputs[name], value) for name, value in before.items())


def test_a_step_that_changes_the_mode() -> None:
    """It is the caller's mode that counts."""
    model = net()

    def step() -> torch.Tensor:
        model.eval()
        return model(FEATURES).sum()

    localise(model, step)
    assert model.training


def test_a_step_run_plainly_is_the_same_step() -> None:
    """When tracing fails, buffers are what they were at first."""
    model = Counting()

    def step() -> torch.Tensor:
        loss = model(FEATURES).sum() * 1e-30
        if get_current_dispatch_mode() is not None:
            raise NotImplementedError
        return loss * model.calls

    assert localise(model, step).note
    found = localise(model, step)
    torch.manual_seed(0)
    model.calls = torch.zeros(1)
    assert found.loss == pytest.approx(float(step().detach()))
