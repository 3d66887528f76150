"""From a bundle back to model and Trainer: whatever a tampered bundle asks for, nothing runs untrusted."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from odd_models import (
    GoesAroundTrainer,
    NormedClassifier,
    OddArguments,
    OddConfig,
    SharpTrainer,
    Weighted,
)
from replay_samples import Task, bert_masked, broken, plan, written
from transformers import BertForSequenceClassification, Trainer

from stabsearch.capture.bundle import Bundle, read_bundle
from stabsearch.capture.manifest import ClassRef
from stabsearch.errors import UserError
from stabsearch.forensics.rebuild import rebuild


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the bundle of a model and Trainer of Transformers."""
    folder = tmp_path_factory.mktemp("plain")
    return read_bundle(folder / broken(folder, Task(), label_smoothing_factor=0.1).bundle)


def normed() -> NormedClassifier:
    return NormedClassifier(OddConfig())


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the bundle of classes of the user's."""
    folder = tmp_path_factory.mktemp("own")
    task = Task(normed, Weighted(18, bad=(6,)).__getitem__, GoesAroundTrainer)
    return read_bundle(folder / broken(folder, task, plan(learning_rate=1e-3, max_grad_norm=0.0)).bundle)


def asking(bundle: Bundle, part: str, **changes: Any) -> Bundle:
    """Return a bundle that asks for something else."""
    manifest = bundle.manifest
    return Bundle(bundle.folder, replace(manifest, **{part: replace(getattr(manifest, part), **changes)}))


def refusal(bundle: Bundle, **options: Any) -> str:
    """Return the two lines with which a rebuild ends."""
    with pytest.raises(UserError) as raised:
        rebuild(bundle, **options)
    text = str(raised.value)
    assert len(text.split("\n")) == 2, text
    return text


def test_model_and_trainer_are_those_of_the_training(plain: Bundle) -> None:
    """Class, weights, training mode, dropout; arguments that say what is computed, and no others."""
    rebuilt = rebuild(plain)
    assert type(rebuilt.model) is BertForSequenceClassification
    assert type(rebuilt.trainer) is Trainer
    assert rebuilt.model.training
    assert rebuilt.model.dropout.p == 0.1
    stored = plain.weights()
    assert all(torch.equal(stored[name], value) for name, value in rebuilt.model.named_parameters())
    args = rebuilt.trainer.args
    assert (args.label_smoothing_factor, args.save_strategy, args.use_cpu) == (0.1, "no", True)
    initial = plain.weights("initial")
    model = rebuild(plain, "initial").model
    assert all(torch.equal(initial[name], value) for name, value in model.named_parameters())


def test_dropout_rates_of_modules_win_over_the_configuration(plain: Bundle) -> None:
    """They may have been set after the model was made."""
    rates = {**plain.manifest.model.dropout, "dropout": 0.7}
    model = rebuild(asking(plain, "model", dropout=rates)).model
    assert model.dropout.p == 0.7
    assert model.bert.embeddings.dropout.p == 0.1


def test_classes_of_the_users_need_trust(own: Bundle) -> None:
    """Importing a module runs it."""
    assert refusal(own).startswith("this bundle asks for NormedClassifier of odd_models: neither torch")
    assert "--trust-code" in refusal(own)
    rebuilt = rebuild(own, trust_code=True)
    assert type(rebuilt.trainer) is GoesAroundTrainer


TRAINER = ClassRef("odd_models", "SharpTrainer")


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("model", {"cls": ClassRef("planted", "Model")}),
        ("trainer", {"cls": ClassRef("planted", "Trainer")}),
        ("trainer", {"arguments_cls": ClassRef("planted", "Arguments")}),
        ("trainer", {"loss_function": ClassRef("planted", "loss")}),
    ],
)
def test_nothing_is_imported_without_trust(
    plain: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, changes: dict[str, Any]
) -> None:
    """Whichever of the four names the module: it does not even begin to run."""
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'it_ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "neither torch nor Transformers" in refusal(asking(plain, part, **changes))
    assert not (tmp_path / "it_ran").exists()
    assert "is not importable here: AttributeError" in refusal(
        asking(plain, part, **changes), trust_code=True
    )
    assert (tmp_path / "it_ran").exists(), "the module is harmless: this test proves nothing"
    sys.modules.pop("planted")


@pytest.mark.parametrize(
    ("part", "field", "module", "name", "message"),
    [
        ("model", "cls", "torch.hub", "load", "load of torch.hub is no PreTrainedModel"),
        ("model", "cls", "torch.nn", "Linear", "Linear of torch.nn is no PreTrainedModel"),
        ("model", "cls", "torch.hub", "os.system", "asks for os.system of posix: neither torch"),
        ("trainer", "cls", "torch.nn", "Linear", "Linear of torch.nn is no Trainer"),
        ("trainer", "cls", "torch.hub", "shutil.rmtree", "shutil.rmtree of shutil: neither torch"),
        ("trainer", "arguments_cls", "torch.nn", "Linear", "is no TrainingArguments"),
        ("trainer", "loss_function", "torch.hub", "shutil.rmtree", "shutil.rmtree of shutil: neither torch"),
        ("trainer", "loss_function", "torch.nn", "Linear", "Linear of torch.nn is no function"),
        ("model", "cls", "stabsearch.cli.__main__", "main", "defined in the program that was run"),
        ("model", "cls", "transformers", "BertForNothing", "is not importable here: AttributeError"),
        ("model", "cls", "transformers.models.none", "X", "is not importable here: ModuleNotFound"),
        ("model", "cls", "", "", "neither torch nor Transformers"),
    ],
)
def test_a_trusted_module_is_no_way_to_anything_else(
    plain: Bundle, part: str, field: str, module: str, name: str, message: str
) -> None:
    """Only a model is taken for a model, and only what is a package's own from a trusted package."""
    assert message in refusal(asking(plain, part, **{field: ClassRef(module, name)}))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("__main__", "Model"),
        ("odd_models", "make.<locals>.Model"),
        ("not_there", "Model"),
        ("odd_models", "Gone"),
    ],
)
def test_a_class_that_no_other_process_can_find(plain: Bundle, module: str, name: str) -> None:
    """Defined in the script itself, inside of a function, in a module that is not here, or renamed."""
    text = refusal(asking(plain, "model", cls=ClassRef(module, name)), trust_code=True)
    assert text.startswith(f"{name} of {module} is not importable here: ")
    assert text.endswith("put it at the top level of a module on PYTHONPATH")


def test_a_class_made_in_a_function_is_captured_and_refused(tmp_path: Path) -> None:
    """The bundle is written all the same: weights and batch tell something."""

    class Local(Trainer):
        pass

    record = broken(tmp_path, Task(trainer_class=Local))
    bundle = read_bundle(tmp_path / record.bundle)
    assert "Local of test_rebuild is not importable here" in refusal(bundle, trust_code=True)


def test_code_from_the_hub_needs_the_sweeps_trust_and_ours(
    plain: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both the one who trained and the one who replays have to say so."""
    module = ModuleType("transformers_modules.mine")
    module.Mine = type("Mine", (BertForSequenceClassification,), {"__module__": module.__name__})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers_modules", ModuleType("transformers_modules"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    remote = asking(plain, "model", cls=ClassRef(module.__name__, "Mine"))
    assert "the sweep did not trust it" in refusal(remote)
    assert "the sweep did not trust it" in refusal(remote, trust_code=True)
    trusted = Bundle(remote.folder, replace(remote.manifest, trust_remote_code=True))
    assert "--trust-code" in refusal(trusted)
    assert type(rebuild(trusted, trust_code=True).model).__name__ == "Mine"


KERNEL = "somebody/kernel"


@pytest.mark.parametrize(
    "change",
    [
        lambda made: {"attn_implementation": KERNEL},
        lambda made: {"config": {**made.config, "attn_implementation": KERNEL}},
        lambda made: {"config": {**made.config, "_attn_implementation_internal": KERNEL}},
        lambda made: {"config": {**made.config, "text_config": {"attn_implementation": {"": KERNEL}}}},
        lambda made: {"config": {**made.config, "parts": [{"_experts_implementation": KERNEL}]}},
    ],
)
def test_kernels_from_the_hub_are_code(plain: Bundle, change: Callable[[Any], dict[str, Any]]) -> None:
    """An attention implementation can be a repository; it is not fetched because a bundle says so."""
    bundle = asking(plain, "model", **change(plain.manifest.model))
    for options in ({}, {"trust_code": True}):
        assert refusal(bundle, **options).startswith(f"this bundle asks for {KERNEL}, code from the Hub")


def test_nothing_is_pushed_or_reported(plain: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Trainer that is told to push makes a repository when it is made."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a repository was asked for")

    monkeypatch.setattr(Trainer, "init_hf_repo", refuse)
    arguments = {
        **plain.manifest.trainer.arguments, "push_to_hub": True, "hub_token": "x", "output_dir": "/nowhere",
        "report_to": "all", "deepspeed": "config.json", "bf16": True, "save_strategy": "steps",
    }  # fmt: skip
    args = rebuild(asking(plain, "trainer", arguments=arguments)).trainer.args
    assert not args.push_to_hub
    assert args.hub_token is None
    assert args.output_dir != "/nowhere"
    assert args.report_to == []
    assert args.deepspeed is None
    assert not args.bf16


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (
            "model",
            {"config": {"hidden_size": 7, "num_attention_heads": 2}},
            "cannot be made again: ValueError",
        ),
        ("model", {"config": {"hidden_size": "eight"}}, "cannot be made again: "),
        ("model", {"config": {}}, "has shape (30522, 768), stored is (23, 8)"),
        ("model", {"cls": ClassRef("transformers", "BertForMaskedLM")}, "cannot be made again: KeyError"),
        ("trainer", {"arguments": {"no_such_argument": 1}}, "cannot be made again: TypeError"),
        ("trainer", {"arguments": {"warmup_steps": [1]}}, "cannot be made again: "),
    ],
)
def test_what_does_not_fit_is_said(plain: Bundle, part: str, changes: dict[str, Any], message: str) -> None:
    """Another version of the library, or a manifest that was edited."""
    assert message in refusal(asking(plain, part, **changes))


class Demanding(Trainer):
    def __init__(self, *, needed: int, **others: Any) -> None:
        super().__init__(**others)


def test_a_trainer_that_needs_more_than_we_know(plain: Bundle) -> None:
    """What its constructor was given is not stored."""
    text = refusal(asking(plain, "trainer", cls=ClassRef("test_rebuild", "Demanding")), trust_code=True)
    assert text.startswith("Demanding cannot be made again: TypeError: ")
    assert "needed" in text
    assert "let it do with model, args and train_dataset; or run stabsearch diagnose" in text


def test_arguments_of_the_users_own(own: Bundle) -> None:
    """A subclass of TrainingArguments comes back with its fields."""
    bundle = asking(
        own, "trainer", cls=TRAINER, arguments_cls=ClassRef("odd_models", "OddArguments"),
        arguments={**own.manifest.trainer.arguments, "sharpness": 3.0},
    )  # fmt: skip
    trainer = rebuild(bundle, trust_code=True).trainer
    assert type(trainer) is SharpTrainer
    assert type(trainer.args) is OddArguments
    assert trainer.args.sharpness == 3.0


def test_buffers_that_no_checkpoint_holds_are_back(own: Bundle) -> None:
    """The forward depends on them."""
    model = rebuild(own, trust_code=True).model
    assert "scale" not in model.state_dict()
    assert torch.equal(model.scale, own.weights()["scale"])
    assert not torch.equal(model.scale, torch.ones(6))
    assert torch.equal(rebuild(own, "initial", trust_code=True).model.scale, torch.ones(6))


def test_tied_weights_are_tied_again(tmp_path: Path) -> None:
    """And the tie is stored once."""
    record = broken(tmp_path, Task(bert_masked, written))
    bundle = read_bundle(tmp_path / record.bundle)
    assert set(bundle.manifest.aliases) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    model = rebuild(bundle).model
    embedding = model.bert.embeddings.word_embeddings.weight
    assert model.cls.predictions.decoder.weight is embedding
    assert torch.equal(embedding, bundle.weights()["bert.embeddings.word_embeddings.weight"])
