"""Where each key of a sweep was written: file and line, or ``--set``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from stabsearch.errors import KeyPath, UserError, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stabsearch.config.overrides import Override


@dataclass(frozen=True)
class Source:
    """The file and the overrides that a sweep came from; ``Source()`` for one made in Python."""

    name: str = ""
    """The file as the user gave it."""
    root: yaml.Node | None = None
    overrides: tuple[Override, ...] = ()

    def place(self, key: KeyPath) -> str:
        """Return where a key stands: ``sweep.yaml:14: search.precision[2]``.

        A key that is not in the file gets the line of its nearest parent; one that ``--set`` gave,
        or that holds such a value, gets ``--set search.precision=[fp61]``.
        """
        override = self._override(key)
        if override is not None:
            return override.place if override.key == key else f"{override.place}: {_one_line(key)}"
        line = f":{self.line(key):.0f}" if self.root is not None else ""
        return ": ".join(part for part in (f"{self.name}{line}", _one_line(key)) if part)

    def error(self, error: UserError) -> UserError:
        """Return the same error with its place in front; one without a key stays as it is."""
        return error.at(self.place(error.key)) if error.key else error

    def line(self, key: KeyPath) -> float:
        """Return the 1-based line of a key, for sorting; infinity for a value from ``--set``."""
        if self._override(key) is not None or self.root is None:
            return math.inf
        return [self.root.start_mark.line, *_lines(self.root, key)][-1] + 1

    def _override(self, key: KeyPath) -> Override | None:
        """Return the last override that gave the key or something around it, else a part of it."""
        in_file = len([*_lines(self.root, key)]) if self.root is not None else 0
        around: Override | None = None
        inside: Override | None = None
        for override in self.overrides if key else ():
            shared = _num_shared(override.key, key)
            if shared == len(override.key) or in_file < shared < len(key):
                around = override
            elif shared == len(key):
                inside = override
        return around or inside


def _num_shared(one: KeyPath, other: KeyPath) -> int:
    """Return how many leading parts two keys share."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _one_line(key: KeyPath) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in dotted(key))


def _lines(node: yaml.Node, key: KeyPath) -> Iterator[int]:
    """Yield the 0-based lines of the parts of a key, as far as the file has them."""
    for part in key:
        if isinstance(node, yaml.MappingNode):
            # a merged key (<<) stands before the mapping's own, so the last one counts
            pairs = [(name, value) for name, value in node.value if name.value == str(part)]
            if not pairs:
                return
            name, node = pairs[-1]
            yield name.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            yield node.start_mark.line
        else:
            return
