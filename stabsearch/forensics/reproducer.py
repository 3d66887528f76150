"""A stand-alone script that shows a bundle's failure with torch and Transformers alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stabsearch.forensics.rebuild import QUIET
from stabsearch.forensics.reproducer_template import ADAPTERS, NOISE, OWN_STEP, SCRIPT, STOCK_STEP

if TYPE_CHECKING:
    from stabsearch.capture.bundle import Bundle
    from stabsearch.capture.manifest import Manifest

STOCK_TRAINER = ("transformers.trainer", "Trainer")
MAX_TITLE = 160  # characters of a bad number or message in the script's first line


def reproducer(bundle: Bundle, place: Path) -> str:
    """Return the text of a script that runs the bundle's step; one with adapters needs PEFT too.

    A step or loss of the user's own (a Trainer subclass, ``compute_loss_func``) is imported from where it
    was; that module has to be on PYTHONPATH.

    Args:
        bundle: found whole, and replayed: its classes are trusted.
        place: where the script will stand; below the bundle's folder it finds the files beside it.
    """
    manifest = bundle.manifest
    has_adapters = manifest.model.adapters is not None
    is_beside = place.resolve().parent == bundle.folder.resolve()
    return SCRIPT.format(
        what=_title(manifest),
        torch=_as_comment(manifest.machine.get("torch", "?")),
        transformers=_as_comment(manifest.machine.get("transformers", "?")),
        here="Path(__file__).resolve().parent" if is_beside else f"Path({str(bundle.folder.resolve())!r})",
        name=_as_comment(place.name),
        step=OWN_STEP.format(quiet=QUIET) if _is_own(manifest) else STOCK_STEP,
        needs="torch, transformers and peft" if has_adapters else "torch and transformers",
        imports="import peft\n" if has_adapters else "",
        adapters=ADAPTERS if has_adapters else "",
        noise=NOISE if manifest.trainer.arguments.get("neftune_noise_alpha") is not None else "",
    )


def _is_own(manifest: Manifest) -> bool:
    """Return whether step or loss are not the stock Trainer's."""
    cls = manifest.trainer.cls
    return (cls.module, cls.name) != STOCK_TRAINER or manifest.trainer.loss_function is not None


def _title(manifest: Manifest) -> str:
    bad, rows = manifest.bad, manifest.window[-1].rows if manifest.window else None
    what = bad.text if bad.kind == "error" else f"{bad.kind} is {bad.text}"
    where = f" (training rows {', '.join(map(str, rows))})" if rows else ""
    return _as_comment(f"{what} at optimizer step {bad.step}{where}")


def _as_comment(text: str) -> str:
    """Return text that cannot end a docstring, whatever a bundle says."""
    plain = "".join(letter for letter in text if letter.isascii() and letter.isprintable())
    return plain.replace("\\", "/").replace('"', "'")[:MAX_TITLE]
