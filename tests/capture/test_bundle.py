"""A bundle is written whole or not at all, and read with suspicion: nothing in it is ever run."""

import json
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_samples import manifest, tampered, tensors, with_file, written
from safetensors.torch import save

from stabsearch.capture import bundle as bundle_module
from stabsearch.capture.bundle import BATCH, INITIAL, WEIGHTS, read_bundle, write_bundle
from stabsearch.capture.manifest import MANIFEST, read_manifest
from stabsearch.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "0007")


def refused(folder: Path) -> str:
    """Return the two lines that reading a bundle ends with."""
    with pytest.raises(UserError) as raised:
        read_bundle(folder).window()
    text = str(raised.value)
    assert len(text.split("\n")) == 2, text
    return text


def test_everything_comes_back(folder: Path) -> None:
    """Manifest, weights and batch; the learning rate is a NaN, which JSON does not know."""
    bundle = read_bundle(folder)
    back, sent = asdict(bundle.manifest), asdict(manifest())
    assert math.isnan(back.pop("learning_rate"))
    assert math.isnan(sent.pop("learning_rate"))
    assert {*back.pop("files")} == {WEIGHTS, BATCH}
    assert back == {name: value for name, value in sent.items() if name != "files"}
    assert bundle.weights()["embedding"].tolist() == [[1, 1]] * 3
    (micro_batch,) = bundle.window()
    assert micro_batch.inputs["input_ids"].tolist() == [[1, 2]]
    assert (micro_batch.rows, micro_batch.num_items, micro_batch.number) == ((4, 2), None, 7)
    assert micro_batch.buffers["scale"].tolist() == [1, 1]
    assert torch.equal(micro_batch.rng.cpu, tensors()[BATCH]["micro0.rng.cpu"])
    assert {path.name for path in folder.iterdir()} == {MANIFEST, WEIGHTS, BATCH}


def test_the_manifest_is_strict_json(folder: Path) -> None:
    """Any program can read it: no NaN, no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads((folder / MANIFEST).read_text(), parse_constant=refuse)


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    """Weights that are slices, views or transposes of one memory; safetensors refuses them as they are."""
    flat = torch.arange(12.0)
    shared = {
        "whole": flat, "view": flat.view(3, 4), "slice": flat[2:5], "turned": flat.view(3, 4).T,
        "empty": flat[:0], "none": torch.empty(0), "one": flat[3],
    }  # fmt: skip
    write_bundle(tmp_path / "b", manifest(), {**tensors(), WEIGHTS: shared})
    back = read_bundle(tmp_path / "b").weights()
    assert all(torch.equal(back[name], value) for name, value in shared.items())


@pytest.mark.parametrize("at", ["save_file", "_sha256"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stopped"]
)
def test_a_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, error: BaseException
) -> None:
    """A full disk, or a user who is in a hurry."""
    calls = []
    original = getattr(bundle_module, at)

    def fail_the_second_time(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise error
        return original(*arguments)

    monkeypatch.setattr(bundle_module, at, fail_the_second_time)
    with pytest.raises(type(error)):
        written(tmp_path / "0007")
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_bundle_of_a_killed_writer_is_replaced(tmp_path: Path) -> None:
    """What an earlier attempt left does not get into the bundle."""
    left = tmp_path / ".0007.part"
    left.mkdir()
    (left / "junk").write_text("junk")
    written(tmp_path / "0007")
    assert [path.name for path in tmp_path.iterdir()] == ["0007"]
    assert not (tmp_path / "0007" / "junk").exists()


def test_no_bundle_there(tmp_path: Path) -> None:
    """A folder that is not there, one that is empty, and a file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("gone", "empty", "file"):
        assert refused(tmp_path / name).startswith(
            f"no bundle at {tmp_path / name}: bundle.json is missing\n  give"
        )


@pytest.mark.parametrize("name", [WEIGHTS, BATCH])
@pytest.mark.parametrize("num_bytes", [0, 4, 7, 60, -1])
def test_a_truncated_file(folder: Path, name: str, num_bytes: int) -> None:
    """A copy that stopped half-way, at any place."""
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:num_bytes])
    assert refused(folder).startswith(f"{folder / name} is damaged: its checksum differs")


@pytest.mark.parametrize("num_bytes", [0, 4, 7, 60, -1])
def test_a_truncated_file_whose_checksum_was_put_right(folder: Path, num_bytes: int) -> None:
    """The checksum is no seal: the reader of the tensors has to be as careful."""
    with_file(folder, BATCH, (folder / BATCH).read_bytes()[:num_bytes])
    assert refused(folder).startswith(f"{folder / BATCH} is damaged: ")


def test_a_flipped_bit(folder: Path) -> None:
    """One bit of one weight: still a good safetensors file."""
    path = folder / WEIGHTS
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(bytes(whole))
    assert "its checksum differs from the one in bundle.json" in refused(folder)


@pytest.mark.parametrize("name", [WEIGHTS, BATCH])
def test_a_missing_file(folder: Path, name: str) -> None:
    """Deleted, or a folder in its place, or not even listed."""
    (folder / name).unlink()
    assert refused(folder).startswith(f"{folder / name} is damaged: it is missing")
    (folder / name).mkdir()
    assert refused(folder).startswith(f"{folder / name} is damaged: it is missing")
    tampered(folder, lambda data: data["files"].pop(name))
    assert f"it lists no {name}" in refused(folder)


def test_a_bundle_without_initial_weights_says_so(folder: Path) -> None:
    """A watched training was never told that there would be a failure."""
    bundle = read_bundle(folder)
    assert not bundle.holds_initial_weights
    with pytest.raises(UserError, match="holds no initial weights"):
        bundle.weights("initial")


def test_initial_weights_are_read_from_their_own_file(tmp_path: Path) -> None:
    """Captured and initial weights are not confused."""
    write_bundle(tmp_path / "b", manifest(), {**tensors(), INITIAL: {"embedding": torch.zeros(3, 2)}})
    bundle = read_bundle(tmp_path / "b")
    assert bundle.weights("initial")["embedding"].sum() == 0
    assert bundle.weights("captured")["embedding"].sum() == 6


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "..", ".", "a/b", ""])
def test_a_file_outside_of_the_folder_is_not_read(folder: Path, name: str) -> None:
    """Names in the manifest are names, never paths."""
    (folder.parent / "outside").write_text("secret")
    tampered(folder, lambda data: data["files"].update({name: "0" * 64}))
    assert f"is damaged: it lists {name!r}, which no bundle has" in refused(folder)


class Planted:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", [WEIGHTS, BATCH])
def test_nothing_is_unpickled(folder: Path, tmp_path: Path, name: str) -> None:
    """A pickle in safetensors' clothes, checksum and all, stays what it is: bytes."""
    marker = tmp_path / "it_ran"
    assert pickle.loads(pickle.dumps(Planted(tmp_path / "control"))) is None
    assert (tmp_path / "control").exists(), "the pickle is harmless: this test proves nothing"
    with_file(folder, name, pickle.dumps(Planted(marker)))
    bundle = read_bundle(folder)
    with pytest.raises(UserError, match="is damaged"):
        bundle.weights() if name == WEIGHTS else bundle.window()
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged: Expecting value"),
        ('{"format": "stabsearch-bundle", "ver', "is damaged: Unterminated string"),
        ("[" * 100_000, "is damaged: "),
        ("[]", "describes no bundle"),
        ('{"format": "other", "version": 1}', "describes no bundle"),
        ('{"format": "stabsearch-bundle"}', "is a bundle of version None, this stabsearch reads versions 1"),
        ('{"format": "stabsearch-bundle", "version": 3}', "is a bundle of version 3, this stabsearch reads"),
        (
            '{"format": "stabsearch-bundle", "version": "1"}',
            "is a bundle of version '1', this stabsearch reads",
        ),
        ('{"format": "stabsearch-bundle", "version": 1}', "is damaged: no field bad"),
    ],
    ids=["empty", "cut", "deep", "list", "other", "no version", "newer", "text", "bare"],
)
def test_a_manifest_that_is_none(folder: Path, text: str, message: str) -> None:
    """Cut, foreign, or of another version: said in two lines."""
    (folder / MANIFEST).write_text(text)
    assert refused(folder).startswith(f"{folder / MANIFEST} {message}")


def test_a_manifest_that_is_no_text(folder: Path) -> None:
    """Bytes that are no UTF-8."""
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")
    assert refused(folder).startswith(f"cannot read {folder / MANIFEST}: ")


TAMPERINGS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unknown field": (lambda data: data.update(more=1), "unknown field more"),
    "deep unknown field": (lambda data: data["bad"].update(more=1), "unknown field bad.more"),
    "missing": (lambda data: data.pop("window"), "no field window"),
    "files a list": (lambda data: data.update(files=[]), "files is not an object"),
    "checksum a number": (lambda data: data["files"].update({WEIGHTS: 1}), "files.weights.safetensors is 1"),
    "threads a text": (lambda data: data["numerics"].update(num_threads="2"), "numerics.num_threads is '2'"),
    "no threads": (
        lambda data: data["numerics"].update(num_threads=0),
        "numerics.num_threads is out of range",
    ),
    "no scale": (lambda data: data["numerics"].update(loss_scale=0), "numerics.loss_scale is out of range"),
    "scale a NaN": (
        lambda data: data["numerics"].update(loss_scale="nan"),
        "numerics.loss_scale is out of range",
    ),
    "no steps": (lambda data: data["trainer"].update(accumulation=0), "trainer.accumulation is out of range"),
    "window an object": (lambda data: data.update(window={}), "window is not a list"),
    "rows texts": (lambda data: data["window"][0].update(rows=["1"]), r"window[0].rows[0] is '1'"),
    "no random state": (lambda data: data["window"][0].update(rng={}), "window is out of range"),
    "state missing": (lambda data: data["window"][0].update(rng={"cpu": "gone"}), "no tensor 'gone'"),
    "state no state": (
        lambda data: data["window"][0].update(rng={"cpu": "micro0.input_ids"}),
        "micro0.input_ids is no state of torch's random generator",
    ),
    "buffer missing": (lambda data: data["window"][0].update(buffers={"scale": "gone"}), "no tensor 'gone'"),
    "device no number": (
        lambda data: data["window"][0]["rng"].update({"cuda:x": "micro0.rng.cpu"}),
        "invalid literal for int",
    ),
    "inputs no mapping": (
        lambda data: data["window"][0].update(inputs={"plain": 1}),
        "the inputs are not named",
    ),
    "inputs a text": (lambda data: data["window"][0].update(inputs={"mapping": "x"}), "no mapping 'x'"),
    "tensor missing": (
        lambda data: data["window"][0].update(inputs={"mapping": {"a": {"tensor": "gone"}}}),
        "no tensor 'gone'",
    ),
}


@pytest.mark.parametrize("name", list(TAMPERINGS))
def test_a_manifest_with_a_wrong_field(folder: Path, name: str) -> None:
    """Every field is checked before anything is done with it, and the message names it."""
    change, message = TAMPERINGS[name]
    text = refused(tampered(folder, change))
    assert text.startswith(f"{folder / MANIFEST} is damaged: {message}")


def test_a_random_state_of_the_wrong_length(folder: Path) -> None:
    """Right name, right type, and still none."""
    broken = {**tensors()[BATCH], "micro0.rng.cpu": torch.zeros(16, dtype=torch.uint8)}
    assert "is no state of torch's random generator" in refused(with_file(folder, BATCH, save(broken)))


def test_an_input_that_could_not_be_stored_is_named(tmp_path: Path) -> None:
    """The bundle is there all the same: weights and the other inputs tell something."""
    bundle = read_bundle(written(tmp_path / "b", unstorable={"spans": "spacy.Span"}))
    assert bundle.weights()
    with pytest.raises(UserError, match=r"input 'spans' was a spacy\.Span: neither a tensor nor plain data"):
        bundle.window()


def test_every_field_of_a_manifest_is_read_back() -> None:
    """Whoever adds a field sees here that it survives."""
    sent = manifest(learning_rate=0.5)
    assert read_manifest(sent.to_text(), "x") == sent
