"""What a replay showed, for people and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stabsearch.capture.bundle import Bundle
    from stabsearch.capture.manifest import Suspects
    from stabsearch.forensics.replay import Replayed

EXPLAINED = {
    "bit-exact": "losses, outputs and gradients are the same in every bit",
    "reproduced": "it is bad again, though not in the same bits",
    "not reproduced": "the failure did not come back",
}
MAX_NAMES, MAX_TEXTS = 8, 3
"""Guilty rows that are named, and those whose text is shown; ``--json`` has all of them."""


def replay_text(bundle: Bundle, found: Replayed) -> str:
    """Return lines of ``name  value`` for a terminal of 80 columns and more."""
    manifest = bundle.manifest
    lines = [
        f"{found.verdict.value}: {EXPLAINED[found.verdict.value]}",
        f"captured   {_bad(bundle)}",
        f"replayed   {found.precision} on {found.device}, {found.weights} weights: {_numbers(found)}",
    ]
    if manifest.cause:
        lines.append(f"cause      {manifest.cause}")
    if found.localisation is not None:
        lines.append(f"origin     {found.localisation.sentence}")
    lines += [f"rows       {line}" for line in _rows(bundle, found.suspects)]
    lines += [f"note       {caveat}" for caveat in found.caveats]
    return "\n".join(lines)


def replay_json(bundle: Bundle, found: Replayed) -> dict[str, Any]:
    """Return the same as strict JSON data."""
    manifest = bundle.manifest
    return {
        "bundle": str(bundle.folder),
        "verdict": found.verdict.value,
        "captured": {
            "kind": manifest.bad.kind, "value": manifest.bad.text, "step": manifest.bad.step,
            "micro_batch": manifest.bad.micro_batch, "precision": manifest.numerics.precision,
            "cause": manifest.cause or None, "outcome": manifest.outcome or None,
        },
        "replayed": {
            "precision": found.precision, "weights": found.weights, "device": found.device,
            "losses": [_json(loss) for loss in found.seen.losses], "grad_norm": _json(found.seen.grad_norm),
            "error": found.seen.error or None,
        },
        "rows": {
            "in_batch": list(manifest.window[-1].rows or ()) if manifest.window else [],
            "suspects": list(found.suspects.rows), "places": list(found.suspects.places),
            "is_specific": found.suspects.is_specific,
        },
        "origin": found.localisation.to_json() if found.localisation is not None else None,
        "notes": list(found.caveats),
    }  # fmt: skip


def _bad(bundle: Bundle) -> str:
    manifest, bad = bundle.manifest, bundle.manifest.bad
    what = {
        "error": bad.text,
        "skipped": "the fp16 loss scaler skipped this update and every later one",
    }.get(bad.kind, f"{bad.kind} is {bad.text}")
    return f"{what}, optimizer step {bad.step}, micro-batch {bad.micro_batch}, {manifest.numerics.precision}"


def _numbers(found: Replayed) -> str:
    if found.seen.error:
        return found.seen.error
    losses = ", ".join(f"{loss:.4g}" for loss in found.seen.losses)
    return f"loss {losses}, gradient norm {found.seen.grad_norm:.4g}"


def _rows(bundle: Bundle, suspects: Suspects) -> list[str]:
    """Return which rows are to blame, with their texts."""
    window = bundle.manifest.window
    if not window or not suspects.places:
        return []
    if not suspects.is_specific:
        return ["every row of the batch is bad by itself: no single row is to blame"]
    names = [f"training row {row}" for row in suspects.rows] or [
        f"place {place}" for place in suspects.places
    ]
    listed = ", ".join(names[:MAX_NAMES]) + (
        f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    )
    texts = window[min(suspects.micro_batch, len(window) - 1)].texts or ()
    shown = [
        f"{name}: {texts[place]!r}"
        for name, place in zip(names[:MAX_TEXTS], suspects.places, strict=False)
        if place < len(texts)
    ]
    return [f"without {listed} the batch is finite", *shown]


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
