"""The table of number formats, each by what a user relies on."""

from __future__ import annotations

import pytest

from stabsearch.records.precision import NUMBER_FORMATS, PRECISIONS, Precision, named


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_precision_is_named_by_what_it_is_made_of(precision: Precision) -> None:
    """What is read back of a training that ran as planned has the plan's name."""
    made = NUMBER_FORMATS[precision]
    assert named(made.autocast_dtype, made.matmul_precision, made.parameter_dtype) == precision


def test_autocast_names_a_training_whatever_its_weights_and_products() -> None:
    """Autocast decides what products are computed in."""
    assert named("float16", "tf32", "float32") == "fp16"
    assert named("bfloat16", "tf32", "bfloat16") == "bf16"


@pytest.mark.parametrize(
    ("precision", "kept"),
    [
        ("fp32", {"float32"}),
        ("bf16", {"float32", "bfloat16"}),
        ("fp16", {"float32", "float16"}),
        ("bf16-pure", {"bfloat16"}),
    ],
)
def test_frozen_weights_may_lie_in_what_their_products_are_computed_in(
    precision: Precision, kept: set[str]
) -> None:
    """Under autocast that is its dtype."""
    assert NUMBER_FORMATS[precision].frozen_dtypes == kept


@pytest.mark.parametrize(
    ("precision", "capability"),
    [("fp32", (0, 0)), ("tf32", (8, 0)), ("bf16", (8, 0)), ("bf16-pure", (8, 0)), ("fp16", (0, 0))],
)
def test_the_oldest_gpu_that_runs_it(precision: Precision, capability: tuple[int, int]) -> None:
    """Ampere brought tf32 and bfloat16; older GPUs emulate them, slowly."""
    assert NUMBER_FORMATS[precision].capability == capability
