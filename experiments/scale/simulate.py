"""A whole sweep on the virtual clock, and what it cost the driver on the way."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from experiments.scale.cluster import VirtualCluster
from experiments.scale.measured import MeasuredCampaign, MeasuredStudy, measured_sampler, measured_storage
from experiments.scale.setting import Setting
from experiments.scale.stopwatch import Stopwatch
from experiments.scale.world import World
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.report.views import PlainView
from stabsearch.search.campaign import hints_of
from stabsearch.search.samplers import sampler_seed
from stabsearch.search.stored import study_name
from stabsearch.search.study import search_space
from stabsearch.sweep.prepared import Prepared

INTENSITY = "learning_rate"


@dataclass(frozen=True)
class Sample:
    """What had been spent when a number of trials had ended."""

    ended: int
    seconds: dict[str, float]
    """Processor seconds of the driver so far, by what they went to."""
    wall_s: float
    virtual_s: float
    memory_bytes: int
    """Resident set of the process."""
    study_bytes: int
    """Size of the study on disk."""


@dataclass
class Simulated:
    """A sweep that was simulated."""

    setting: Setting
    samples: list[Sample] = field(default_factory=list)
    records: list[TrialRecord] = field(default_factory=list)
    """Labelled, in trial order."""
    starts: Counter[int] = field(default_factory=Counter)
    """Starts per trial, as the workers saw them."""
    lost_starts: int = 0
    most_in_flight: int = 0
    ended: list[int] = field(default_factory=list)
    """Trial numbers in the order in which the watchers heard of their end."""

    def counts(self) -> dict[str, int]:
        """Return what may have gone wrong: every number but the first three and ``retried`` has to be 0."""
        numbers = [record.plan.number for record in self.records]
        heard = Counter(self.ended)
        attempts = {record.plan.number: record.attempts for record in self.records}
        return {
            "trials": len(numbers),
            "starts": self.starts.total(),
            "workers lost": self.lost_starts,
            "retried": sum(count > 1 for count in self.starts.values()),
            "missing": self.setting.trials - len(set(numbers)),
            "doubled": len(numbers) - len(set(numbers)),
            "told twice": sum(count - 1 for count in heard.values()),
            "never told": len(set(numbers) - set(heard)),
            "given up": sum(record.outcome == "lost" for record in self.records),
            "wrong attempts": sum(attempts.get(number) != count for number, count in self.starts.items()),
            "starts without end": self.starts.total() - self.lost_starts - len(self.ended),
        }


def simulate(
    setting: Setting, folder: Path, *, sample_at: Iterable[int] = (),
    on_sample: Callable[[Sample], None] = lambda _: None,
) -> Simulated:  # fmt: skip
    """Return a sweep run to its end on simulated workers, its study in ``folder``.

    Args:
        setting: what is simulated.
        folder: of the sweep; made, and must be new.
        sample_at: numbers of ended trials at which to look at what was spent.
        on_sample: told of each sample, while the study stands as it is.
    """
    folder.mkdir(parents=True)
    watch, wanted = Stopwatch(), frozenset(sample_at)
    found = Simulated(setting)
    prepared = setting.prepared(folder)
    study = open_study(prepared, setting, folder, watch)
    study.keep_sweep({**prepared.to_json(), "command": "simulated", "versions": {}})
    world = World(setting.seed, median_s=setting.median_s, loss_share=setting.loss_share)
    began = time.monotonic()

    def sample(record: TrialRecord) -> None:
        found.ended.append(record.plan.number)
        if len(found.ended) not in wanted:
            return
        taken = Sample(
            len(found.ended), dict(watch.seconds), time.monotonic() - began, cluster.now_s,
            memory_bytes(), study_bytes(folder),
        )  # fmt: skip
        found.samples.append(taken)
        on_sample(taken)

    cluster = VirtualCluster(world, setting.slots, watch, sample)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        view = PlainView(prepared.sweep, nowhere)
        campaign = campaign_of(prepared, study, watch, view, cluster.clock)
        cluster.run(campaign)
    found.records, found.starts = study.records, cluster.starts
    found.lost_starts, found.most_in_flight = cluster.lost, cluster.most_in_flight
    return found


def open_study(prepared: Prepared, setting: Setting, folder: Path, watch: Stopwatch) -> MeasuredStudy:
    """Return the study of a sweep, wired as ``stabsearch run`` does it."""
    sweep, resolved = prepared.sweep, prepared.resolved
    space, url = search_space(sweep.search, resolved.warmups), setting.url(folder)

    def sampler_for(number: int, evidence: Any) -> Any:
        return measured_sampler(
            watch, INTENSITY, sweep.risk.max_failure_probability,
            sampler_seed("frontier", sweep.seed, number),
            search_space=space, evidence=evidence, goal=sweep.search.goal,
            hints=hints_of(sweep, (), study.raw_records),
        )  # fmt: skip

    study = MeasuredStudy(
        watch, measured_storage(folder, url, watch), space, sampler_for, seed=sweep.seed,
        horizon=resolved.horizon, rules=sweep.outcomes, name=study_name(sweep.name, url),
    )  # fmt: skip
    return study


def campaign_of(
    prepared: Prepared, study: MeasuredStudy, watch: Stopwatch, view: PlainView, clock: Callable[[], float]
) -> MeasuredCampaign:
    """Return the campaign on a study, wired as ``stabsearch run`` does it."""

    def finished(record: TrialRecord) -> None:
        with watch.section("view"):
            view.finished(record)

    campaign = MeasuredCampaign(
        study, prepared.sweep, prepared.resolved.contexts, prepared.stages,
        on_started=partial(_ignored), on_finished=finished, clock=clock,
    )  # fmt: skip
    campaign.watch = watch
    return campaign


def _ignored(_: TrialPlan) -> None:
    """Nobody watches."""


def memory_bytes() -> int:
    """Return the resident set of this process."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def study_bytes(folder: Path) -> int:
    """Return the size of the study of a sweep's folder, whatever it is kept in."""
    return sum(path.stat().st_size for path in folder.glob("study.*"))
