"""From a bad batch to the rows that make it bad; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

IsBad = Callable[[list[int]], bool]
"""Places in the batch -> whether these rows alone are still bad."""


def guilty_rows(num_rows: int, is_bad: IsBad) -> tuple[tuple[int, ...], bool]:
    """Return the rows without which a bad batch is good, and whether any row is innocent.

    Halving finds the rows that are bad by themselves, in about k log n runs for k of n rows. One that
    is bad by itself but does no harm beside good rows (no label of its own: 0/0) is innocent.

    Args:
        num_rows: rows of the batch, which is bad as a whole.
        is_bad: runs some of its rows.

    >>> guilty_rows(8, lambda places: 5 in places)
    ((5,), True)
    >>> guilty_rows(4, lambda places: True)
    ((0, 1, 2, 3), False)
    """
    everything = list(range(num_rows))
    alone = _bad_alone(everything, is_bad)
    rest = [place for place in everything if place not in alone]
    if not rest:
        return _without_one(everything, is_bad)
    if not alone or is_bad(rest):
        return tuple(everything), False  # no row by itself, or not these alone
    harmful = [place for place in alone if is_bad(sorted([*rest, place]))]
    return tuple(harmful or alone), True


def _without_one(everything: list[int], is_bad: IsBad) -> tuple[tuple[int, ...], bool]:
    """Return the one row without which the others are good, where every row is bad by itself.

    A batch norm takes no batch of one row at all; with others beside it, only the guilty row is bad.
    """
    others = {place: [other for other in everything if other != place] for place in everything}
    guilty = [place for place, rest in others.items() if rest and not is_bad(rest)]
    return (tuple(guilty), True) if len(guilty) == 1 else (tuple(everything), False)


def _bad_alone(places: Sequence[int], is_bad: IsBad) -> list[int]:
    if not is_bad(list(places)):
        return []
    if len(places) == 1:
        return list(places)
    middle = len(places) // 2
    return [*_bad_alone(places[:middle], is_bad), *_bad_alone(places[middle:], is_bad)]
