"""Addresses of databases and servers: their passwords are used, and written nowhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from stabsearch.errors import KeyPath, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

STUDY, TRACKING = "STABSEARCH_STUDY", "STABSEARCH_TRACKING"
"""What the environment variables begin with that stand for a password of the one or the other."""
_TOKENS = frozenset(
    {"token", "hub_token", "push_to_hub_token", "use_auth_token", "auth_token", "access_token"}
)
"""Arguments of scripts and of TrainingArguments that hold a token; others, as ``pad_token``, do not."""
_SECRETS = ("password", "passwd", "secret", "api_key", "apikey", "access_key", "credential")
_USER = re.compile(
    r"(?<![\w+.-])(?P<before>https?://[^:/@?#\s]*:(?!\d+[/?#])|(?!https?:)[A-Za-z][\w+.-]*://[^:/@?#\s]*:)"
    r"(?P<secret>[^/?#]+|[^@]+)(?=@)"
)
"""Of a database, all up to the @ is the password, as SQLAlchemy reads it; of a server, digits are a port."""
_QUERY = re.compile(
    r"(?P<before>[?&](?P<name>\w*(?:passw|pwd|secret|token|api_?key|sslkey|credential)\w*)=)(?P<secret>[^&#\s'\"]+)",
    re.IGNORECASE,
)
_SHOWN = re.compile(r"://[^\s'\"/][^\s'\"]*@")
_PLACE = re.compile(r"\$\{(STABSEARCH_[A-Z_]+)\}")
_kept: dict[str, str] = {}
"""Address without its passwords -> as it was given; of this process alone, and never pickled."""


def is_secret(name: str) -> bool:
    """Return whether an argument of this name holds what is not to be written down."""
    return name in _TOKENS or any(word in name.lower() for word in _SECRETS)


def hidden(prefix: str) -> Callable[[str], str]:
    """Return what takes the passwords out of an address and leaves the names of variables in their place."""

    def hide(address: str) -> str:
        shown = _USER.sub(lambda found: _variable(found, f"{prefix}_PASSWORD"), address, count=1)
        shown = _QUERY.sub(lambda found: _variable(found, f"{prefix}_{found['name'].upper()}"), shown)
        if shown != address:
            _kept[shown] = address
        return shown

    return hide


def _variable(found: re.Match[str], name: str) -> str:
    if _PLACE.fullmatch(found["secret"]):
        return found[0]
    return f"{found['before']}${{{name}}}"


def is_written_out(address: str) -> bool:
    """Return whether the sweep itself gave the passwords of an address, as the resolved sweep holds it."""
    return address in _kept


def in_full(address: str, key: KeyPath) -> str:
    """Return an address with its passwords: as the sweep's file gave them, else from the environment.

    A password that only PostgreSQL's own ``PGPASSWORD`` or ``~/.pgpass`` hold is left out, which its driver
    fills in; ``MLFLOW_TRACKING_PASSWORD`` stands in for that of a tracking server.

    Args:
        address: as the resolved sweep holds it.
        key: the part of the sweep that it is, for the error.

    Raises:
        UserError: nobody knows a password; it names the variable.
    """
    if address in _kept:
        return _kept[address]
    return _PLACE.sub(lambda found: _from_environment(found[1], address, key), _left_to_driver(address))


def _left_to_driver(address: str) -> str:
    """Return an address without the password that its own driver looks up, unless our variable is set."""
    name = f"{STUDY if STUDY in address else TRACKING}_PASSWORD"
    is_known = "PGPASSWORD" in os.environ or Path("~/.pgpass").expanduser().is_file()
    if address.startswith("postgres") and name not in os.environ and is_known:
        return address.replace(f":${{{name}}}@", "@")
    return address


def _from_environment(name: str, address: str, key: KeyPath) -> str:
    value = os.environ.get(name)
    if value is None and name == f"{TRACKING}_PASSWORD" and address.startswith("http"):
        value = os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if value is None:
        others = "; PGPASSWORD and ~/.pgpass do as well" if address.startswith("postgres") else ""
        raise UserError(f"{address} needs a password, which is kept in no file",
                        f"set {name} in the environment{others}", key=key)  # fmt: skip
    return quote(value, safe="")


def without_password(text: str) -> str:
    """Return a text with the passwords of all addresses in it hidden, and with them the users' names.

    >>> without_password("postgresql://ada:secret@db/mlflow")
    'postgresql://***@db/mlflow'
    >>> without_password("--set study.storage=mysql://db/x?password=secret")
    '--set study.storage=mysql://db/x?password=***'
    """
    return _QUERY.sub(r"\g<before>***", _SHOWN.sub("://***@", text))
