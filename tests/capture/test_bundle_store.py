"""All bundles of a sweep: one per kind of failure, within a budget, whoever writes and when."""

import multiprocessing
from pathlib import Path

import pytest
from bundle_samples import manifest, tensors, written
from store_workers import race, write_and_be_killed

from stabsearch.capture.bundle import read_bundle, write_bundle
from stabsearch.capture.manifest import MANIFEST
from stabsearch.capture.store import BundleStore, Kept

SIZE = 10_000


def kept(folder: Path, name: str, signature: str, budget: int = 10**9, size: int = SIZE) -> Kept:
    """Return what becomes of one more bundle."""

    def write(place: Path) -> None:
        write_bundle(place, manifest(signature=signature), tensors())

    return BundleStore(folder, budget).keep(name, signature, size, write)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_one_bundle_per_signature(tmp_path: Path) -> None:
    """The second failure of a kind is told where the first is; another kind gets its own."""
    first, again, other = (kept(tmp_path, *each) for each in (("0001", "a"), ("0002", "a"), ("0003", "b")))
    assert first == Kept(tmp_path / "0001")
    assert again == Kept(tmp_path / "0001", "the same failure is kept in 0001")
    assert other == Kept(tmp_path / "0003")
    assert names(tmp_path) == ["0001", "0003"]
    assert BundleStore(tmp_path, 1).find("b") == tmp_path / "0003"
    assert BundleStore(tmp_path, 1).find("c") is None


def test_switched_off(tmp_path: Path) -> None:
    """With a budget of 0 not even a folder is made."""
    assert kept(tmp_path / "new", "0001", "a", budget=0) == Kept(None, "bundles are switched off")
    assert not (tmp_path / "new").exists()


def test_the_budget_holds_for_all_together(tmp_path: Path) -> None:
    """What is there counts; a bundle that does not fit is not written, and that is said."""
    kept(tmp_path, "0001", "a")
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    late = kept(tmp_path, "0002", "b", budget=taken + SIZE - 1)
    assert late.folder is None
    assert late.note.startswith("a bundle of 0.0 MiB does not fit the 0.0 MiB that are left")
    assert names(tmp_path) == ["0001"]
    assert kept(tmp_path, "0002", "b", budget=taken + SIZE).folder == tmp_path / "0002"
    assert kept(tmp_path, "0003", "a", budget=1).folder == tmp_path / "0001", "known, whatever is left"


def test_a_full_disk_counts_as_no_budget(tmp_path: Path) -> None:
    """No budget is larger than the disk."""
    assert kept(tmp_path, "0001", "a", budget=2**70, size=2**60).folder is None


def test_another_failure_of_the_same_name_is_not_taken_for_it(tmp_path: Path) -> None:
    """A trial's number, or a watched run's step, can come again with another failure."""
    kept(tmp_path, "0001", "a")
    assert kept(tmp_path, "0001", "b") == Kept(tmp_path / "0001-2")
    assert kept(tmp_path, "0001", "c") == Kept(tmp_path / "0001-3")
    assert read_bundle(tmp_path / "0001-2").manifest.signature == "b"


@pytest.mark.parametrize("text", ["", "[]", "{}", '"text"', '{"signature": ["a"]}', "\x00"])
def test_damaged_neighbours_are_ignored(tmp_path: Path, text: str) -> None:
    """A damaged bundle keeps nothing: the failure is written again, beside it."""
    (tmp_path / "0001").mkdir()
    (tmp_path / "0001" / MANIFEST).write_text(text)
    (tmp_path / "stray").write_text("a file")
    assert kept(tmp_path, "0001", "a") == Kept(tmp_path / "0001-2")


def test_what_a_killed_writer_left_is_cleaned_away(tmp_path: Path) -> None:
    """Half a bundle is of no use, and its bytes would count for ever."""
    left = tmp_path / ".0009.part"
    left.mkdir()
    (left / "weights.safetensors").write_bytes(b"x" * 1000)
    kept(tmp_path, "0001", "a")
    assert names(tmp_path) == ["0001"]


def test_a_failed_write_is_raised_and_nothing_is_kept(tmp_path: Path) -> None:
    """The next one of the kind has its chance."""

    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        BundleStore(tmp_path, 10**9).keep("0001", "a", SIZE, fail)
    assert kept(tmp_path, "0002", "a").folder == tmp_path / "0002"


def test_processes_that_fail_at_once_write_one_bundle(tmp_path: Path) -> None:
    """After a writer that was killed with the lock in its hand, two at the same moment: one writes."""
    context = multiprocessing.get_context("spawn")
    killed = context.Process(target=write_and_be_killed, args=(tmp_path,))
    killed.start()
    killed.join()
    assert (tmp_path / ".0001.part").exists()
    barrier, told = context.Barrier(2), context.Queue()
    workers = [context.Process(target=race, args=(tmp_path, barrier, told, number)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    folders = {told.get(timeout=120) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(folders) == 1
    assert [str(tmp_path / name) for name in names(tmp_path)] == list(folders)


def test_looking_for_a_signature_reads_manifests_only(tmp_path: Path) -> None:
    """Whether a bundle is whole is asked when it is replayed."""
    folder = written(tmp_path / "0001", signature="a")
    (folder / "weights.safetensors").unlink()
    assert BundleStore(tmp_path, 1).find("a") == folder
    assert kept(tmp_path, "0002", "a").folder == folder
