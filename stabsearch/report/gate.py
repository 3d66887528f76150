"""The verdict on an existing training configuration: for people, as JSON, and as SARIF for code scanning."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stabsearch.errors import ExitCode, UserError
from stabsearch.frontier.gate import Change, Gated, Judged, Standing
from stabsearch.records.hyperparameters import Value, number
from stabsearch.report.wording import percent, printable, rate_interval
from stabsearch.version import __version__

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES: Mapping[Standing, tuple[str, str, str]] = {
    Standing.TOO_RISKY: (
        "STAB-G001",
        "TooRisky",
        "The training configuration lies above the frontier of the sweep: it is likely to break.",
    ),
    Standing.NOT_ENOUGH_EVIDENCE: (
        "STAB-G002",
        "NotEnoughEvidence",
        "The sweep's trials do not show that the training configuration is safe.",
    ),
}
_TITLES = {
    Standing.INSIDE: "inside the safe region",
    Standing.TOO_RISKY: "too risky",
    Standing.NOT_ENOUGH_EVIDENCE: "not enough evidence",
}


def gate_sentence(gated: Gated) -> str:
    """Return what is wrong and what to change by how much, or how much room there is; one line."""
    judged = gated.judged
    if judged.standing is Standing.INSIDE:
        return f"{_compared(judged)} in {judged.context.label}{_because(judged)}"
    changes = [f"; or {_setting(each)}" for each in gated.cures]
    if not changes:
        changes = [f"; or {_setting(each)} up to {_rate(each.judged.safe or 0.0)}" for each in gated.raises]
    return f"{_compared(judged)} in {judged.context.label}{_because(judged)}{''.join(changes)}"


def _compared(judged: Judged) -> str:
    given = f"learning_rate {_rate(judged.learning_rate)}"
    if judged.safe is None:
        return f"{given}: no safe learning rate is known"
    ratio = judged.learning_rate / judged.safe
    is_inside = judged.standing is Standing.INSIDE
    distance = f"{_factor(1 / ratio)} below" if is_inside else f"{_factor(ratio)} above"
    return (
        f"{given} is {distance} the safe {_rate(judged.safe)} "
        f"(interval {rate_interval(judged.lr_low, judged.lr_high)})"
    )


def _rate(value: float) -> str:
    """Return a learning rate as people write it, with at most six digits.

    >>> _rate(8e-5), _rate(0.00193)
    ('8e-5', '1.93e-3')
    """
    mantissa, exponent = f"{value:.5e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _factor(ratio: float) -> str:
    """Return a ratio with as many digits as tell it from 1.

    >>> _factor(2.11), _factor(1.004), _factor(12.3)
    ('2.1x', '1.004x', '12x')
    """
    digits = 2 if ratio >= 1.05 else 4
    return f"{float(f'{ratio:.{digits}g}'):g}x"


def _because(judged: Judged) -> str:
    return f" ({judged.reason})" if judged.reason else ""


def _setting(change: Change) -> str:
    return change.value if isinstance(change.value, str) else f"{_named(change.name)} {_value(change.value)}"


def _named(name: str) -> str:
    return {"warmup_steps": "warmup", "max_grad_norm": "clip"}.get(name, name)


def _value(value: Value) -> str:
    return value if isinstance(value, str) else number(value)


def gate_text(
    gated: Gated, risk: float, confidence: float, horizon: int | None, notes: tuple[str, ...]
) -> str:
    """Return the verdict for people, several lines, the sentence first."""
    judged = gated.judged
    within = f"within {horizon} steps" if horizon else "within the horizon of the trials"
    lines = [
        f"{_TITLES[judged.standing]}: {gate_sentence(gated)}",
        f"  failure probability {percent(judged.failure_probability)} "
        f"({percent(judged.probability_low)} to {percent(judged.probability_high)}) {within}; allowed "
        f"{percent(risk)}, intervals at {percent(confidence)}; {judged.num_trials} trials of this kind, "
        f"{judged.num_failed} failed",
    ]
    if judged.standing is not Standing.INSIDE:
        lines += [f"  {_change_line(change)}" for change in gated.changes]
    return "\n".join(_one_line(line) for line in [*lines, *(f"  note: {n}" for n in notes)]) + "\n"


def _one_line(line: str) -> str:
    """Return a line without control characters, its indentation kept."""
    return f"{'  ' if line.startswith('  ') else ''}{printable(line)}"


def _change_line(change: Change) -> str:
    judged = change.judged
    said = "no safe learning rate known" if judged.safe is None else f"safe up to {_rate(judged.safe)}"
    why = f": {judged.reason}" if judged.safe is None and judged.reason else ""
    return f"with {change.name} {_value(change.value)}: {said} ({judged.num_trials} trials{why})"


def gate_exit_code(gated: Gated) -> ExitCode:
    """Return what the command ends with."""
    return {
        Standing.INSIDE: ExitCode.ANSWER,
        Standing.TOO_RISKY: ExitCode.AGAINST,
        Standing.NOT_ENOUGH_EVIDENCE: ExitCode.CANNOT_JUDGE,
    }[gated.judged.standing]


def gate_json(
    gated: Gated, risk: float, confidence: float, horizon: int | None, notes: tuple[str, ...]
) -> dict[str, Any]:
    """Return the verdict as strict JSON data."""
    return {
        "exit_code": int(gate_exit_code(gated)),
        "verdict": gated.judged.standing.value,
        "sentence": gate_sentence(gated),
        "max_risk": risk,
        "confidence": confidence,
        "horizon": horizon,
        **_judged_json(gated.judged),
        "cures": [f"{each.name}={_value(each.value)}" for each in gated.cures],
        "changes": [
            {"name": each.name, "value": each.value, **_judged_json(each.judged)} for each in gated.changes
        ],
        "notes": list(notes),
    }


def _judged_json(judged: Judged) -> dict[str, Any]:
    return {
        "standing": judged.standing.value,
        "reason": judged.reason,
        "learning_rate": judged.learning_rate,
        "context": judged.context.settings,
        "safe_learning_rate": judged.safe,
        "lr_low": _finite(judged.lr_low),
        "lr_high": _finite(judged.lr_high),
        "failure_probability": judged.failure_probability,
        "probability_low": judged.probability_low,
        "probability_high": judged.probability_high,
        "num_trials": judged.num_trials,
        "num_failed": judged.num_failed,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def gate_sarif(gated: Gated, place: str, line: int) -> dict[str, Any]:
    """Return the verdict as SARIF 2.1.0; no result: inside the safe region.

    Args:
        gated: the verdict.
        place: the configuration's file; a path inside the repository, for code scanning to show it.
        line: 1-based line of the learning rate; 0: not known.
    """
    standing = gated.judged.standing
    if standing is Standing.INSIDE:
        return _sarif([])
    rule = _RULES[standing][0]
    uri = _uri(place)
    # alerts of one file and rule are one alert, whatever line they stand on
    print_of = hashlib.sha256(f"{rule} {uri}".encode()).hexdigest()
    result = {
        "ruleId": rule,
        "ruleIndex": list(_RULES).index(standing),
        "level": "error",
        "message": {"text": _unlinked(f"{_TITLES[standing]}: {gate_sentence(gated)}")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri},
                    "region": {"startLine": max(line, 1)},
                }
            }
        ],
        "partialFingerprints": {"stabsearchGate/v1": print_of},
    }
    return _sarif([result])


def error_sarif(error: UserError) -> dict[str, Any]:
    """Return SARIF of a gate that could not judge: a failed run without results."""
    notification = {
        "level": "error",
        "message": {"text": _unlinked(". ".join(filter(None, (error.message, error.hint))))},
    }
    return _sarif([], {"executionSuccessful": False, "toolExecutionNotifications": [notification]})


def _sarif(results: list[dict[str, Any]], invocation: dict[str, Any] | None = None) -> dict[str, Any]:
    driver = {
        "name": "stabsearch gate",
        "semanticVersion": __version__,
        "rules": [
            {
                "id": rule,
                "name": name,
                "shortDescription": {"text": text},
                "fullDescription": {"text": text},
                "defaultConfiguration": {"level": "error"},
                "help": {"text": "Lower the learning rate to the safe one, or take a change that is named."},
            }
            for rule, name, text in _RULES.values()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation or {"executionSuccessful": True}],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _uri(place: str) -> str:
    """Return a path as a relative URI where it lies below the current folder."""
    path = Path(place)
    try:
        path = path.resolve().relative_to(Path.cwd().resolve())
    except (OSError, ValueError):
        return path.absolute().as_uri() if path.is_absolute() else quote(path.as_posix())
    return quote(path.as_posix())


def _unlinked(text: str) -> str:
    """Return a text in which SARIF sees no link: it takes ``[words](address)`` for one."""
    return printable(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
