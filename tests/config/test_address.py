"""Passwords in addresses: used, and written nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stabsearch.config import Sweep, difference, load_sweep, resolved_text
from stabsearch.config.address import STUDY, TRACKING, hidden, in_full, without_password
from stabsearch.config.overrides import parse_override
from stabsearch.errors import UserError
from stabsearch.search import storage

SECRET = "pw-Zq8K2v"
GIVEN = f"postgresql://ada:{SECRET}@db.example:5432/studies"
SHOWN = "postgresql://ada:${STABSEARCH_STUDY_PASSWORD}@db.example:5432/studies"


def sweep_of(**parts: Any) -> dict[str, Any]:
    search = {"learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0], "precision": ["fp32"]}
    return {
        "name": "a",
        "task": {"type": "quickstart"},
        "training": {"max_steps": 9},
        "search": search,
        **parts,
    }


@pytest.fixture(autouse=True)
def _no_passwords_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "STABSEARCH_STUDY_PASSWORD",
        "STABSEARCH_TRACKING_PASSWORD",
        "PGPASSWORD",
        "MLFLOW_TRACKING_PASSWORD",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("stabsearch.config.address._kept", {})


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (GIVEN, SHOWN),
        ("postgresql+psycopg2://a:p@ss@h/x", "postgresql+psycopg2://a:${STABSEARCH_STUDY_PASSWORD}@h/x"),
        ("postgresql://a:p/w@h/x", "postgresql://a:${STABSEARCH_STUDY_PASSWORD}@h/x"),
        ("postgresql://a:p?w@h/x", "postgresql://a:${STABSEARCH_STUDY_PASSWORD}@h/x"),
        ("postgresql://a:p w@h/x", "postgresql://a:${STABSEARCH_STUDY_PASSWORD}@h/x"),
        ("postgresql://:pw@h/x", "postgresql://:${STABSEARCH_STUDY_PASSWORD}@h/x"),
        ("mysql://h/x?user=a&passwd=b%20c", "mysql://h/x?user=a&passwd=${STABSEARCH_STUDY_PASSWD}"),
        ("postgresql://a:b@h/x?sslpassword=c",
         "postgresql://a:${STABSEARCH_STUDY_PASSWORD}@h/x?sslpassword=${STABSEARCH_STUDY_SSLPASSWORD}"),
        ("postgresql://a:12/w@h/x", "postgresql://a:${STABSEARCH_STUDY_PASSWORD}@h/x"),
        ("postgresql://a:12#w@h/x", "postgresql://a:${STABSEARCH_STUDY_PASSWORD}@h/x"),
        ("https://h:5000/x@y", "https://h:5000/x@y"),
        ("https://h/x?apikey=b", "https://h/x?apikey=${STABSEARCH_STUDY_APIKEY}"),
        ("postgresql://ada@h/x", "postgresql://ada@h/x"),
        ("sqlite:////data/a@b:c.db", "sqlite:////data/a@b:c.db"),
        (SHOWN, SHOWN),
    ],
)  # fmt: skip
def test_what_is_written_is_the_name_of_a_variable(address: str, shown: str) -> None:
    """Whoever gave it goes on with the whole address, as long as the process lives."""
    assert hidden(STUDY)(address) == shown
    if address != shown:
        assert in_full(shown, ()) == address


def test_a_sweep_never_holds_its_passwords() -> None:
    """Neither as text nor as data; and another password makes no other sweep."""
    uri = f"https://ada:{SECRET}@mlflow.example"
    sweep = Sweep.model_validate(sweep_of(study={"storage": GIVEN}, tracking={"uri": uri}))
    assert sweep.study.storage == SHOWN
    assert SECRET not in f"{sweep!r}{sweep.model_dump()}{sweep.model_dump_json()}{resolved_text(sweep)}"
    other = Sweep.model_validate(
        sweep_of(study={"storage": GIVEN.replace(SECRET, "changed")}, tracking={"uri": uri})
    )
    assert difference(sweep, other) == []


def test_the_resolved_file_needs_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process nobody knows the password: the variable is named, and its value quoted."""
    path = tmp_path / "sweep.resolved.yaml"
    path.write_text(resolved_text(Sweep.model_validate(sweep_of(study={"storage": GIVEN}))))
    monkeypatch.setattr("stabsearch.config.address._kept", {})
    stored = load_sweep(path).sweep.study.storage
    assert stored == SHOWN
    with pytest.raises(UserError, match="needs a password, which is kept in no file") as caught:
        in_full(stored, ("study", "storage"))
    assert "set STABSEARCH_STUDY_PASSWORD in the environment; PGPASSWORD" in caught.value.hint
    monkeypatch.setenv("STABSEARCH_STUDY_PASSWORD", "a/b@c")
    assert in_full(stored, ()) == "postgresql://ada:a%2Fb%40c@db.example:5432/studies"


def test_what_drivers_look_up_themselves_is_left_to_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PostgreSQL's own variable and file; MLflow's own variable for a server."""
    monkeypatch.setenv("PGPASSWORD", "x")
    assert in_full(SHOWN, ()) == "postgresql://ada@db.example:5432/studies"
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / ".pgpass").touch()
    assert in_full(SHOWN, ()) == "postgresql://ada@db.example:5432/studies"
    server = hidden(TRACKING)("https://ada:pw@mlflow.example")
    monkeypatch.setattr("stabsearch.config.address._kept", {})
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "y")
    assert in_full(server, ()) == "https://ada:y@mlflow.example"


def test_only_variables_of_our_own_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's resolved sweep could send any other variable to a server of theirs."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    address = "postgresql://${AWS_SECRET_ACCESS_KEY}@evil.example/x"
    assert in_full(address, ()) == address


def test_the_database_is_opened_with_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what its driver says of it is told without."""
    opened = []

    def refuse(url: str) -> None:
        opened.append(url)
        raise RuntimeError(f"cannot connect to {url}")

    monkeypatch.setattr(storage, "RDBStorage", refuse)
    with pytest.raises(UserError) as caught:
        storage.open_storage(tmp_path, hidden(STUDY)(GIVEN))
    assert opened == [GIVEN]
    assert SECRET not in str(caught.value)
    assert "cannot connect to postgresql://***@db.example" in str(caught.value)


def test_the_place_of_an_override_shows_no_password() -> None:
    """Errors repeat what was typed, and logs keep errors."""
    override = parse_override(f"study.storage={GIVEN}")
    assert override.value == GIVEN
    assert SECRET not in override.place
    assert SECRET not in without_password(
        f"stabsearch run a.yaml --set 'tracking.uri=https://u:{SECRET}@h/x'"
    )
    assert SECRET not in without_password(f"--set study.storage=mysql://h/x?password={SECRET}")


@pytest.mark.parametrize(
    "parts",
    [
        {"training": {"max_steps": 9, "hub_token": SECRET}},
        {"task": {"type": "script", "path": "a.py", "args": {"token": SECRET}}},
        {"task": {"type": "script", "path": "a.py", "args": {"wandb_api_key": SECRET}}},
        {"task": {"type": "script", "path": "a.py", "args": {"db_password": SECRET}}},
    ],
)
def test_a_token_in_a_sweep_is_refused(tmp_path: Path, parts: dict[str, Any]) -> None:
    """A sweep is written down, in several places; the Hub's library takes its token from the environment."""
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep_of(**parts)))
    with pytest.raises(UserError, match="keeps no tokens") as caught:
        load_sweep(path)
    assert "HF_TOKEN" in caught.value.hint
    assert SECRET not in str(caught.value)


def test_what_only_sounds_like_a_token_is_none() -> None:
    """Names of Transformers' own."""
    args = {"pad_token": "<pad>", "tokenizer_name": "x", "max_new_tokens": "9", "keys": "a"}
    sweep = Sweep.model_validate(sweep_of(task={"type": "script", "path": "a.py", "args": args}))
    assert sweep.task.args == args
