"""What is left of a trial once it is over."""

from __future__ import annotations

from dataclasses import dataclass

from stabsearch.records import TrialRecord


@dataclass(frozen=True)
class Ended:
    """A trial that is over."""

    record: TrialRecord
    has_raised: bool = False
    """It ended where it stood: other processes that train with this one wait for it in vain."""
