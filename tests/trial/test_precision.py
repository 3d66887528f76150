"""Number formats: set, really run, read back, and reset between trials."""

from typing import Any

import pytest
import torch
from trial_samples import plan, setup

from stabsearch.errors import UserError
from stabsearch.records import NUMBER_FORMATS, PRECISIONS, Cause, Outcome, Precision
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.precision import check_precision, matmul_precision
from stabsearch.trial.run import run_trial

KEY = ("search", "precision", 1)
WHERE: dict[str, Any] = {"on_gpu": False, "is_local": True, "allow_fp16_on_cpu": False}


def test_fp16_on_a_cpu_really_runs_fp16(tiny: RowWorkload) -> None:
    """With the opt-in: fp16 activations and a loss scaler, and other numbers than fp32."""
    allowed = setup(allow_fp16_on_cpu=True)
    half, full = (run_trial(plan(precision=precision), tiny, allowed) for precision in ("fp16", "fp32"))
    assert half.outcome is Outcome.STABLE, half.message
    assert half.effective is not None
    assert (half.effective.autocast_dtype, half.effective.loss_scaler) == ("float16", True)
    assert half.trace.losses != full.trace.losses
    assert half.trace.losses == pytest.approx(full.trace.losses, rel=0.02)


def test_fp16_that_silently_runs_in_fp32_is_no_measurement(tiny: RowWorkload) -> None:
    """Without the opt-in Transformers takes fp16 on a CPU and trains in fp32."""
    record = run_trial(plan(precision="fp16"), tiny, setup())
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert "autocast dtype: planned float16, effective float32" in record.message
    assert "loss scaler: planned True, effective False" in record.message


@pytest.mark.skipif(torch.cuda.is_available(), reason="tf32 really runs on a CUDA device")
def test_tf32_on_a_cpu_is_no_measurement(tiny: RowWorkload) -> None:
    """A processor has no tf32."""
    record = run_trial(plan(precision="tf32"), tiny, setup())
    assert record.message == "matmul precision: planned tf32, effective ieee (tf32)"


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "tf32"])
def test_a_trial_runs_in_what_its_precision_is_made_of(tiny: RowWorkload, precision: Precision) -> None:
    """Weights, optimizer, autocast, scaler and products are read back, and are those of the one table."""
    made_of = NUMBER_FORMATS[precision]
    record = run_trial(plan(precision=precision), tiny, setup(allow_fp16_on_cpu=True))
    assert record.outcome is Outcome.STABLE, record.message
    effective = record.effective
    assert effective is not None
    assert (effective.parameter_dtype, effective.frozen_dtype) == (made_of.parameter_dtype, "")
    assert effective.optimizer_dtype == made_of.parameter_dtype
    assert (effective.autocast_dtype, effective.loss_scaler) == (made_of.autocast_dtype, made_of.has_scaler)
    assert effective.matmul_precision == made_of.matmul_precision == "ieee"


def test_pure_bf16_is_neither_fp32_nor_autocast(tiny: RowWorkload) -> None:
    """It rounds its weights as well: other losses than both, and near them."""
    kinds = ("fp32", "bf16", "bf16-pure")
    full, mixed, pure = (run_trial(plan(precision=kind), tiny, setup()).trace.losses for kind in kinds)
    assert len({full, mixed, pure}) == 3
    assert pure == pytest.approx(full, rel=0.05)


def test_precision_is_reset_between_trials(tiny: RowWorkload) -> None:
    """fp32, bf16, fp16 and fp32 again, in one process: each trial runs in its own."""
    allowed = setup(allow_fp16_on_cpu=True)
    order = ("fp32", "bf16", "bf16-pure", "fp16", "fp32", "bf16-pure", "bf16")
    records = [run_trial(plan(precision=precision, horizon=2), tiny, allowed) for precision in order]
    assert [record.outcome for record in records] == [Outcome.STABLE] * 7
    dtypes = [record.effective.autocast_dtype for record in records if record.effective]
    assert dtypes == ["float32", "bfloat16", "float32", "float16", "float32", "float32", "bfloat16"]
    assert [records[i].trace for i in (0, 1, 2)] == [records[i].trace for i in (4, 6, 5)]


def test_matrix_products_are_set_back() -> None:
    """What the process had before a trial, it has after it, also when the trial raised."""
    backends: Any = torch.backends
    before = backends.fp32_precision, backends.cuda.matmul.fp32_precision

    def trial() -> None:
        with matmul_precision("tf32"):
            assert backends.cuda.matmul.fp32_precision == "tf32"
            raise ValueError("broke")

    for _ in range(2):
        with pytest.raises(ValueError, match="broke"):
            trial()
        assert (backends.fp32_precision, backends.cuda.matmul.fp32_precision) == before
        with matmul_precision("fp32"):
            assert backends.cuda.matmul.fp32_precision == "ieee"
        assert (backends.fp32_precision, backends.cuda.matmul.fp32_precision) == before


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-pure"])
def test_what_a_cpu_runs_is_accepted(precision: Any) -> None:
    """These run everywhere."""
    check_precision(precision, KEY, **WHERE)


@pytest.mark.parametrize(
    ("precision", "message", "hint"),
    [
        ("fp16", "fp16 needs a CUDA device: on a CPU it would silently train in fp32", "use bf16"),
        ("tf32", "tf32 needs a CUDA device, and trials are given none", "use fp32 or bf16"),
    ],
)
def test_what_a_cpu_does_not_run_is_refused(precision: Any, message: str, hint: str) -> None:
    """The error names the place and the way out."""
    with pytest.raises(UserError) as raised:
        check_precision(precision, KEY, **WHERE)
    assert raised.value.message == message
    assert raised.value.hint.startswith(hint)
    assert raised.value.key == KEY


def test_fp16_on_a_cpu_can_be_asked_for() -> None:
    """The opt-in is explicit, and not for tf32."""
    check_precision("fp16", KEY, **{**WHERE, "allow_fp16_on_cpu": True})
    with pytest.raises(UserError, match="tf32 needs"):
        check_precision("tf32", KEY, **{**WHERE, "allow_fp16_on_cpu": True})


def test_a_gpu_elsewhere_cannot_be_asked() -> None:
    """The devices of a cluster are its own affair."""
    check_precision("fp16", KEY, **{**WHERE, "on_gpu": True, "is_local": False})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    """Trials that are promised a GPU on a machine without one would never start."""
    with pytest.raises(UserError, match="this machine shows none") as raised:
        check_precision("bf16", KEY, **{**WHERE, "on_gpu": True})
    assert raised.value.key == ("resources", "gpus_per_trial")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_trial_that_was_given_a_gpu_and_has_none_is_no_measurement(tiny: RowWorkload) -> None:
    """Trained on the CPU instead, it would say nothing about the GPU it was planned for."""
    record = run_trial(plan(), tiny, setup(on_gpu=True))
    assert record.outcome is Outcome.CRASHED
    assert record.cause is Cause.SETTINGS_NOT_APPLIED
    assert "device: planned cuda, effective cpu" in record.message
