"""Rows from Arrow files, from folders that ``datasets`` saved, and from folders of a Hub layout."""

from __future__ import annotations

from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pytest

from stabsearch.config import HubData, LocalData
from stabsearch.errors import UserError
from stabsearch.task.rows import read_rows

ROWS = {"tokens": [["a", "b"], ["c"]], "tags": [[0, 1], [1]], "text": ["007", "NA"]}
OTHER = {"tokens": [["d"]], "tags": [[1]], "text": ["x"]}


def plain(frame: pd.DataFrame) -> dict[str, list[object]]:
    """Return the columns of a table as lists."""
    return {
        str(name): [value if isinstance(value, str) else list(value) for value in frame[name]]
        for name in frame
    }


def test_a_saved_data_set(tmp_path: Path) -> None:
    """Its lists are lists, its texts are texts; rows that were picked are those."""
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "one")
    assert plain(read_rows(HubData(path=str(tmp_path / "one")))) == ROWS
    datasets.Dataset.from_dict(ROWS).select([1]).save_to_disk(tmp_path / "picked")
    assert read_rows(HubData(path=str(tmp_path / "picked")))["text"].tolist() == ["NA"]


def test_a_saved_data_set_with_splits(tmp_path: Path) -> None:
    """The rows are those of the split that the sweep names."""
    both = {"train": datasets.Dataset.from_dict(ROWS), "test": datasets.Dataset.from_dict(OTHER)}
    datasets.DatasetDict(both).save_to_disk(tmp_path / "both")
    assert plain(read_rows(HubData(path=str(tmp_path / "both")))) == ROWS
    assert plain(read_rows(HubData(path=str(tmp_path / "both"), split="test"))) == OTHER


def test_a_split_that_was_not_saved(tmp_path: Path) -> None:
    """The error names those that there are; one table has none."""
    one = datasets.Dataset.from_dict(ROWS)
    datasets.DatasetDict({"fit": one, "test": one}).save_to_disk(tmp_path / "both")
    one.save_to_disk(tmp_path / "one")
    with pytest.raises(UserError, match=r"no split 'train' .*\(splits: fit, test\)") as raised:
        read_rows(HubData(path=str(tmp_path / "both")))
    assert raised.value.key == ("task", "data", "split")
    with pytest.raises(UserError, match=r"no split 'test' .*one table, without splits"):
        read_rows(HubData(path=str(tmp_path / "one"), split="test"))


@pytest.mark.parametrize(
    ("split", "texts"),
    [
        ("train[1:]", ["NA"]),
        ("train[:50%]", ["007"]),
        ("train[-1:]+test", ["NA", "x"]),
        ("test+train[:1]", ["x", "007"]),
    ],
)
def test_parts_of_splits(tmp_path: Path, split: str, texts: list[str]) -> None:
    """In the words that the Hub's data sets understand."""
    both = {"train": datasets.Dataset.from_dict(ROWS), "test": datasets.Dataset.from_dict(OTHER)}
    datasets.DatasetDict(both).save_to_disk(tmp_path / "both")
    assert read_rows(HubData(path=str(tmp_path / "both"), split=split))["text"].tolist() == texts


def test_a_part_of_one_table(tmp_path: Path) -> None:
    """It counts as the split train; what makes no sense is said with its reason."""
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "one")
    assert read_rows(HubData(path=str(tmp_path / "one"), split="train[1:]"))["text"].tolist() == ["NA"]
    for wrong in ("train[:150%]", "train[a:]", "train[[1]"):
        with pytest.raises(UserError, match=r"no split .*one table, without splits"):
            read_rows(HubData(path=str(tmp_path / "one"), split=wrong))


def test_a_saved_data_set_with_a_file_missing(tmp_path: Path) -> None:
    """It is said which data set, and why."""
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "one")
    next((tmp_path / "one").glob("*.arrow")).unlink()
    with pytest.raises(UserError, match="cannot load the saved data set") as raised:
        read_rows(HubData(path=str(tmp_path / "one")))
    assert raised.value.key == ("task", "data", "path")


def test_an_arrow_file(tmp_path: Path) -> None:
    """As ``datasets`` writes it, a stream, or with an index at its end."""
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "one")
    [stream] = (tmp_path / "one").glob("*.arrow")
    table = pa.table(ROWS)
    indexed = tmp_path / "indexed.arrow"
    with pa.OSFile(str(indexed), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    for path in (stream, indexed):
        assert plain(read_rows(LocalData(train=str(path)))) == ROWS


@pytest.mark.parametrize("content", [b"", b"text,label\n"])
def test_a_file_that_is_no_arrow(tmp_path: Path, content: bytes) -> None:
    """Its ending is a promise that it does not keep."""
    path = tmp_path / "rows.arrow"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read ") as raised:
        read_rows(LocalData(train=str(path)))
    assert raised.value.hint == "is it really .arrow?"


def test_a_folder_of_a_hub_layout_keeps_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file per split, as repositories on the Hub hold them."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "repository" / "data").mkdir(parents=True)
    for split, rows in {"train": ROWS, "test": OTHER}.items():
        pd.DataFrame(rows).to_parquet(tmp_path / "repository" / "data" / f"{split}-00000-of-00001.parquet")
    frame = read_rows(HubData(path=str(tmp_path / "repository")))
    assert plain(frame) == ROWS
    assert plain(read_rows(HubData(path=str(tmp_path / "repository"), split="test"))) == OTHER
