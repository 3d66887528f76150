"""What of a folder is sent to a cluster."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from stabsearch.driver import package
from stabsearch.driver.package import Packed
from stabsearch.errors import UserError


def written(folder: Path, *names: str) -> Path:
    """Write files with their names as content."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def names(packed: Packed) -> list[str]:
    return [str(name) for name in packed.sizes]


def archived(packed: Packed, target: Path, made: dict[PurePosixPath, bytes] | None = None) -> bytes:
    packed.write(target, made or {})
    return target.read_bytes()


def test_code_and_data_are_sent_and_nothing_else(tmp_path: Path) -> None:
    """Secrets in hidden files, histories, environments and results stay here."""
    kept = ("sweep.yaml", "mine.py", "data/train.tsv", "data/deep/er/dev.tsv")
    left = (
        ".env", ".git/config", ".netrc", "sub/.secrets/key", "__pycache__/mine.pyc", "mine.pyc", "mlflow.db",
        "env/pyvenv.cfg", "env/lib/torch.py", "runs/tiny/sweep.resolved.yaml", "runs/tiny/study.journal",
        "node_modules/x/y.js", "mlruns/0/meta.yaml",
    )  # fmt: skip
    assert names(Packed.of(written(tmp_path, *kept, *left))) == sorted(kept)


@pytest.mark.parametrize("pattern", ["*.bin", "big", "big/", "big/*", "big/weights.bin"])
def test_patterns_take_away_by_name_and_by_path(tmp_path: Path, pattern: str) -> None:
    """As people write them elsewhere."""
    written(tmp_path, "sweep.yaml", "big/weights.bin", "data/big.tsv")
    assert names(Packed.of(tmp_path, [pattern])) == ["data/big.tsv", "sweep.yaml"]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Whenever and in whatever order they were written: Ray then has them already."""
    one, other = written(tmp_path / "a", "x.py", "y.py"), written(tmp_path / "b", "y.py", "x.py")
    os.utime(other / "x.py", (1, 1))
    (other / "y.py").chmod(0o600)
    assert archived(Packed.of(one), tmp_path / "1.zip") == archived(Packed.of(other), tmp_path / "2.zip")
    (other / "y.py").write_text("changed")
    assert archived(Packed.of(one), tmp_path / "1.zip") != archived(Packed.of(other), tmp_path / "2.zip")


def test_what_was_made_stands_beside_and_instead_of_files(tmp_path: Path) -> None:
    """The start script is new, the sweep with its overrides replaces the one on disk."""
    packed = Packed.of(written(tmp_path / "a", "sweep.yaml", "x.py"))
    packed.write(tmp_path / "z.zip", {PurePosixPath("sweep.yaml"): b"new", PurePosixPath("start.sh"): b"go"})
    with zipfile.ZipFile(tmp_path / "z.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "start.sh": b"go", "sweep.yaml": b"new", "x.py": b"x.py"
        }  # fmt: skip


def test_links_are_followed_once(tmp_path: Path) -> None:
    """Data that is linked into the folder is data of it; a link to a folder around itself has no end."""
    written(tmp_path, "store/data.tsv", "a/sweep.yaml")
    (tmp_path / "a/data").symlink_to("../store")
    (tmp_path / "a/again").symlink_to("../store")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "a/gone").symlink_to("nowhere")
    (tmp_path / "store/self").symlink_to(".")
    (tmp_path / "store/back").symlink_to("../a")
    assert names(Packed.of(tmp_path / "a")) == ["again/data.tsv", "data/data.tsv", "sweep.yaml"]


def test_a_package_that_ray_would_refuse_is_refused_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the largest files, with their sizes, and both ways out."""
    written(tmp_path, "sweep.yaml")
    (tmp_path / "noise.bin").write_bytes(os.urandom(3 * 2**20))
    monkeypatch.setattr(package, "MAX_BYTES", 2 * 2**20)
    with pytest.raises(UserError, match=r"is 3\.0 MiB packed, and Ray's job server takes 100 MiB") as raised:
        Packed.of(tmp_path).write(tmp_path.parent / "z.zip", {})
    assert raised.value.hint.startswith("largest: noise.bin 3.0 MiB, sweep.yaml 0.0 MiB; --exclude PATTERN")
    assert "absolute path" in raised.value.hint


def test_a_home_folder_is_refused_before_it_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number and by size of what is found, not of what is packed."""
    written(tmp_path, *(f"{number}.txt" for number in range(9)))
    monkeypatch.setattr(package, "MAX_FILES", 5)
    with pytest.raises(UserError, match="more than 5 files"):
        Packed.of(tmp_path)
    monkeypatch.setattr(package, "MAX_FILES", 50)
    monkeypatch.setattr(package, "MAX_UNPACKED_BYTES", 20)
    with pytest.raises(UserError, match="more than 2 GiB"):
        Packed.of(tmp_path)


def test_a_folder_is_sent_when_something_in_it_is(tmp_path: Path) -> None:
    """A model folder without files, or with hidden ones only, would not be there."""
    packed = Packed.of(written(tmp_path, "model/config.json", "empty/.hidden"))
    assert packed.holds(tmp_path / "model")
    assert packed.holds(tmp_path / "model/config.json")
    assert packed.holds(tmp_path)
    assert not packed.holds(tmp_path / "empty")
    assert not packed.holds(tmp_path / "mod")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """In two lines, and so that it can be shown."""
    written(tmp_path, "sweep.yaml")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("x")
    with pytest.raises(UserError, match=r"caf.udce9\.txt' is no UTF-8"):
        archived(Packed.of(tmp_path), tmp_path / "sent.zip")
