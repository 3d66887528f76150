"""One cell of the gallery: one fault, one seed, one precision, and what stabsearch makes of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from experiments.fault_gallery import replaying
from experiments.fault_gallery.fault import Fault
from experiments.fault_gallery.faults import GALLERY
from stabsearch.capture.bundle import read_bundle
from stabsearch.forensics.diagnosis import Diagnosis
from stabsearch.forensics.finding import Finding
from stabsearch.forensics.ladder import Case, diagnose
from stabsearch.records import Outcome, Precision, TrialPlan, TrialRecord
from stabsearch.task.base import Workload
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup

RAISED = "the ladder raised"
"""Stands for a cause where the ladder itself failed: a miss like any other."""
BUNDLE_BYTES = 64 * 2**20  # chosen: a tiny model needs less than one


class Cell(NamedTuple):
    """What is measured."""

    fault: str
    seed: int
    precision: Precision

    @property
    def key(self) -> str:
        """Return the cell's name in a file of results."""
        return f"{self.fault} | {self.seed} | {self.precision}"


@dataclass(frozen=True)
class Result:
    """What came out, as plain data."""

    key: str
    fault: str
    seed: int
    precision: str
    planted: str | None
    """Cause; None for a healthy control."""
    outcome: str
    """How the trial ended, run without any check before it."""
    trial_cause: str | None
    """What the worker said right after the failure."""
    named: str | None
    """Cause that the ladder ends in, preflight included; None: nothing is wrong."""
    unaided: str | None
    """Cause that the failed trial and the ladder end in without a preflight; None: nothing failed."""
    errors: tuple[str, ...]
    """Rules of the preflight with severity error."""
    planted_rows: tuple[int, ...]
    named_rows: tuple[int, ...]
    unaided_rows: tuple[int, ...]
    bundle_rows: tuple[int, ...] | None
    """Rows of the step that the bundle holds; None: no bundle was kept."""
    replay: str | None
    """Verdict on the bundle in another process; None: no bundle was kept."""
    ladder_s: float
    sentence: str
    """The verdict in words."""
    origin: str = ""
    """Where the first bad number came from, as the bundle's replay says; empty: no bundle was kept."""
    fingerprint: str = ""
    """Of the code that gave this."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Result:
        """Return what ``to_json`` was made from."""
        known = {each.name for each in fields(cls)}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{name: value for name, value in {**values, **lists}.items() if name in known})


@dataclass(frozen=True)
class _Trial:
    """A trial on its own, with the bad batch it left."""

    workload: Workload
    setup: TrialSetup
    record: TrialRecord

    @property
    def bundle(self) -> Path | None:
        return Path(self.setup.bundle_dir) / self.record.bundle if self.record.bundle else None


def measure(cell: Cell) -> Result:
    """Return what stabsearch says of a cell; the same cell gives the same but for the seconds."""
    fault = GALLERY[cell.fault]
    with tempfile.TemporaryDirectory(prefix="fault-gallery-") as folder:
        trial = _trial(fault, cell, folder)
        began = time.monotonic()
        # a workload of its own: what happens once in a trial must happen again
        diagnosis = _diagnosed(Case(fault.build(cell.seed), *_planned(fault, cell)))
        ladder_s = time.monotonic() - began
        return _result(fault, cell, trial, diagnosis, ladder_s)


def _planned(fault: Fault, cell: Cell) -> tuple[TrialPlan, TrialSetup]:
    return fault.plan(cell.seed, cell.precision), fault.setup()


def _trial(fault: Fault, cell: Cell, folder: str) -> _Trial:
    workload, (plan, setup) = fault.build(cell.seed), _planned(fault, cell)
    setup = replace(setup, bundle_dir=folder, max_bundle_bytes=BUNDLE_BYTES)
    return _Trial(workload, setup, run_trial(plan, workload, setup))


def _diagnosed(case: Case, findings: Sequence[Finding] | None = None) -> Diagnosis | Exception:
    try:
        return diagnose(case, findings)
    except Exception as error:  # noqa: BLE001 - a ladder that breaks is a miss, and is shown as one
        return error


def _unaided(trial: _Trial) -> Diagnosis | Exception:
    """Return what the ladder says of the trial without having looked at data and settings first."""
    case = Case(trial.workload, trial.record.plan, trial.setup)
    if trial.record.outcome is not Outcome.STABLE:
        case = replace(case, record=trial.record, bundle=trial.bundle)
    return _diagnosed(case, findings=())


def _result(
    fault: Fault, cell: Cell, trial: _Trial, diagnosis: Diagnosis | Exception, ladder_s: float
) -> Result:
    record, unaided = trial.record, _unaided(trial)
    findings = diagnosis.findings if isinstance(diagnosis, Diagnosis) else ()
    return Result(
        **{**cell._asdict(), "key": cell.key},
        planted=fault.cause.value if fault.cause else None,
        outcome=record.outcome.value,
        trial_cause=record.cause.value if record.cause else None,
        named=_cause(diagnosis),
        unaided=_cause(unaided),
        errors=tuple(each.rule for each in findings if each.is_error and not each.is_environment),
        planted_rows=fault.rows(cell.seed) if fault.rows else (),
        named_rows=_rows(diagnosis),
        unaided_rows=_rows(unaided),
        bundle_rows=_bundle_rows(trial.bundle) if trial.bundle else None,
        replay=replaying.verdict(trial.bundle) if trial.bundle else None,
        ladder_s=round(ladder_s, 2),
        sentence=_sentence(diagnosis),
        origin=_origin(unaided),
    )


def _cause(diagnosis: Diagnosis | Exception) -> str | None:
    if isinstance(diagnosis, Exception):
        return RAISED
    return diagnosis.cause.value if diagnosis.cause else None


def _rows(diagnosis: Diagnosis | Exception) -> tuple[int, ...]:
    return () if isinstance(diagnosis, Exception) else tuple(sorted(diagnosis.rows))


def _sentence(diagnosis: Diagnosis | Exception) -> str:
    if isinstance(diagnosis, Exception):
        return f"{type(diagnosis).__name__}: {diagnosis}"
    return diagnosis.sentence


def _origin(diagnosis: Diagnosis | Exception) -> str:
    replay = None if isinstance(diagnosis, Exception) else diagnosis.replay
    return str(replay["sentence"]) if replay else ""


def _bundle_rows(bundle: Path) -> tuple[int, ...]:
    window = read_bundle(bundle).manifest.window
    return tuple(sorted(row for micro_batch in window for row in micro_batch.rows or ()))
