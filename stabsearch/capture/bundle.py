"""A bundle: the folder that holds one first bad batch, written at once and read with suspicion."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stabsearch.capture.manifest import MANIFEST, Manifest, MicroBatchRef, read_manifest
from stabsearch.capture.micro_batch import MicroBatch, RngState
from stabsearch.capture.tree import put_together
from stabsearch.errors import UserError
from stabsearch.records.plain_json import MAX_BYTES

WEIGHTS, INITIAL, BATCH = "weights.safetensors", "initial.safetensors", "batch.safetensors"
FILES = frozenset({WEIGHTS, INITIAL, BATCH})
_CHUNK = 1 << 20


def write_bundle(folder: Path, manifest: Manifest, tensors: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Write a bundle so that a reader sees all of it or nothing.

    Args:
        folder: does not exist yet.
        manifest: everything but the tensors; its ``files`` are filled in here.
        tensors: file name -> tensors by name.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for name, held in tensors.items():
            save_file(_separate(held), part / name)
        files = {name: _sha256(part / name) for name in tensors}
        (part / MANIFEST).write_text(replace(manifest, files=files).to_text(), encoding="utf-8")
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


@dataclass(frozen=True)
class Bundle:
    """A bundle that was found whole."""

    folder: Path
    manifest: Manifest

    @property
    def holds_initial_weights(self) -> bool:
        """True when the weights from before the training are in it too."""
        return INITIAL in self.manifest.files

    def weights(self, which: str = "captured") -> dict[str, torch.Tensor]:
        """Return every parameter and buffer, on the CPU.

        Args:
            which: ``captured`` (before the bad step) or ``initial`` (before the training).

        Raises:
            UserError: the bundle holds no initial weights.
        """
        if which == "initial" and not self.holds_initial_weights:
            raise UserError(f"{self.folder} holds no initial weights: a watched training keeps none",
                            "replay it with --weights captured")  # fmt: skip
        return _tensors(self.folder / (INITIAL if which == "initial" else WEIGHTS))

    def window(self) -> tuple[MicroBatch, ...]:
        """Return the micro-batches of the step, up to the bad one.

        Raises:
            UserError: an input was not storable, or the structure does not fit the tensors.
        """
        if self.manifest.unstorable:
            name, kind = next(iter(self.manifest.unstorable.items()))
            raise UserError(f"input {name!r} was a {kind}: neither a tensor nor plain data, and not stored",
                            "let the collator return tensors, numbers, text or lists of them")  # fmt: skip
        tensors = _tensors(self.folder / BATCH)
        try:
            return tuple(_micro_batch(each, tensors) for each in self.manifest.window)
        except ValueError as error:
            raise _damaged(self.folder / MANIFEST, str(error)) from None


def read_bundle(folder: Path) -> Bundle:
    """Return a bundle after a look at every file of it; nothing is unpickled or run.

    Raises:
        UserError: no bundle there, another version's, a file that is missing, truncated or changed.
    """
    path = folder / MANIFEST
    try:
        manifest = read_manifest(_text(path), str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"no bundle at {folder}: {MANIFEST} is missing",
                        "give a folder such as runs/<name>/bad_batches/0007") from None  # fmt: skip
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}", "capture it again") from None
    if len(manifest.files) > len(FILES):
        raise _damaged(path, f"it lists {len(manifest.files)} files")
    for name, digest in manifest.files.items():
        file = folder / name
        if name not in FILES:  # nothing outside of the folder is ever opened
            raise _damaged(path, f"it lists {name[:60]!r}, which no bundle has")
        if not file.is_file():
            raise _damaged(file, "it is missing")
        if _sha256(file) != digest:
            raise _damaged(file, "its checksum differs from the one in bundle.json")
    for name in (WEIGHTS, BATCH):
        if name not in manifest.files:
            raise _damaged(path, f"it lists no {name}")
    return Bundle(folder, manifest)


def _text(path: Path) -> str:
    """Return a manifest's text.

    Raises:
        OSError: it is not there, or no plain file of a size that a manifest may have.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
        raise OSError("not a plain file")
    if path.stat().st_size > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8")


def _separate(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors in memory of their own, as far as they share some: safetensors refuses that."""
    found: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        is_shared = storage in storages or tensor.untyped_storage().nbytes() != tensor.nbytes
        found[name] = (
            tensor.clone(memory_format=torch.contiguous_format) if is_shared else tensor.contiguous()
        )
        storages.add(storage)
    return found


def _micro_batch(ref: MicroBatchRef, tensors: Mapping[str, torch.Tensor]) -> MicroBatch:
    """Return a micro-batch.

    Raises:
        ValueError: a tensor is missing, or the structure or a random state is not one of ours.
    """
    inputs = put_together(dict(ref.inputs), tensors)
    if not isinstance(inputs, dict):
        raise ValueError("the inputs are not named")
    return MicroBatch(
        inputs=inputs,
        rng=_rng(ref, tensors),
        buffers={name: put_together({"tensor": tensor}, tensors) for name, tensor in ref.buffers.items()},
        num_items=put_together(dict(ref.num_items), tensors),
        rows=ref.rows,
        number=ref.number,
    )


def _rng(ref: MicroBatchRef, tensors: Mapping[str, torch.Tensor]) -> RngState:
    states = {name: put_together({"tensor": tensor}, tensors) for name, tensor in ref.rng.items()}
    try:
        torch.Generator().set_state(states["cpu"])
    except (RuntimeError, TypeError):
        raise ValueError(f"{ref.rng['cpu']} is no state of torch's random generator") from None
    return RngState(
        states["cpu"], {int(name.partition(":")[2]): state for name, state in states.items() if name != "cpu"}
    )


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error).partition("\n")[0]) from None


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged: {why}", "copy the bundle again, whole, or capture it again")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
