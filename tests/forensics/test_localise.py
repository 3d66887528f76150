"""Whatever poisons a step of a Transformers model, localisation says where it came in."""

import json
import math
from typing import Any

import pytest
import torch
from localise_samples import LANGUAGE_MODELS, batch, bert, enlarge, found_in, masked_lm
from transformers import PreTrainedModel

from stabsearch.forensics.localise import Localisation, Phase


def language_batch(**changes: Any) -> dict[str, Any]:
    given = batch()
    return {**given, "labels": given["input_ids"], **changes}


def overflowing() -> tuple[Any, str]:
    model = bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    enlarge(model, LANGUAGE_MODELS["bert"][1], 3e3)
    return model, LANGUAGE_MODELS["bert"][2]


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_sound_step_is_nowhere_bad(name: str, dtype: torch.dtype | None) -> None:
    """Masks make -inf and finfo.min in every model; that is no finding."""
    found = found_in(LANGUAGE_MODELS[name][0](), language_batch(), dtype)
    assert (found.phase, found.origin, found.is_finite) == (Phase.NOWHERE, None, True)
    assert found.gradients is not None
    assert found.gradients.num_bad == 0
    assert found.sentence == "loss, gradients and their norm are finite"


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_half_precision_overflow_names_the_module(name: str) -> None:
    """Weights too large for fp16 and fine in bf16: the linear layer whose output overflows."""
    build, weights, module = LANGUAGE_MODELS[name]
    model = build()
    enlarge(model, weights, 1e4 if name == "llama" else 3e3)
    found = found_in(model, language_batch(), torch.float16)
    assert (found.phase, found.module) == (Phase.FORWARD, module)
    assert found.op in {"aten.addmm", "aten.mm"}
    assert found.origin is not None
    assert (found.origin.dtype, found.origin.reason) == ("float16", "overflows float16")
    assert found_in(model, language_batch(), torch.bfloat16).is_finite


def test_an_overflow_comes_with_its_magnitudes() -> None:
    """How large inputs and weights were, how much of the output is lost, and where it begins."""
    model, module = overflowing()
    found = found_in(model, batch(), torch.float16)
    origin = found.origin
    assert origin is not None
    weight = model.get_parameter(f"{module}.weight").detach()
    assert {facts.name: facts.norm for facts in origin.weights}["weight"] == pytest.approx(
        float(weight.norm())
    )
    assert {facts.name: facts.largest for facts in origin.weights}["weight"] == float(weight.abs().max())
    given = {facts.name: facts.largest for facts in origin.inputs}["mat1"]
    num_bad = origin.output.num_plus_inf + origin.output.num_minus_inf
    assert origin.output.num_elements == 4 * 8 * 16
    assert 0 < num_bad < origin.output.num_elements
    assert origin.output.first_bad_index is not None
    assert given is not None
    assert found.sentence == (
        f"addmm in {module} overflows float16: inputs up to {given:.4g}, weights up to "
        f"{float(weight.abs().max()):.4g}, {num_bad} of 512 outputs are infinite"
    )


def test_exploded_weights_name_the_first_module_they_break() -> None:
    """Case (a): after an update far too large, squares overflow in the first layer norm, in fp32."""
    model = bert()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 1e20)
    found = found_in(model, batch())
    assert (found.phase, found.op, found.module) == (
        Phase.FORWARD,
        "aten.native_layer_norm",
        "bert.embeddings.LayerNorm",
    )
    assert "overflows float32 on its way to NaN" in found.sentence


def test_parameters_poisoned_before_the_step() -> None:
    """Case (a2): the step did not do it, the update before it did."""
    model = bert()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    found = found_in(model, batch())
    assert (found.phase, found.origin) == (Phase.BEFORE, None)
    assert len(found.bad_parameters) == len([*model.parameters()])
    first, more = next(iter(model.named_parameters()))[0], len(found.bad_parameters) - 1
    assert found.sentence == (
        f"the parameters were already not finite before this step: {first} and {more} more"
    )


def test_a_poisoned_parameter_that_is_never_read_is_not_blamed() -> None:
    """The embedding of a token that no row holds, beside a real fault."""
    model, module = overflowing()
    with torch.no_grad():
        model.get_parameter("bert.embeddings.word_embeddings.weight")[1] = math.nan
    found = found_in(model, batch(), torch.float16)
    assert (found.phase, found.module) == (Phase.FORWARD, module)
    assert [facts.name for facts in found.bad_parameters] == ["bert.embeddings.word_embeddings.weight"]


def test_a_benign_skip_is_benign() -> None:
    """Case (b2): a loss scale of 2**24 overflows, the gradients of the same step do not."""
    found = found_in(bert(), batch(), torch.float16, loss_scale=2.0**24)
    assert found.is_benign_skip
    assert found.phase is Phase.BACKWARD
    assert found.sentence == (
        "only the loss scale of 16777216 overflows: unscaled gradients are finite, "
        "a normal skip of fp16 training"
    )


def test_an_overflow_without_the_scale_is_no_benign_skip() -> None:
    """A loss that is not finite stays a fault at any scale."""
    model, _ = overflowing()
    assert not found_in(model, batch(), torch.float16, loss_scale=2.0**24).is_benign_skip


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_all_labels_ignored(name: str) -> None:
    """Case (c): 0/0 in the mean over no label at all; no gradient is bad."""
    inputs = language_batch(labels=torch.full((4, 8), -100))
    found = found_in(LANGUAGE_MODELS[name][0](), inputs)
    assert (found.phase, found.op, found.all_labels_ignored) == (Phase.LOSS, "aten.nll_loss_forward", True)
    assert found.sentence == "the loss is 0/0: nll_loss over labels that are all ignored, logits are finite"
    assert found.gradients is not None
    assert found.gradients.num_bad == 0


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_all_labels_ignored_over_a_count_of_zero(name: str) -> None:
    """The sum of no losses, divided by Trainer's count of no labels."""
    nothing = language_batch(labels=torch.full((4, 8), -100), num_items_in_batch=torch.tensor(0))
    found = found_in(LANGUAGE_MODELS[name][0](), nothing)
    assert (found.phase, found.op, found.all_labels_ignored) == (Phase.LOSS, "aten.div", True)
    assert found.sentence == "the loss is 0/0: div over labels that are all ignored, logits are finite"


def test_some_labels_ignored_is_sound() -> None:
    """One label that counts is enough."""
    labels = torch.full((4, 8), -100)
    labels[2, 3] = 5
    found = found_in(masked_lm(), language_batch(labels=labels))
    assert (found.phase, found.all_labels_ignored) == (Phase.NOWHERE, False)


@pytest.mark.parametrize(
    ("label", "said"), [(2, "Target 2 is out of bounds"), (-1, "Target -1 is out of bounds")]
)
def test_a_label_out_of_range(label: int, said: str) -> None:
    """Case (d): what torch says, and that it is the loss that says it."""
    found = found_in(bert(), batch(labels=torch.tensor([0, 1, label, 0])))
    assert (found.phase, found.loss, found.gradients) == (Phase.LOSS, None, None)
    assert found.sentence == f"the forward raises IndexError: {said} (in the model, nll_loss)"
    assert found.error is not None
    assert found.error.modules == ("the model",)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 2.0, 0.5, math.nan], "input labels holds NaN in row 3"),
        ([math.nan, 2.0, math.nan, 1.0], "input labels holds NaN in rows 0, 2"),
        ([1.0, 2.0, math.inf, 0.5], "input labels holds +inf in row 2"),
        ([1.0, -math.inf, 0.5, 0.5], "input labels holds -inf in row 1"),
    ],
)
def test_regression_labels_that_are_not_finite(values: list[float], said: str) -> None:
    """Case (e): the rows of the batch, for every kind of bad number."""
    found = found_in(bert(num_labels=1), batch(labels=torch.tensor(values)))
    assert (found.phase, found.sentence) == (Phase.BEFORE, said)
    assert [facts.name for facts in found.bad_inputs] == ["labels"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_one_hot_labels_into_cross_entropy(dtype: torch.dtype) -> None:
    """Case (f): the exception and the module it went through."""
    one_hot = torch.eye(2)[torch.tensor([0, 1, 0, 1])].to(dtype)
    found = found_in(bert(problem_type="single_label_classification"), batch(labels=one_hot))
    assert found.error is not None
    assert found.error.modules == ("the model",)
    assert found.sentence.startswith("the forward raises ValueError: Expected input batch_size (4)")


@pytest.mark.parametrize("token", [64, -1])
def test_a_token_outside_the_embedding(token: int) -> None:
    """Case (g): the embedding is named, not the model as a whole."""
    inputs = batch()
    inputs["input_ids"][2, 3] = token
    found = found_in(bert(), inputs)
    assert found.phase is Phase.FORWARD
    assert found.error is not None
    assert found.error.modules == ("the model", "bert", "bert.embeddings", "bert.embeddings.word_embeddings")
    assert found.sentence == (
        "the forward raises IndexError: index out of range in self "
        "(in bert.embeddings.word_embeddings, embedding)"
    )


def test_a_sequence_longer_than_the_positions() -> None:
    """Case (h): the embeddings cannot add positions that they do not have."""
    long = torch.randint(3, 64, (4, 20))
    found = found_in(bert(), batch(input_ids=long, attention_mask=torch.ones_like(long)))
    assert found.error is not None
    assert found.error.modules[-1].startswith("bert.embeddings")
    assert "RuntimeError" in found.sentence


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_a_row_without_a_single_token_is_sound(attention: str, dtype: torch.dtype | None) -> None:
    """Case (i): Transformers' own masks survive a row that is masked everywhere."""
    mask = torch.ones(4, 8, dtype=torch.long)
    mask[2] = 0
    assert found_in(bert(attn_implementation=attention), batch(attention_mask=mask), dtype).is_finite


@pytest.mark.parametrize("is_reentrant", [False, True])
def test_gradient_checkpointing(is_reentrant: bool) -> None:
    """Modules computed again in the backward pass are named as in the forward."""
    model, module = overflowing()
    model.gradient_checkpointing_enable({"use_reentrant": is_reentrant})
    model.enable_input_require_grads()
    assert found_in(model, batch(), torch.float16).module == module
    sound = bert()
    sound.gradient_checkpointing_enable({"use_reentrant": is_reentrant})
    sound.enable_input_require_grads()
    assert found_in(sound, batch(), torch.float16, loss_scale=2.0**24).is_benign_skip


def strict(found: Localisation) -> Any:
    return json.loads(json.dumps(found.to_json(), allow_nan=False))


def test_json_is_strict_and_complete() -> None:
    """NaN and infinities become words; sentence, place and loss are in it."""
    model, module = overflowing()
    data = strict(found_in(model, batch(), torch.float16))
    assert (data["phase"], data["module"], data["op"]) == ("forward", module, "aten.addmm")
    assert data["loss"] in {"nan", "inf"}
    assert data["sentence"].startswith("addmm in ")
    assert data["origin"]["output"]["dtype"] == "float16"


def test_json_of_an_exception() -> None:
    """A step that raised has no loss and no origin."""
    data = strict(found_in(bert(), batch(labels=torch.tensor([0, 1, 9, 1]))))
    assert (data["loss"], data["origin"], data["error"]["op"]) == (None, None, "aten.nll_loss_forward")


def test_a_model_in_evaluation_mode_stays_in_it() -> None:
    """Localisation never changes the mode that it was handed."""
    model: PreTrainedModel = bert().eval()
    found_in(model, batch())
    assert not any(module.training for module in model.modules())
