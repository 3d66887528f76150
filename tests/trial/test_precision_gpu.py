"""All precisions on a CUDA device: really in force, gone after the trial, and failing as they do there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from odd_models import SteepInHalf
from trial_samples import Odd, no_dropout, plan, setup, too_large_for_fp16

from stabsearch.records import NUMBER_FORMATS, PRECISIONS, Cause, Outcome, Precision
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.forward_probe import matmul_in_force, rounding_of
from stabsearch.trial.precision import check_precision, matmul_precision
from stabsearch.trial.run import run_trial

pytestmark = pytest.mark.gpu

ON_GPU = setup(on_gpu=True)
PRODUCT = {
    "fp32": "float32",
    "tf32": "float32",
    "bf16": "bfloat16",
    "bf16-pure": "bfloat16",
    "fp16": "float16",
}
"""Dtype of what a linear layer returns inside the model's forward."""


@pytest.fixture(autouse=True)
def _is_new_enough() -> None:
    """tf32 and bf16 need compute capability 8.0."""
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip(f"needs compute capability 8.0, got {torch.cuda.get_device_capability()}")


class Watched(Odd):
    """Notes what the first linear layer of each forward returns, and how products are rounded there."""

    def model(self, model_seed: int) -> Any:
        model = super().model(model_seed)
        model.bert.encoder.layer[0].attention.self.query.register_forward_hook(self._note)
        return model

    def _note(self, _: Any, __: Any, output: torch.Tensor) -> None:
        self.seen = {*getattr(self, "seen", ()), (output.dtype, rounding_of(torch.matmul, output.device))}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_is_really_in_force(tiny: RowWorkload, precision: Precision) -> None:
    """Inside the forward and in what is read back; every one is accepted beforehand, too."""
    made_of = NUMBER_FORMATS[precision]
    check_precision(precision, (), on_gpu=True, is_local=True, allow_fp16_on_cpu=False)
    workload = Watched(tiny, change_model=no_dropout)
    record = run_trial(plan(precision=precision), workload, ON_GPU)
    assert record.outcome is Outcome.STABLE, record.message
    effective = record.effective
    assert effective is not None
    assert effective.device.startswith("cuda")
    assert (effective.parameter_dtype, effective.optimizer_dtype) == (made_of.parameter_dtype,) * 2
    assert (effective.autocast_dtype, effective.loss_scaler) == (made_of.autocast_dtype, made_of.has_scaler)
    assert effective.matmul_precision == made_of.matmul_precision
    assert workload.seen == {(getattr(torch, PRODUCT[precision]), made_of.matmul_precision)}


def test_tf32_rounds_and_does_so_no_longer_after_the_trial(tiny: RowWorkload) -> None:
    """The device itself is asked: a product of float32 matrices, before, in and after a trial."""
    before = matmul_in_force(torch.device("cuda"))
    assert run_trial(plan(precision="tf32"), tiny, ON_GPU).outcome is Outcome.STABLE
    assert matmul_in_force(torch.device("cuda")) == before
    torch.manual_seed(0)
    left, right = torch.randn(2, 1024, 1024, device="cuda")
    exact = left.double() @ right.double()
    errors = {}
    for precision in ("fp32", "tf32", "fp32"):
        with matmul_precision(precision):  # type: ignore[arg-type]
            errors[precision] = float((left @ right - exact).abs().max())
    assert errors["tf32"] > 10 * errors["fp32"] > 0


def test_the_order_of_trials_does_not_matter(tiny: RowWorkload) -> None:
    """In one process: a precision's first loss is the same in every bit, whatever ran before it."""
    workload = Odd(tiny, change_model=no_dropout)
    order = ("fp32", "tf32", "bf16", "bf16-pure", "fp16")
    first: dict[str, set[float]] = {precision: set() for precision in order}
    for precision in (*order, *reversed(order)):
        record = run_trial(plan(precision=precision, horizon=1), workload, ON_GPU)
        first[precision].add(record.trace.losses[0])
    assert {precision: len(losses) for precision, losses in first.items()} == dict.fromkeys(order, 1)
    assert first["bf16"] != first["fp32"] != first["fp16"]


def test_a_setting_of_the_process_does_not_reach_into_a_trial(tiny: RowWorkload) -> None:
    """``torch.set_float32_matmul_precision`` and the older flag: an fp32 trial multiplies in full."""
    with matmul_precision("fp32"):  # sets everything back afterwards
        torch.set_float32_matmul_precision("high")
        assert matmul_in_force(torch.device("cuda")) == "tf32"
        record = run_trial(plan(), tiny, ON_GPU)
        assert record.outcome is Outcome.STABLE, record.message
        assert record.effective is not None
        assert record.effective.matmul_precision == "ieee"
        assert matmul_in_force(torch.device("cuda")) == "tf32"


def test_fp16_overflows_where_bf16_does_not(tiny: RowWorkload) -> None:
    """Activations beyond 65504: a bad loss in the first step, and the precision is what is to blame."""
    large = Odd(tiny, change_model=too_large_for_fp16)
    record = run_trial(plan(precision="fp16"), large, ON_GPU)
    assert (record.outcome, record.cause) == (Outcome.NONFINITE, Cause.PRECISION_AT_INIT), record.message
    assert record.first_bad_step == 1
    for precision in ("fp32", "tf32", "bf16", "bf16-pure"):
        held = run_trial(plan(precision=precision, horizon=2), large, ON_GPU)
        assert held.outcome is Outcome.STABLE, held.message


def test_fp16_drifts_out_of_range(tiny: RowWorkload) -> None:
    """Fine at the start, and after a few updates too large for fp16 and not for fp32."""
    trial = plan(precision="fp16", learning_rate=30.0, max_grad_norm=0.0, horizon=8)
    record = run_trial(trial, Odd(tiny, change_model=no_dropout), ON_GPU)
    assert record.outcome is Outcome.NONFINITE, record.message
    assert record.cause is Cause.PRECISION_AFTER_DRIFT
    assert record.first_bad_step is not None
    assert record.first_bad_step > 1


def steep_in_half(model: Any) -> None:
    """Make the gradient overflow in fp16 at every loss scale."""
    no_dropout(model)
    model.classifier.register_forward_hook(lambda module, inputs, output: SteepInHalf.apply(output))


def test_the_loss_scale_collapses(tiny: RowWorkload) -> None:
    """Every update is skipped, the scale is halved each time, until there is none left."""
    record = run_trial(plan(precision="fp16", horizon=30), Odd(tiny, change_model=steep_in_half), ON_GPU)
    assert (record.outcome, record.cause) == (Outcome.SCALE_FLOOR, Cause.PRECISION_AT_INIT), record.message
    assert record.skipped_steps >= 18
    assert record.first_bad_step == 1


def test_scaled_updates_are_skipped_and_go_on(tiny: RowWorkload) -> None:
    """A scale that starts too high for the first gradients settles: skips are no failure."""
    record = run_trial(plan(precision="fp16", horizon=12), Odd(tiny, change_model=no_dropout), ON_GPU)
    assert record.outcome is Outcome.STABLE, record.message
    assert record.skipped_steps < 12
