"""A broken trial's step once more: bit-exact in another process, and what each change of it shows."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from replay_cases import CASES, Captured
from safetensors.torch import load_file, save_file

from stabsearch.capture.bundle import BATCH, WEIGHTS, read_bundle
from stabsearch.capture.manifest import MANIFEST
from stabsearch.errors import UserError
from stabsearch.forensics.replay import Options, Verdict, replay
from stabsearch.trial.rerun import Rerun


@pytest.mark.parametrize("name", list(CASES))
def test_the_trial_broke_as_it_was_meant_to(captured: Captured, name: str) -> None:
    """Otherwise the tests below prove nothing about it."""
    record = captured.records[name]
    assert (record.outcome, record.cause) == (CASES[name].outcome, CASES[name].cause), record.message
    assert record.bundle


@pytest.mark.parametrize("name", list(CASES))
def test_another_process_comes_to_the_same_bits(captured: Captured, name: str) -> None:
    """Losses, outputs and every gradient, or the same error; nothing in the environment differs."""
    said = captured.said[name]
    assert said.code == 0, said.err
    assert said.data["verdict"] == "bit-exact", said.data
    assert said.data["notes"] == []
    assert said.data["origin"] is not None
    assert said.data["captured"]["cause"] == CASES[name].cause.value


@pytest.mark.parametrize("name", ["fp32", "label smoothing", "gradient", "label out of range", "scale floor"])
def test_this_process_does_so_too(captured: Captured, name: str) -> None:
    """And keeps its threads, random numbers and settings."""
    torch.manual_seed(7)
    before = torch.get_rng_state()
    torch.set_num_threads(2)
    found = replay(read_bundle(captured.bundles[name]), Options(trust_code=True))
    assert found.verdict is Verdict.BIT_EXACT
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def changed(captured: Captured, name: str) -> tuple[int, str]:
    said = captured.said[name]
    return said.code, said.data["verdict"]


def test_an_overflow_of_half_precision_is_gone_in_another(captured: Captured) -> None:
    """Exit code 1: the failure did not come back."""
    assert changed(captured, "fp16 in bf16") == (1, "not reproduced")
    assert changed(captured, "fp16 in fp32") == (1, "not reproduced")
    replayed = captured.said["fp16 in bf16"].data["replayed"]
    assert replayed["precision"] == "bf16"
    assert all(isinstance(loss, float) for loss in replayed["losses"])
    assert captured.said["fp16 in bf16"].data["origin"] is None


def test_pure_half_precision_comes_back_in_its_own_dtype(captured: Captured) -> None:
    """Weights are stored and run as they were trained; another precision takes a copy in its own."""
    bundle = read_bundle(captured.bundles["bf16-pure"])
    assert bundle.manifest.numerics.precision == "bf16-pure"
    for which in ("captured", "initial"):
        assert {value.dtype for value in bundle.weights(which).values() if value.is_floating_point()} == {
            torch.bfloat16
        }
    found = captured.said["bf16-pure in fp32"].data
    assert (found["verdict"], found["replayed"]["precision"]) == ("reproduced", "fp32")
    assert changed(captured, "bf16-pure on initial weights") == (1, "not reproduced")
    as_captured, same = (replay(bundle, Options(precision=name)) for name in (None, "bf16-pure"))
    assert as_captured.seen.digest == same.seen.digest
    assert as_captured.seen.digest.outputs != replay(bundle, Options(precision="fp32")).seen.digest.outputs


def test_initial_weights_tell_data_from_training(captured: Captured) -> None:
    """What training did is not there yet; a poisoned row is."""
    assert changed(captured, "initial weights") == (1, "not reproduced")
    assert changed(captured, "poisoned on initial weights") == (0, "reproduced")
    assert changed(captured, "initial weights in bf16") == (0, "reproduced")


def test_the_guilty_row_alone_is_bad_again(captured: Captured) -> None:
    """By its number in the training data; the answer speaks of the captured batch, not of the part."""
    assert changed(captured, "the guilty row") == (0, "reproduced")
    assert changed(captured, "an error's row") == (0, "reproduced")
    assert len(captured.said["an error's row"].data["replayed"]["losses"]) == 0


@pytest.mark.parametrize("name", ["label out of range", "token out of range", "statistics", "gradient"])
def test_guilty_rows_are_named(captured: Captured, name: str) -> None:
    """In the record, in the bundle and in the replay: the row that was planted."""
    assert captured.records[name].suspect_rows == (13,)
    rows = captured.said[name].data["rows"]
    assert (rows["suspects"], rows["is_specific"]) == ([13], True)
    window = read_bundle(captured.bundles[name]).manifest.window
    assert any(13 in (micro.rows or ()) for micro in window)


def test_rows_keep_their_places_when_only_some_are_run(captured: Captured) -> None:
    """Suspects are given by their place in the whole batch, in the micro-batch they came from."""
    bundle = read_bundle(captured.bundles["gradient"])
    number, micro = next(
        (i, each) for i, each in enumerate(bundle.manifest.window) if 13 in (each.rows or ())
    )
    assert micro.rows is not None
    assert 0 < micro.rows.index(13) < len(micro.rows) - 1, "in the middle, so that places differ"
    found = replay(bundle, Options(rows=(13, micro.rows[-1]), trust_code=True))
    assert found.verdict is Verdict.REPRODUCED
    assert found.suspects.micro_batch == number
    assert found.suspects.places == (micro.rows.index(13),)
    innocent = replay(bundle, Options(rows=micro.rows[:1] + micro.rows[-1:], trust_code=True))
    assert innocent.verdict is Verdict.NOT_REPRODUCED
    with pytest.raises(UserError, match="row 99 is not in this bundle"):
        replay(bundle, Options(rows=(99,), trust_code=True))


@pytest.mark.parametrize("options", [{"precision": "int8"}, {"device": "tpu"}])
def test_options_that_nobody_knows(captured: Captured, options: dict[str, Any]) -> None:
    """The message names what is known."""
    with pytest.raises(UserError, match=r"unknown .* \(known: "):
        replay(read_bundle(captured.bundles["fp32"]), Options(**options))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there(captured: Captured) -> None:
    """Asked for, it is an error; where it was captured on one, the CPU has to do, and that is said."""
    bundle = read_bundle(captured.bundles["fp32"])
    with pytest.raises(UserError, match="this machine shows no CUDA device"):
        replay(bundle, Options(device="cuda"))
    data = bundle.manifest
    elsewhere = type(bundle)(bundle.folder, replace(data, numerics=replace(data.numerics, device="cuda")))
    found = replay(elsewhere, Options(trust_code=True))
    assert found.device == "cpu"
    assert "on cpu, captured on cuda" in found.caveats


def test_what_differs_here_is_said(captured: Captured) -> None:
    """Other versions, another processor, hooks that are not stored."""
    bundle = read_bundle(captured.bundles["fp32"])
    data = bundle.manifest
    other = replace(
        data,
        machine={**data.machine, "torch": "1.0", "transformers": "4.0"},
        numerics=replace(data.numerics, cpu_capability="SSE"),
        model=replace(data.model, hooked=("bert.pooler",)),
    )
    caveats = replay(type(bundle)(bundle.folder, other)).caveats
    assert caveats[0].startswith("torch ")
    assert caveats[0].endswith("here, 1.0 where it was captured")
    assert caveats[1].endswith("here, 4.0 where it was captured")
    assert caveats[2].endswith("captured with SSE")
    assert caveats[3] == "the model carried hooks that are not stored: bert.pooler"


def test_another_error_is_not_the_failure(captured: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that cannot even be run here must not pass for a reproduced NaN, nor for another error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no such kernel\non this machine")

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", refuse)
    for name in ("fp32", "label out of range"):
        found = replay(read_bundle(captured.bundles[name]))
        assert found.verdict is Verdict.NOT_REPRODUCED
        assert found.seen.error == "RuntimeError: no such kernel"
    found = replay(read_bundle(captured.bundles["fp32"]))
    assert "here the step raised RuntimeError: no such kernel" in found.caveats


def test_every_run_starts_from_the_stored_statistics(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Narrowing and localising come after many forwards; none may see what an earlier one left."""
    seen: list[Any] = []
    original = Rerun.seen

    def note(self: Rerun, model: Any, *rest: Any, **named: Any) -> Any:
        seen.append(model.scale.clone())
        return original(self, model, *rest, **named)

    monkeypatch.setattr(Rerun, "seen", note)
    replay(read_bundle(captured.bundles["statistics"]), Options(trust_code=True))
    assert len(seen) > 3
    assert all(torch.equal(scale, seen[0]) for scale in seen)
    assert not torch.equal(seen[0], torch.ones(6)), "training had moved them"


def test_initial_weights_go_with_initial_statistics(captured: Captured) -> None:
    """What the bundle holds of later ones is not mixed in."""
    bundle = read_bundle(captured.bundles["statistics"])
    assert all(micro.buffers for micro in bundle.manifest.window)
    bare = tuple(replace(micro, buffers={}) for micro in bundle.manifest.window)
    options = Options(weights="initial", trust_code=True)
    without = replay(type(bundle)(bundle.folder, replace(bundle.manifest, window=bare)), options)
    assert replay(bundle, options).seen.digest == without.seen.digest


def test_deterministic_algorithms_are_set_as_captured(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And set back afterwards."""
    settings: list[tuple[bool, int]] = []
    original = Rerun.seen

    def note(self: Rerun, *rest: Any, **named: Any) -> Any:
        settings.append((torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()))
        return original(self, *rest, **named)

    monkeypatch.setattr(Rerun, "seen", note)
    bundle = read_bundle(captured.bundles["fp32"])
    numerics = replace(bundle.manifest.numerics, deterministic_algorithms=True, num_threads=2)
    replay(type(bundle)(bundle.folder, replace(bundle.manifest, numerics=numerics)))
    assert set(settings) == {(True, 2)}
    assert not torch.are_deterministic_algorithms_enabled()


def test_models_of_the_library_need_no_trust(captured: Captured) -> None:
    """Classes of torch and Transformers are installed and known."""
    assert replay(read_bundle(captured.bundles["t5"])).verdict is Verdict.BIT_EXACT


@pytest.mark.parametrize(
    ("file", "part"), [(BATCH, ".rng.cpu"), (WEIGHTS, "head.bias"), (BATCH, ".buffer.scale")]
)
def test_a_bundle_that_was_tampered_with_is_not_bit_exact(
    captured: Captured, tmp_path: Path, file: str, part: str
) -> None:
    """Checksums put right, still bad: other random numbers, weights or statistics show in the bits."""
    folder = shutil.copytree(captured.bundles["statistics"], tmp_path / "copy")
    tensors = load_file(folder / file)
    name = next(name for name in tensors if name.endswith(part))
    torch.manual_seed(12345)
    tensors[name] = torch.get_rng_state() if part == ".rng.cpu" else tensors[name] + 1e-3
    save_file(tensors, folder / file)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert replay(read_bundle(folder), Options(trust_code=True)).verdict is Verdict.REPRODUCED
