"""What would make a trial run in another precision without a word: it is noticed, or it cannot happen.

Each falsification is shown first to be real, in the stock libraries; then that a trial is not fooled by it.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset
from transformers import BertForSequenceClassification, Trainer, TrainingArguments
from transformers.utils.import_utils import enable_tf32
from trial_samples import Odd, plan, setup

from stabsearch.records import Cause, Outcome, Precision, TrialRecord
from stabsearch.task.models import PretrainedCopies
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.casting import dtypes_of
from stabsearch.trial.forward_probe import matmul_in_force, rounding_of
from stabsearch.trial.not_applied import ENVIRONMENT
from stabsearch.trial.precision import matmul_precision
from stabsearch.trial.run import run_trial

BACKENDS: Any = torch.backends


@pytest.fixture
def _products_as_before() -> Any:
    """Leave the process as it was, whatever a test does to its matrix products."""
    with matmul_precision("fp32"):
        yield


def is_refused(record: TrialRecord, message: str) -> bool:
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED), record.message
    return message in record.message


class SameModel(Odd):
    """Hands out one model object again and again."""

    def model(self, model_seed: int) -> Any:
        if not hasattr(self, "_only"):
            self._only = self.base.model(0)
        return self._only


class Quiet(Dataset[dict[str, Any]]):
    """Rows for a stock training."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": torch.full((4,), index + 2), "labels": index % 2}


def stock_autocast(model: Any, **arguments: Any) -> str:
    """Return the dtype of the first linear layer's outputs in a stock training of two steps."""
    seen: list[torch.dtype] = []
    layer = model.bert.encoder.layer[0].attention.self.query
    hook = layer.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    values = {
        "use_cpu": True,
        "max_steps": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
    }
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(output_dir=folder, **values, **arguments)
        Trainer(model=model, args=args, train_dataset=Quiet()).train()
    hook.remove()
    return str(seen[0]).removeprefix("torch.")


@pytest.mark.usefixtures("_products_as_before")
def test_transformers_forgets_a_tf32_it_has_set_before() -> None:
    """``enable_tf32`` is cached: True, False, True leaves False. Set by a trial, each value counts."""
    enable_tf32.cache_clear()
    seen = []
    for enable in (True, False, True):
        enable_tf32(enable)
        seen.append(BACKENDS.fp32_precision)
    assert seen == ["tf32", "ieee", "ieee"]
    ours = []
    for precision in ("tf32", "fp32", "tf32"):
        with matmul_precision(precision):  # type: ignore[arg-type]
            ours.append(BACKENDS.cuda.matmul.fp32_precision)
    assert ours == ["tf32", "ieee", "tf32"]


@pytest.mark.parametrize(("first", "second"), [("fp32", "bf16"), ("bf16", "fp32")])
def test_a_model_object_keeps_its_first_precision(tiny: RowWorkload, first: str, second: str) -> None:
    """Accelerate prepares a model object once: a second stock training on it is the first one's."""
    model = tiny.model(0)
    dtypes = [stock_autocast(model, bf16=precision == "bf16") for precision in (first, second)]
    assert dtypes == [dtypes[0]] * 2
    assert dtypes[0] == ("bfloat16" if first == "bf16" else "float32")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("fp32", "bf16", "autocast dtype: planned bfloat16, effective float32 (bf16)"),
        ("bf16", "fp32", "autocast dtype: planned float32, effective bfloat16 (bf16)"),
        ("bf16", "bf16-pure", "autocast dtype: planned float32, effective bfloat16 (bf16)"),
        ("bf16-pure", "fp32", "parameter dtype: planned float32, effective bfloat16 (the model's dtype)"),
        ("bf16-pure", "bf16", "parameter dtype: planned float32, effective bfloat16 (the model's dtype)"),
    ],
)
def test_a_used_model_is_no_measurement(
    tiny: RowWorkload, first: Precision, second: Precision, message: str
) -> None:
    """A workload that hands out one model object twice is found out."""
    workload = SameModel(tiny)
    assert run_trial(plan(horizon=2, precision=first), workload, setup()).outcome is Outcome.STABLE
    again = plan(horizon=2, precision=second, model_seed=9)  # with the same one, its weights give it away
    assert is_refused(run_trial(again, workload, setup()), message)


@pytest.fixture(scope="module")
def half_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny: RowWorkload) -> Path:
    """Return a folder with a checkpoint in fp16."""
    folder = tmp_path_factory.mktemp("half")
    tiny.model(0).half().save_pretrained(folder)
    return folder


def test_a_checkpoint_keeps_its_own_dtype(half_checkpoint: Path) -> None:
    """Transformers 5 loads an fp16 checkpoint as fp16; the tasks here load it as float32."""
    stock = BertForSequenceClassification.from_pretrained(half_checkpoint)
    assert dtypes_of(stock).trained == ("float16",)
    ours = PretrainedCopies(str(half_checkpoint), BertForSequenceClassification, False)
    assert dtypes_of(ours(0)).trained == ("float32",)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-pure", "fp16"])
def test_half_precision_weights_are_refused_in_any_precision(
    tiny: RowWorkload, half_checkpoint: Path, precision: Precision
) -> None:
    """A user's own code that loads an fp16 checkpoint as it is gives no measurement, also not of fp16."""

    class Loaded(Odd):
        def model(self, model_seed: int) -> Any:
            return BertForSequenceClassification.from_pretrained(half_checkpoint)

    record = run_trial(plan(precision=precision), Loaded(tiny), setup(allow_fp16_on_cpu=True))
    planned = "bfloat16" if precision == "bf16-pure" else "float32"
    assert is_refused(record, f"parameter dtype: planned {planned}, effective float16 (the model's dtype)")
    assert record.steps == 0


def freeze_body(model: Any, dtype: torch.dtype) -> None:
    model.bert.to(dtype).requires_grad_(False)


@pytest.mark.parametrize(
    ("precision", "dtype", "message"),
    [
        ("bf16", torch.bfloat16, ""),
        ("fp16", torch.float16, ""),
        ("fp32", torch.bfloat16, "planned float32, effective bfloat16 (the model's dtype)"),
        ("bf16", torch.float16, "planned bfloat16 or float32, effective float16 (the model's dtype)"),
    ],
)
def test_frozen_weights_may_be_kept_in_the_dtype_of_autocast(
    tiny: RowWorkload, precision: Precision, dtype: torch.dtype, message: str
) -> None:
    """Autocast computes with them in its dtype anyway; without it they would be half-precision products."""
    workload = Odd(tiny, change_model=lambda model: freeze_body(model, dtype))
    record = run_trial(plan(precision=precision, horizon=2), workload, setup(allow_fp16_on_cpu=True))
    if message:
        assert is_refused(record, f"dtype of frozen parameters: {message}")
    else:
        assert record.outcome is Outcome.STABLE, record.message
        assert record.effective is not None
        found = (record.effective.parameter_dtype, record.effective.frozen_dtype)
        assert found == ("float32", str(dtype).removeprefix("torch."))


class OwnPrecisionTrainer(Trainer):
    """A user's Trainer that always trains in bf16, whatever it is told."""

    def __init__(self, args: Any, **named: Any) -> None:
        super().__init__(args=dataclasses.replace(args, bf16=True, output_dir=args.output_dir), **named)


class OwnAcceleratorTrainer(Trainer):
    """One whose arguments are those it was given, and whose Accelerator goes by others."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        self.accelerator.state._mixed_precision, self.accelerator.native_amp = "bf16", True


@pytest.mark.parametrize(
    ("trainer_class", "message"),
    [
        (OwnPrecisionTrainer, "bf16: planned False, effective True"),
        (OwnAcceleratorTrainer, "autocast dtype: planned float32, effective bfloat16 (bf16)"),
    ],
)
def test_a_trainer_with_a_precision_of_its_own_is_no_measurement(
    tiny: RowWorkload, trainer_class: type[Trainer], message: str
) -> None:
    """The error names the argument that it does not follow; told to train in bf16, it is what it seems."""
    assert is_refused(run_trial(plan(), Odd(tiny, trainer_class), setup()), message)
    agreed = run_trial(plan(precision="bf16"), Odd(tiny, trainer_class), setup())
    assert agreed.outcome is Outcome.STABLE, agreed.message


def test_a_precision_from_the_environment_is_named(
    tiny: RowWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``accelerate launch`` leaves one there, and TrainingArguments that say nothing go by it."""
    monkeypatch.setenv(ENVIRONMENT, "bf16")
    assert stock_autocast(tiny.model(0)) == "bfloat16"
    record = run_trial(plan(), tiny, setup())
    named = f"{ENVIRONMENT}=bf16 in the environment"
    assert is_refused(record, f"autocast dtype: planned float32, effective bfloat16 ({named})")


class RoundingTrainer(Trainer):
    """A user's Trainer that asks torch for fast products when its training begins."""

    def train(self, *args: Any, **named: Any) -> Any:
        torch.set_float32_matmul_precision("medium")
        return super().train(*args, **named)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU it is tf32")
@pytest.mark.usefixtures("_products_as_before")
def test_products_that_the_training_rounds_are_no_measurement(tiny: RowWorkload) -> None:
    """On processors with bfloat16 units, ``medium`` really rounds products of float32."""
    record = run_trial(plan(), Odd(tiny, RoundingTrainer), setup())
    argument = "torch.set_float32_matmul_precision"
    assert is_refused(record, f"matmul precision: planned ieee, effective bf16 ({argument})")
    assert run_trial(plan(), tiny, setup()).outcome is Outcome.STABLE


@pytest.mark.usefixtures("_products_as_before")
def test_what_was_set_before_a_trial_does_not_reach_into_it(tiny: RowWorkload) -> None:
    """Products are those of the precision, bit by bit, and the process has its own setting again."""
    clean = run_trial(plan(), tiny, setup())
    torch.set_float32_matmul_precision("medium")
    before = BACKENDS.cuda.matmul.fp32_precision, BACKENDS.mkldnn.matmul.fp32_precision
    assert before == ("tf32", "bf16")
    record = run_trial(plan(), tiny, setup())
    assert record.trace == clean.trace
    assert record.effective is not None
    assert record.effective.matmul_precision == "ieee"
    assert (BACKENDS.cuda.matmul.fp32_precision, BACKENDS.mkldnn.matmul.fp32_precision) == before


@pytest.mark.parametrize("general", ["none", "tf32"])
def test_settings_that_follow_the_general_one_still_do(general: str) -> None:
    """A trial leaves no setting behind that would shadow a later one for everything."""
    before = BACKENDS.fp32_precision
    try:
        BACKENDS.fp32_precision = general
        with matmul_precision("fp32"):
            assert BACKENDS.mkldnn.matmul.fp32_precision == "ieee"
        assert BACKENDS.fp32_precision == general
        BACKENDS.fp32_precision = "bf16"
        assert BACKENDS.mkldnn.matmul.fp32_precision == "bf16"
    finally:
        BACKENDS.fp32_precision = before


def keeping(bits: int) -> Any:
    """Return a product of matrices that keeps so many bits after the point of its factors."""

    def multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        rounded = [torch.round(factor * 2.0**bits) / 2.0**bits for factor in (left, right)]
        return rounded[0] @ rounded[1]

    return multiply


@pytest.mark.parametrize(("bits", "name"), [(23, "ieee"), (10, "tf32"), (7, "bf16")])
def test_the_rounding_of_products_is_seen_in_their_results(bits: int, name: str) -> None:
    """A device is asked what it does, not what it was told."""
    assert rounding_of(keeping(bits), torch.device("cpu"), size=16) == name


def test_a_processor_multiplies_in_full() -> None:
    """Tried out and by its setting; tf32 changes nothing on it."""
    for precision in ("fp32", "tf32"):
        with matmul_precision(precision):  # type: ignore[arg-type]
            assert rounding_of(torch.matmul, torch.device("cpu"), size=64) == "ieee"
            assert matmul_in_force(torch.device("cpu")) == "ieee"
