"""What a command shows on stderr while trials run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.config import Sweep
    from stabsearch.records import TrialRecord
    from stabsearch.report.views import View
    from stabsearch.sweep.running import ViewFor


def view_maker(*, quiet: bool) -> ViewFor:
    """Return what makes the view that suits stderr; it is imported when the sweep is known to be sound."""

    def view_for(loaded: Sweep, records: Sequence[TrialRecord]) -> View:
        from stabsearch.report.views import view_for as suited

        return suited(loaded, is_quiet=quiet, records=records)

    return view_for
