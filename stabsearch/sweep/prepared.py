"""A sweep that has passed every check and has spent nothing yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stabsearch.config import Sweep
from stabsearch.config.load import LoadedSweep, load_sweep
from stabsearch.config.resolve import Resolved, resolve
from stabsearch.config.source import Source
from stabsearch.errors import UserError
from stabsearch.frontier.conclude import Terms
from stabsearch.frontier.confirmation import confirmation_trials
from stabsearch.records import Context
from stabsearch.search.folder import Resume, SweepFolder
from stabsearch.tracking import make_tracker


@dataclass(frozen=True)
class Prepared:
    """A sweep that has passed every check and has spent nothing yet."""

    sweep: Sweep
    resolved: Resolved
    source: Source = field(default_factory=Source)

    @property
    def required(self) -> int:
        """Return how many fresh seeds a confirmation needs."""
        risk = self.sweep.risk
        if risk.confirmation_trials == "auto":
            return confirmation_trials(risk.max_failure_probability, risk.confidence)
        return risk.confirmation_trials

    @property
    def terms(self) -> Terms:
        """Return what the answer is given on."""
        risk, resolved = self.sweep.risk, self.resolved
        return Terms(
            risk.max_failure_probability,
            risk.confidence,
            self.required,
            resolved.horizon,
            resolved.max_steps,
            resolved.caveats,
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything but the source, as it is kept in the study."""
        return {"sweep": self.sweep.model_dump(mode="json"), "resolved": asdict(self.resolved)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Prepared:
        """Return what ``to_json`` took apart."""
        resolved: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data["resolved"].items()
        }
        resolved["contexts"] = tuple(Context(*context) for context in resolved["contexts"])
        return cls(Sweep.model_validate(data["sweep"]), Resolved(**resolved))


def prepare(sweep: Path | str, overrides: Sequence[str] = (), resume: Resume = "auto") -> Prepared:
    """Return the sweep after every check that a run makes before its first trial; writes nothing.

    Raises:
        UserError: with the place in the file.
    """
    loaded = load_sweep(Path(sweep), overrides)
    with placed(loaded.source):
        folder = SweepFolder(loaded.sweep, resume)
        folder.check()
        prepared = checked(loaded)
        make_tracker(prepared.sweep, "", folder.path).check()
        return prepared


def checked(loaded: LoadedSweep) -> Prepared:
    """Return a loaded sweep resolved, once nothing speaks against starting it."""
    from stabsearch.forensics.preflight import preflight

    found = preflight(loaded.sweep)
    return Prepared(loaded.sweep, resolve(loaded.sweep, found.num_rows), loaded.source)


def planned(prepared: Prepared) -> dict[str, Any]:
    """Return what a sweep would do, as names and values for people."""
    from stabsearch.search.campaign import Stages

    sweep, resolved = prepared.sweep, prepared.resolved
    stages = Stages(sweep.budget.trials, prepared.required)
    searched, reserved = stages.trials - stages.reserved - 1, stages.reserved
    rates, risk = sweep.search.learning_rate, sweep.risk
    return {
        "sweep": f"{sweep.name} -> {Path(sweep.output_dir) / sweep.name}",
        "task": sweep.task.type,
        "full run": f"{resolved.max_steps} optimizer steps",
        "trials": f"{stages.trials}: 1 canary, {searched} search, {reserved} confirmation",
        "horizon": f"{resolved.horizon} optimizer steps per trial, schedule {sweep.budget.schedule}",
        "learning rate": f"{rates.low:g} to {rates.high:g}, sampler {sweep.search.sampler}",
        "contexts": [context.label for context in resolved.contexts],
        "risk": f"failure probability <= {risk.max_failure_probability:g} ({risk.confidence:.0%} confidence)",
        "runs on": f"{sweep.resources.driver}, address {sweep.resources.address}",
        "caveats": list(resolved.caveats),
    }


@contextmanager
def placed(source: Source) -> Iterator[None]:
    """Put file and line in front of what goes wrong inside."""
    try:
        yield
    except UserError as error:
        raise source.error(error) from None
