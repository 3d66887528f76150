"""A sweep's folder of simulated trials: a real study, and real reports over it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.sample_sweep.kinds import KINDS, Kind
from experiments.sample_sweep.world import SampleWorld
from experiments.scale.cluster import VirtualCluster
from experiments.scale.setting import HORIZON, NUM_ROWS, Setting
from experiments.scale.simulate import campaign_of, open_study
from experiments.scale.stopwatch import Stopwatch
from stabsearch.config import Sweep
from stabsearch.config.resolve import resolve
from stabsearch.report.views import PlainView
from stabsearch.search.folder import SweepFolder
from stabsearch.sweep.prepared import Prepared
from stabsearch.sweep.reading import rebuild_reports
from stabsearch.sweep.result import SweepResult, installed_versions

SEARCH: dict[str, Any] = {
    "learning_rate": {"low": 1e-6, "high": 1e-1},
    "warmup": [0, 50],
    "max_grad_norm": [0.0, 1.0],
    "precision": ["fp32", "bf16", "fp16"],
    "tolerance": None,
}


@dataclass(frozen=True)
class SampleSetting(Setting):
    """One sample sweep; like a sweep of the scale experiment, with other contexts."""

    kind: Kind = KINDS["confirmed"]

    def prepared(self, folder: Path) -> Prepared:
        """Return the sweep as ``stabsearch run`` has it before its first trial, but for data and model."""
        parts: dict[str, Any] = {
            "name": folder.name,
            "output_dir": str(folder.parent),
            "seed": self.seed,
            "task": {"type": "quickstart"},
            "training": {"max_steps": 2_000, "per_device_train_batch_size": 16},
            "search": {**SEARCH, **self.kind.search},
            "budget": {"trials": self.trials, "horizon": HORIZON},
            "tracking": {"uri": "none"},
        }
        sweep = Sweep.model_validate(parts)
        return Prepared(sweep, resolve(sweep, NUM_ROWS))


def make_sample(folder: Path, kind: str, trials: int, seed: int = 0) -> SweepResult:
    """Return a sweep of simulated trials, its folder as ``stabsearch run`` leaves it.

    Args:
        folder: made, and must be new; its name is the sweep's.
        kind: one of ``KINDS``.
        trials: the budget; 0: a sweep whose first trial has not ended.
        seed: same seed, same trials.
    """
    setting = SampleSetting(max(trials, 1), slots=8, seed=seed, loss_share=0.0, kind=KINDS[kind])
    folder.mkdir(parents=True)
    prepared = setting.prepared(folder)
    _simulate(setting, prepared, folder, has_trials=trials > 0)
    SweepFolder(prepared.sweep, "auto").write_resolved()
    result = rebuild_reports(folder)
    if KINDS[kind].keeps_bundles:
        _keep_bundles(result)
        result = rebuild_reports(folder)
    return result


def _simulate(setting: SampleSetting, prepared: Prepared, folder: Path, *, has_trials: bool) -> None:
    watch = Stopwatch()
    study = open_study(prepared, setting, folder, watch)
    typed = setting.kind.text or "sweep.yaml"
    stored = {"command": f"stabsearch run {typed}", "versions": installed_versions()}
    study.keep_sweep({**prepared.to_json(), **stored})
    world = SampleWorld(setting.seed, median_s=setting.median_s, loss_share=0.0, kind=setting.kind)
    cluster = VirtualCluster(world, setting.slots, watch)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        view = PlainView(prepared.sweep, nowhere)
        campaign = campaign_of(prepared, study, watch, view, cluster.clock)
        if has_trials:
            cluster.run(campaign)


def _keep_bundles(result: SweepResult) -> None:
    """Put a folder where a worker would have left the first bad batch; every fourth has gone."""
    for record in result.findings.records:
        if record.bundle and record.plan.number % 4:
            place = result.folder / "bad_batches" / record.bundle
            place.mkdir(parents=True)
            text = json.dumps({"simulated": True, "trial": record.plan.number})
            (place / "manifest.json").write_text(text, encoding="utf-8")
