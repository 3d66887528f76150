"""Preconditioned sharpness on losses whose curvature is known, and on a real model."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, Trainer
from trial_samples import Odd, setup

from stabsearch.records.sharpness import Sharpness
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.sharpness import measure_sharpness

RATE = 0.01
EPS = 1e-8


def place_at(*values: float) -> Callable[[PreTrainedModel], None]:
    """Return a change of a model: its classifier's bias, the only weight that the losses here know."""

    def change(model: PreTrainedModel) -> None:
        with torch.no_grad():
            model.classifier.bias.copy_(torch.tensor(values))

    return change


def bowl(*curvatures: float) -> type[Trainer]:
    """Return a Trainer whose loss has these second derivatives in the classifier's bias."""

    class BowlTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            return 0.5 * (torch.tensor(curvatures) * model.classifier.bias**2).sum()

    return BowlTrainer


def measure(workload: Any, num_steps: int = 2, **training: Any) -> Sharpness:
    rate = {"learning_rate": RATE, "num_products": 10}
    return measure_sharpness(workload, setup(training=training), num_steps=num_steps, seed=3, **rate)


def adam_sharpness(place: float, curvature: float, num_steps: int) -> float:
    """Return the sharpness of one weight in a bowl after some steps of torch's own Adam."""
    weight = torch.tensor([place], requires_grad=True)
    adam = torch.optim.Adam([weight], lr=RATE, eps=EPS)
    for _ in range(num_steps + 1):
        weight.grad = curvature * weight.detach()
        adam.step()
    # after the last update its state holds what that update was made with
    v_hat = adam.state[weight]["exp_avg_sq"] / (1 - 0.999 ** (num_steps + 1))
    return curvature / (float(v_hat.sqrt()) + EPS)


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_adam_sees_distance_and_not_height(tiny: RowWorkload, scale: float, accumulation: int) -> None:
    """At the start P is the gradient, h |w|, so the sharpness of h w^2 / 2 is 1 / |w| for any h.

    Also where accumulated losses are summed up, which scales both alike.
    """
    workload = Odd(tiny, bowl(scale, 3 * scale), change_model=place_at(0.5, -0.8))
    found = measure(workload, gradient_accumulation_steps=accumulation)
    assert found.at_start == pytest.approx(1 / 0.5, rel=0.02)
    assert found.message == ""


@pytest.mark.parametrize("num_steps", [1, 5])
def test_the_preconditioner_is_that_of_the_optimizer(tiny: RowWorkload, num_steps: int) -> None:
    """After some steps P holds all gradients up to then, bias-corrected, as in the coming update."""
    found = measure(Odd(tiny, bowl(2.0, 2.0), change_model=place_at(0.05, 0.05)), num_steps)
    assert found.after_warmup == pytest.approx(adam_sharpness(0.05, 2.0, num_steps), rel=1e-3)
    assert found.at_start == pytest.approx(1 / 0.05, rel=1e-3)
    assert (found.num_steps, found.learning_rate, found.beta1) == (num_steps, RATE, 0.9)


def test_negative_curvature_bounds_nothing(tiny: RowWorkload) -> None:
    """Only positive curvature makes steps overshoot, however much smaller it is."""
    mixed = measure(Odd(tiny, bowl(1.0, -1.0), change_model=place_at(2.0, 0.1)))
    assert mixed.at_start == pytest.approx(1 / 2.0, rel=0.02)
    hill = measure(Odd(tiny, bowl(-1.0, -1.0), change_model=place_at(0.5, 0.5)))
    assert (hill.at_start, hill.after_warmup, hill.bracket) == (None, None, None)
    assert hill.message == "curvature is not positive, or not finite"


def test_curvature_is_taken_without_dropout(tiny: RowWorkload) -> None:
    """The gradients in P are those that trained; here training sees three times the slope."""

    class TwoFaced(bowl(1.0, 1.0)):  # type: ignore[misc]
        def compute_loss(self, model: Any, *args: Any, **named: Any) -> Any:
            return super().compute_loss(model, *args, **named) * (3 if model.training else 1)

    found = measure(Odd(tiny, TwoFaced, change_model=place_at(0.5, 0.5)))
    assert found.at_start == pytest.approx(1 / (3 * 0.5), rel=0.02)
    assert found.after_warmup == pytest.approx(1 / (3 * 0.5), rel=0.1)


def test_a_weight_without_curvature_changes_nothing(tiny: RowWorkload) -> None:
    """Its gradient depends on no weight; where no gradient does, there is no sharpness."""

    class TiltedTrainer(bowl(1.0, 1.0)):  # type: ignore[misc]
        def compute_loss(self, model: Any, *args: Any, **named: Any) -> Any:
            return super().compute_loss(model, *args, **named) + model.classifier.weight.sum()

    class NoisyTrainer(bowl(1.0, 1.0)):  # type: ignore[misc]
        def compute_loss(self, model: Any, *args: Any, **named: Any) -> Any:
            noise = model.classifier.weight.sum() if model.training else 0
            return super().compute_loss(model, *args, **named) + noise

    class StraightTrainer(Trainer):
        def compute_loss(self, model: Any, *_: Any, **__: Any) -> Any:
            return model.classifier.weight.sum()

    for trainer in (TiltedTrainer, NoisyTrainer):
        found = measure(Odd(tiny, trainer, change_model=place_at(0.5, 0.8)))
        assert found.at_start == pytest.approx(1 / 0.5, rel=0.02)
    assert measure(Odd(tiny, StraightTrainer)).bracket is None


def test_a_loss_that_is_not_finite_gives_no_bracket(tiny: RowWorkload) -> None:
    """The message says what was met."""
    found = measure(Odd(tiny, bowl(math.nan, 1.0)))
    assert found.bracket is None
    assert found.message == "loss is nan at optimizer step 1 (micro-batch 1)"


def test_half_a_measurement_is_none(tiny: RowWorkload) -> None:
    """What breaks between the two points is no model to take a bracket from."""

    class LateTrainer(bowl(1.0, 1.0)):  # type: ignore[misc]
        def compute_loss(self, *args: Any, **named: Any) -> Any:
            return super().compute_loss(*args, **named) * (math.nan if self.state.global_step > 1 else 1)

    found = measure(Odd(tiny, LateTrainer, change_model=place_at(0.5, 0.8)), num_steps=5)
    assert (found.at_start, found.after_warmup) == (None, None)
    assert found.message == "loss is nan at optimizer step 3 (micro-batch 3)"


@pytest.mark.parametrize("optim", ["sgd", "adafactor"])
def test_another_optimizer_has_another_threshold(tiny: RowWorkload, optim: str) -> None:
    """The prediction is Adam's alone."""
    found = measure(tiny, optim=optim)
    assert found.bracket is None
    assert found.message == "the optimizer is not Adam, and nothing is known of its threshold"


def test_a_loss_without_a_second_derivative_gives_no_bracket(tiny: RowWorkload) -> None:
    """A kernel may have a backward of its own that cannot be differentiated again."""

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return grad

    def use(model: PreTrainedModel) -> None:
        model.classifier.register_forward_hook(lambda module, inputs, output: Once.apply(output))

    found = measure(Odd(tiny, change_model=use))
    assert found.bracket is None
    assert "differentiate twice" in found.message


def test_a_real_model_has_a_bracket_whatever_its_attention_kernel(tiny: RowWorkload) -> None:
    """Dropout plays no part in the curvature, and the same seed gives the same numbers."""
    found = measure_sharpness(tiny, setup(), num_steps=2, seed=1)
    assert found == measure_sharpness(tiny, setup(), num_steps=2, seed=1)
    assert found != measure_sharpness(tiny, setup(), num_steps=2, seed=2)
    eager = Odd(tiny, change_model=lambda model: model.set_attn_implementation("eager"))
    same = measure_sharpness(eager, setup(), num_steps=2, seed=1)
    assert same.at_start == pytest.approx(found.at_start, rel=0.05)
    low, high = found.bracket or (math.nan, math.nan)
    assert 1e-6 < low <= high < 1e3
