"""The product's own campaign, study, sampler and storage, each timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage

from experiments.scale.stopwatch import Stopwatch
from stabsearch.frontier import Frontier
from stabsearch.frontier.stopping import SearchEnd
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.search.campaign import Campaign
from stabsearch.search.frontier_sampler import FrontierSampler
from stabsearch.search.storage import open_storage
from stabsearch.search.study import SweepStudy


class MeasuredCampaign(Campaign):
    """Times the stop rule and the fit that is shown after every trial."""

    watch: Stopwatch

    def frontier(self) -> Frontier:
        """Return the frontier."""
        with self.watch.section("fit"):
            return super().frontier()

    def _search_end(self, records: Any) -> SearchEnd | None:
        with self.watch.section("stop rule"):
            return super()._search_end(records)


class MeasuredStudy(SweepStudy):
    """Times asking, telling and labelling."""

    def __init__(self, watch: Stopwatch, *args: Any, **kwargs: Any) -> None:
        self._watch = watch
        super().__init__(*args, **kwargs)

    @property
    def records(self) -> list[TrialRecord]:
        """Return the labelled records."""
        with self._watch.section("labels"):
            return super().records

    def ask(self) -> TrialPlan:
        """Return the next search trial."""
        with self._watch.section("ask"):
            return super().ask()

    def tell(self, record: TrialRecord) -> bool:
        """Record a finished trial."""
        with self._watch.section("tell"):
            return super().tell(record)


class MeasuredSampler(FrontierSampler):
    """Times the proposals."""

    watch: Stopwatch

    def sample_relative(self, *args: Any) -> dict[str, Any]:
        """Return the proposal."""
        with self.watch.section("sampler"):
            return super().sample_relative(*args)


def measured_storage(folder: Path, url: str | None, watch: Stopwatch) -> BaseStorage:
    """Return the storage of a sweep; what it appends to a journal is timed."""
    storage: Any = open_storage(folder, url)
    if isinstance(storage, JournalStorage):
        storage._backend.append_logs = watch.timed("journal write", storage._backend.append_logs)
    return storage


def measured_sampler(watch: Stopwatch, *args: Any, **kwargs: Any) -> BaseSampler:
    """Return a frontier sampler that is timed."""
    sampler = MeasuredSampler(*args, **kwargs)
    sampler.watch = watch
    return sampler
