"""A folder of the user's as one archive, the same bytes for the same files."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from stabsearch.errors import UserError

MAX_BYTES = 100 * 2**20 - 4096
"""Ray's job server takes a request of 100 MiB, whatever the cluster's memory."""
MAX_FILES = 20_000  # chosen: nobody's own code; a home folder or a data set of single files
MAX_UNPACKED_BYTES = 2 * 2**30  # chosen: nothing of that size ends below 100 MiB
NEVER = ("__pycache__", "*.pyc", "node_modules", "mlruns", "wandb", "mlflow.db")
"""Left out, beside everything hidden (``.git``, ``.venv``, ``.env``), environments and results of sweeps."""
MARKERS = ("pyvenv.cfg", "sweep.resolved.yaml")
"""A folder that holds one is a virtual environment, or a sweep's results."""
EPOCH = (1980, 1, 1, 0, 0, 0)
_HINT = (
    "--exclude PATTERN leaves files out; large data belongs on the cluster's storage, under an absolute path"
)


@dataclass(frozen=True)
class Packed:
    """What is sent of a folder."""

    root: Path
    sizes: dict[PurePosixPath, int]
    """Relative path of each file -> its bytes."""

    @classmethod
    def of(cls, root: Path, excludes: Sequence[str] = ()) -> Packed:
        """Return what of a folder is to be sent; symbolic links are followed.

        Args:
            root: the folder.
            excludes: patterns of file and folder names, or of paths relative to the folder.

        Raises:
            UserError: it holds more than anybody's code.
        """
        sizes: dict[PurePosixPath, int] = {}
        total = 0
        for name, path in _files(root, (*NEVER, *excludes)):
            sizes[name] = path.stat().st_size
            total += sizes[name]
            if len(sizes) > MAX_FILES or total > MAX_UNPACKED_BYTES:
                seen = f"more than {MAX_FILES:,} files" if len(sizes) > MAX_FILES else "more than 2 GiB"
                raise UserError(f"{root} holds {seen}, too much to send to a cluster", _hint(sizes))
        return cls(root, dict(sorted(sizes.items())))

    def holds(self, path: Path) -> bool:
        """Return whether a file or folder below the root is sent, or at least something in the folder."""
        name = PurePosixPath(path.relative_to(self.root.resolve()).as_posix())
        return any(name == other or name in other.parents for other in self.sizes)

    def write(self, target: Path, made: Mapping[PurePosixPath, bytes]) -> None:
        """Write the archive.

        Args:
            target: its path.
            made: relative path -> what stands there beside the folder's files, or instead of one.

        Raises:
            UserError: it is larger than Ray takes, or a file cannot be read or named.
        """
        for name in self.sizes:
            _check_name(name)
        with zipfile.ZipFile(target, "w") as archive:
            for name in sorted({*self.sizes, *made}):
                archive.writestr(_info(name), made.get(name) or self._content(name), zipfile.ZIP_DEFLATED)
        size = target.stat().st_size
        if size > MAX_BYTES:
            message = f"{self.root} is {_mib(size)} packed, and Ray's job server takes 100 MiB at most"
            raise UserError(message, _hint(self.sizes))

    def _content(self, name: PurePosixPath) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise UserError(f"{self.root / name} cannot be read: {error.strerror}", _HINT) from None


def _check_name(name: PurePosixPath) -> None:
    """Raise where a name is bytes that are no text: no archive takes it."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        message = f"the name of {str(name)!a} is no UTF-8"
        raise UserError(message, "rename it, or leave it out by --exclude") from None


def _info(name: PurePosixPath) -> zipfile.ZipInfo:
    """Return a file's entry: the same for the same file, whenever it was written."""
    info = zipfile.ZipInfo(str(name), EPOCH)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _files(root: Path, excludes: Sequence[str]) -> Iterator[tuple[PurePosixPath, Path]]:
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        name = PurePosixPath(here.relative_to(root).as_posix())
        if name.parts and any(marker in files for marker in MARKERS):
            folders.clear()
            continue
        kept = [each for each in folders if not _is_left_out(name / each, excludes)]
        folders[:] = [each for each in kept if not _leads_back(here / each, root)]
        for each in files:
            if (here / each).is_file() and not _is_left_out(name / each, excludes):
                yield name / each, here / each


def _leads_back(folder: Path, root: Path) -> bool:
    """Return whether a link points to a folder around it, on the way that led here."""
    if not folder.is_symlink():
        return False
    above = [parent.resolve() for parent in folder.parents if parent == root or root in parent.parents]
    return any(parent.is_relative_to(folder.resolve()) for parent in above)


def _is_left_out(name: PurePosixPath, excludes: Sequence[str]) -> bool:
    if name.name.startswith("."):
        return True
    return any(fnmatch(name.name, pattern) or fnmatch(str(name), pattern.rstrip("/")) for pattern in excludes)


def _hint(sizes: Mapping[PurePosixPath, int]) -> str:
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    shown = ", ".join(f"{name} {_mib(sizes[name])}" for name in largest)
    return f"largest: {shown}; {_HINT}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
