"""Rows from local files and data set folders, with nothing converted on the way."""

import json
from pathlib import Path

import pandas as pd
import pytest

from stabsearch.config import HubData, LocalData
from stabsearch.errors import UserError
from stabsearch.task.rows import read_rows, texts

ROWS = [
    {"text": '"no, he said', "label": "0"},
    {"text": "007", "label": "1"},
    {"text": "NA", "label": "0"},
    {"text": "1.50", "label": "1"},
]


def written(folder: Path, ending: str) -> Path:
    """Return a file that holds ``ROWS``."""
    path = folder / f"rows{ending}"
    frame = pd.DataFrame(ROWS)
    if ending == ".tsv":
        path.write_text("text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in ROWS))
    elif ending == ".csv":
        frame.to_csv(path, index=False)
    elif ending == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=ending == ".jsonl")
    return path


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl", ".json", ".parquet"])
def test_every_format_gives_the_same_texts(tmp_path: Path, ending: str) -> None:
    """A quote in a TSV is a quote, 007 is not 7, NA is a text, and 1.50 stays 1.50."""
    frame = read_rows(LocalData(train=str(written(tmp_path, ending))))
    assert texts(frame, "text", "text") == [row["text"] for row in ROWS]
    assert frame["label"].astype(str).tolist() == ["0", "1", "0", "1"]


def test_json_dates_stay_texts(tmp_path: Path) -> None:
    """Columns that are named like dates are not read as dates."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"created_at": "1600000000", "label": 0}\n{"created_at": "1700000000", "label": 1}\n')
    assert texts(read_rows(LocalData(train=str(path))), "created_at", "text") == ["1600000000", "1700000000"]


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("rows.xlsx", "x", "cannot read rows.xlsx: the ending tells the format", "use .tsv, .csv"),
        ("rows", "x", "cannot read rows: the ending tells the format", "use .tsv, .csv"),
        ("rows.tsv", "", "No columns to parse from file", "is it really .tsv?"),
        ("rows.jsonl", "", "the training data has no rows", ""),
        ("rows.csv", "text,label\n", "the training data has no rows", ""),
        ("rows.jsonl", "text,label\n", "cannot read ", "is it really .jsonl?"),
        ("rows.parquet", "text,label\n", "cannot read ", "is it really .parquet?"),
    ],
)
def test_files_that_hold_no_rows_are_refused(
    tmp_path: Path, name: str, content: str, message: str, hint: str
) -> None:
    """Wrong ending, empty file, other format: one line on what was seen, one on the way out."""
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError) as raised:
        read_rows(LocalData(train=str(path)))
    assert message in raised.value.message
    assert raised.value.hint.startswith(hint)
    assert raised.value.key[:2] == ("task", "data")
    assert "\n" not in raised.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(UserError, match=r"no such file: .*absent\.tsv"):
        read_rows(LocalData(train=str(tmp_path / "absent.tsv")))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder with the right ending is refused like any other file that cannot be read."""
    (tmp_path / "rows.tsv").mkdir()
    with pytest.raises(UserError, match="cannot read"):
        read_rows(LocalData(train=str(tmp_path / "rows.tsv")))


def test_a_missing_column_names_those_that_are_there(tmp_path: Path) -> None:
    """The user sees what the file holds."""
    frame = read_rows(LocalData(train=str(written(tmp_path, ".tsv"))))
    with pytest.raises(UserError) as raised:
        texts(frame, "sentence", "text")
    assert raised.value.message == "no column 'sentence' in the training data (columns: text, label)"
    assert raised.value.hint == "name the right column as task.text"
    assert raised.value.key == ("task", "text")


def test_a_missing_text_is_not_the_word_none(tmp_path: Path) -> None:
    """A row without a text would be trained on as ``nan``."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": 0}) + "\n" for text in ("a", None, "")))
    with pytest.raises(UserError) as raised:
        texts(read_rows(LocalData(train=str(path))), "text", "text")
    assert raised.value.message == "text column 'text' is missing in 1 rows, first in row 1"


@pytest.fixture
def dataset_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder laid out like a data set's repository on the Hub."""
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "films"
    (folder / "data").mkdir(parents=True)
    frame = pd.DataFrame(ROWS)
    frame.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    frame.head(1).to_parquet(folder / "data" / "validation-00000-of-00001.parquet")
    return folder


def test_a_data_set_folder_is_read_by_split(dataset_folder: Path) -> None:
    """A local folder with a repository's layout is a data set like one on the Hub."""
    frame = read_rows(HubData(path=str(dataset_folder)))
    assert texts(frame, "text", "text") == [row["text"] for row in ROWS]
    assert len(read_rows(HubData(path=str(dataset_folder), split="validation"))) == 1


@pytest.mark.parametrize("changes", [{"split": "tset"}, {"name": "nope"}])
def test_a_split_or_configuration_that_is_not_there(dataset_folder: Path, changes: dict[str, str]) -> None:
    """The error says which data set, and what to look at."""
    with pytest.raises(UserError, match="cannot load data set") as raised:
        read_rows(HubData(path=str(dataset_folder), **changes))
    assert raised.value.hint.startswith("check id, name and split")
    assert raised.value.key == ("task", "data", "path")


def test_a_damaged_data_set_is_an_error_and_no_traceback(dataset_folder: Path) -> None:
    """What the data set library raises for a broken file is turned into one line."""
    (dataset_folder / "data" / "train-00000-of-00001.parquet").write_text("broken")
    with pytest.raises(UserError, match="cannot load data set") as raised:
        read_rows(HubData(path=str(dataset_folder)))
    assert "\n" not in raised.value.message


def test_a_folder_without_data(tmp_path: Path) -> None:
    """An empty folder is no data set."""
    pytest.importorskip("datasets")
    with pytest.raises(UserError, match="cannot load data set"):
        read_rows(HubData(path=str(tmp_path)))
