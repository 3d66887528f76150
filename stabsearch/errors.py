"""What a user can put right: message, hint, exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to a shell; the same four answers for every command."""

    ANSWER = 0
    """An answer: safe configuration found, check passed, inside the safe region."""
    AGAINST = 1
    """A verdict against: no safe configuration, data at fault, configuration too risky."""
    CANNOT_JUDGE = 2
    """Could not judge: usage, bad sweep, environment, not enough evidence."""
    INTERRUPTED = 130
    """Stopped by a signal; the same command goes on where it stopped."""


KeyPath = tuple[str | int, ...]


class UserError(Exception):
    """Something the user can put right; printed as two lines, never as a traceback.

    Args:
        message: what was seen and what is allowed, one line, without the place.
        hint: the way out, one line; may be empty.
        key: where in the sweep it stands, e.g. ``("search", "precision", 2)``; the caller
            that knows the file turns it into ``sweep.yaml:14: search.precision[2]: ...``.
        exit_code: what the process exits with.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        key: KeyPath = (),
        exit_code: ExitCode = ExitCode.CANNOT_JUDGE,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.key = key
        self.exit_code = exit_code

    def at(self, place: str) -> UserError:
        """Return the same error with its place in front; an error that has one keeps it."""
        return UserError(f"{place}: {self.message}", self.hint, exit_code=self.exit_code)

    def __str__(self) -> str:
        """Return the two lines a user reads."""
        return f"{one_line(self.message)}\n  {one_line(self.hint)}" if self.hint else one_line(self.message)


def one_line(text: str) -> str:
    """Return a text on one line, without what a terminal would take for commands."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def dotted(key: KeyPath) -> str:
    """Return a key as users write it.

    >>> dotted(("search", "precision", 2))
    'search.precision[2]'
    """
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
