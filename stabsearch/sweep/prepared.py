"""A sweep that has passed every check and has spent nothing yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.config import Sweep
from stabsearch.config.load import LoadedSweep, load_sweep
from stabsearch.config.resolve import Resolved, resolve
from stabsearch.config.source import Source
from stabsearch.driver.packing import Packing
from stabsearch.errors import UserError
from stabsearch.frontier.bridges import BRIDGE_FACTOR
from stabsearch.frontier.confirmation import confirmation_trials
from stabsearch.frontier.confirming import Confirming
from stabsearch.frontier.hints import PriorHint, hint_from_json
from stabsearch.frontier.terms import Terms
from stabsearch.frontier.verdict import MIN_TRIALS
from stabsearch.search.campaign import Stages
from stabsearch.search.folder import Resume, SweepFolder
from stabsearch.sweep.beforehand import hints_of_earlier
from stabsearch.tracking import make_tracker

if TYPE_CHECKING:
    from stabsearch.config.model import Resources
    from stabsearch.forensics.finding import Finding
    from stabsearch.forensics.preflight import Preflight
    from stabsearch.task.base import Workload


@dataclass(frozen=True)
class Prepared:
    """A sweep that has passed every check and has spent nothing yet."""

    sweep: Sweep
    resolved: Resolved
    source: Source = field(default_factory=Source)
    hints: tuple[PriorHint, ...] = ()
    """What is known of frontiers before the first trial."""
    findings: tuple[Finding, ...] = ()
    """What the preflight warned of."""
    chance_loss: float | None = None
    """Loss of the trivial predictor, where the task does not know it and the preflight found it out."""
    packing: Packing | None = None
    """How many trials at a time were measured to be best, where the sweep asks for it."""
    workload: Workload | None = field(default=None, compare=False, repr=False)
    """What the preflight built; None: it has to be built anew."""

    @property
    def resources(self) -> Resources:
        """Return what one trial takes: as the sweep says, or as it was measured."""
        given = self.sweep.resources
        return given if self.packing is None else given.model_copy(update=self.packing.resources)

    @property
    def required(self) -> int:
        """Return how many fresh seeds a confirmation needs."""
        risk = self.sweep.risk
        if risk.confirmation_trials == "auto":
            return confirmation_trials(risk.max_failure_probability, risk.confidence)
        return risk.confirmation_trials

    @property
    def confirming(self) -> Confirming:
        """Return how a candidate is confirmed."""
        risk, resolved = self.sweep.risk, self.resolved
        bridge_horizon = min(BRIDGE_FACTOR * resolved.horizon, resolved.max_steps)
        goes_on = bridge_horizon > resolved.horizon
        return Confirming(
            self.required,
            risk.confirmation,
            risk.stress_margin,
            is_number_given=risk.confirmation_trials != "auto",
            max_rounds=risk.max_rounds,
            confidence=risk.confidence,
            bridge_trials=self.sweep.budget.bridge_trials if goes_on else 0,
            bridge_horizon=bridge_horizon if goes_on else 0,
        )

    @property
    def stages(self) -> Stages:
        """Return how the budget is spent."""
        return Stages(self.sweep.budget.trials, self.confirming)

    @property
    def terms(self) -> Terms:
        """Return what the answer is given on."""
        risk, resolved = self.sweep.risk, self.resolved
        return Terms(
            risk.max_failure_probability,
            risk.confidence,
            self.confirming,
            resolved.horizon,
            resolved.max_steps,
            self.caveats,
            resolved.covered_share,
            self.sweep.outcomes,
        )

    @property
    def caveats(self) -> tuple[str, ...]:
        """Return what the sweep cannot show, one sentence each."""
        contexts, trials = len(self.resolved.contexts), self.stages.searched
        if not self.sweep.search.further or MIN_TRIALS * contexts <= trials:
            return self.resolved.caveats
        crowd = (
            f"{contexts} contexts share {trials} trials of the search: a context with fewer than "
            f"{MIN_TRIALS} of its own gets no frontier. Raise budget.trials, or search fewer values."
        )
        return *self.resolved.caveats, crowd

    def to_json(self) -> dict[str, Any]:
        """Return everything but source, findings and workload, as it is kept in the study."""
        return {
            "sweep": self.sweep.model_dump(mode="json"),
            "resolved": asdict(self.resolved),
            "hints": [asdict(hint) for hint in self.hints],
            "chance_loss": self.chance_loss,
            "packing": self.packing.to_json() if self.packing else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Prepared:
        """Return what ``to_json`` took apart.

        Raises:
            UserError: the study holds something else.
        """
        from pydantic import TypeAdapter

        try:
            resolved = TypeAdapter(Resolved).validate_python(data["resolved"])
            hints = tuple(map(hint_from_json, data["hints"]))
            sweep = Sweep.model_validate(data["sweep"])
            chance_loss = TypeAdapter(float | None).validate_python(data.get("chance_loss"))
            packing = Packing.from_json(data["packing"]) if data.get("packing") else None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"the sweep that the study holds is damaged: {_said(error)}",
                "restore the study from a backup, or start anew under another name",
            ) from None
        return cls(sweep, resolved, hints=hints, chance_loss=chance_loss, packing=packing)


def _said(error: Exception) -> str:
    """Return an error on one line; of pydantic's, the first field and what is wrong with it."""
    details = getattr(error, "errors", None)
    if callable(details):
        first = details()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def prepare(sweep: Path | str, overrides: Sequence[str] = (), resume: Resume = "auto") -> Prepared:
    """Return the sweep after every check that a run makes before its first trial; writes nothing.

    Raises:
        UserError: with the place in the file.
    """
    loaded = load_sweep(Path(sweep), overrides)
    with placed(loaded.source):
        folder = SweepFolder(loaded.sweep, resume)
        folder.check()
        prepared = checked(loaded, is_begun=folder.holds_a_sweep)
        check_tracker(prepared.sweep, folder)
        return prepared


def check_tracker(sweep: Sweep, folder: SweepFolder) -> None:
    """Raise when a new sweep's tracker does not answer; one that was begun goes on without it."""
    if not folder.holds_a_sweep:
        make_tracker(sweep, "", folder.path).check()


def checked(loaded: LoadedSweep, *, is_begun: bool = False) -> Prepared:
    """Return a loaded sweep resolved, once nothing speaks against starting it.

    What a sweep that has begun knew beforehand stands in its study.

    Raises:
        UserError: the preflight found an error; of data, model or settings it is a verdict.
    """
    from stabsearch.forensics.preflight import preflight

    found = preflight(loaded.sweep, is_begun=is_begun)
    refuse_errors(found.findings, loaded.source.name or "SWEEP")
    return resolved_with(loaded, found, is_begun=is_begun)


def resolved_with(loaded: LoadedSweep, found: Preflight, *, is_begun: bool = False) -> Prepared:
    """Return a loaded sweep resolved, with what its preflight found."""
    hints = () if is_begun else hints_of_earlier(loaded.sweep.search.prior.earlier)
    resolved = resolve(loaded.sweep, found.num_rows)
    return Prepared(
        loaded.sweep, resolved, loaded.source, hints, found.findings, found.chance_loss,
        workload=found.workload,
    )  # fmt: skip


def refuse_errors(findings: Sequence[Finding], name: str) -> None:
    """Return when no finding is an error; otherwise raise the first, and say how many there are.

    Args:
        findings: the worst first.
        name: the sweep's file, for the command that shows them all.
    """
    from stabsearch.forensics.finding import exit_code

    errors = [finding for finding in findings if finding.is_error]
    if not errors:
        return
    first = errors[0]
    more = f"; and {len(errors) - 1} more: stabsearch check {name}" if len(errors) > 1 else ""
    message = f"{first.rule}: {first.message}{rows_in_words(first)}"
    raise UserError(message, f"{first.hint}{more}", key=first.key, exit_code=exit_code(findings))


def rows_in_words(finding: Finding) -> str:
    """Return the first rows of a finding in brackets; nothing without rows."""
    if not finding.rows:
        return ""
    shown = ", ".join(map(str, finding.rows[:SHOWN_ROWS]))
    return (
        f" (row {shown})"
        if finding.num_rows == 1
        else f" (rows {shown}{', …' * (finding.num_rows > SHOWN_ROWS)})"
    )


SHOWN_ROWS = 3  # chosen: enough to look at, short enough for one line


def planned(prepared: Prepared) -> dict[str, Any]:
    """Return what a sweep would do, as names and values for people."""
    sweep, resolved, stages = prepared.sweep, prepared.resolved, prepared.stages
    rates, risk = sweep.search.learning_rate, sweep.risk
    return {
        "sweep": f"{sweep.name} -> {Path(sweep.output_dir) / sweep.name}",
        "task": sweep.task.type,
        "full run": f"{resolved.max_steps} optimizer steps",
        "trials": f"{stages.trials}: 1 canary, {stages.searched - 1} search, {stages.reserved} confirmation",
        "search": _search_in_words(prepared),
        "horizon": f"{resolved.horizon} optimizer steps per trial, schedule {sweep.budget.schedule}",
        "learning rate": f"{rates.low:g} to {rates.high:g}, sampler {sweep.search.sampler}",
        "contexts": [context.label for context in resolved.contexts],
        "risk": f"failure probability <= {risk.max_failure_probability:g} ({risk.confidence:.0%} confidence)",
        "confirmation": _confirmation_in_words(prepared),
        "runs on": f"{sweep.resources.driver}, address {sweep.resources.address}",
        "caveats": list(prepared.caveats),
    }


def _search_in_words(prepared: Prepared) -> str:
    search, most = prepared.sweep.search, prepared.stages.searched
    if search.tolerance is None:
        return f"goal {search.goal}, {most} trials"
    return (
        f"goal {search.goal}, until known to {search.tolerance:g} decades on average, {most} trials at most"
    )


def _confirmation_in_words(prepared: Prepared) -> str:
    how = prepared.confirming
    if not how.required:
        return "none: the answer stays unconfirmed"
    number = f"{how.required}" if how.kind == "plain" or how.is_number_given else f"fewer than {how.required}"
    above = "" if how.kind == "plain" else f" {how.stress_margin:g} decades above the recommended rate"
    bridges = (
        f"; {how.bridge_trials} bridge trials of {how.bridge_horizon} steps" if how.bridge_trials else ""
    )
    return f"{how.kind}, {number} fresh seeds{above}, {how.max_rounds} candidates at most{bridges}"


@contextmanager
def placed(source: Source) -> Iterator[None]:
    """Put file and line in front of what goes wrong inside."""
    try:
        yield
    except UserError as error:
        raise source.error(error) from None
