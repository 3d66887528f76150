"""The files below docker/, read as the engines that get them read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
DOCKER = ROOT / "docker"


def text(name: str) -> str:
    return (DOCKER / name).read_text(encoding="utf-8")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text(name)))


@dataclass(frozen=True)
class Stage:
    """One stage of a Dockerfile: its instructions with continuation lines joined."""

    base: str
    name: str | None
    instructions: list[tuple[str, str]]

    def all(self, word: str) -> list[str]:
        return [rest for found, rest in self.instructions if found == word]


def stages(name: str) -> list[Stage]:
    """Return the stages of a Dockerfile, in order; the last is what is built."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", text(name), flags=re.MULTILINE))
    found: list[Stage] = []
    for line in filter(str.strip, joined.splitlines()):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, *named = rest.split()
            found.append(Stage(base, named[-1] if named else None, []))
        elif found:
            found[-1].instructions.append((word, rest))
    return found


def defaults(name: str) -> dict[str, str]:
    """Return the arguments of a Dockerfile that have a default."""
    return dict(re.findall(r"^ARG (\w+)=(\S+)$", text(name), flags=re.MULTILINE))


def interpolated(value: str, variables: dict[str, str]) -> str:
    """Return a text of a compose file with ``${NAME:-default}`` filled in; a required one must be given."""

    def filled(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if name in variables:
            return variables[name]
        assert operator == ":-", f"{name} has no default"
        return rest

    return re.sub(r"\$\{(\w+)(:[-?])?([^}]*)\}", filled, value)
