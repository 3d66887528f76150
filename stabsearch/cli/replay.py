"""``stabsearch replay``: a captured first bad batch once more."""

from __future__ import annotations

import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from stabsearch.cli.arguments import AsJson
from stabsearch.cli.output import print_json, reader_may_leave
from stabsearch.errors import ExitCode

if TYPE_CHECKING:
    from stabsearch.capture.bundle import Bundle


def replay(
    folder: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder such as runs/<name>/bad_batches/0007.")
    ],
    precision: Annotated[
        str | None, typer.Option(help="fp32, tf32, bf16, bf16-pure or fp16; default: as captured.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="captured (before the bad step) or initial (before the training).")
    ] = "captured",
    row: Annotated[
        list[int], typer.Option(help="Only this row: its number in the training data. Repeatable.")
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: as captured.")] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Import classes from outside of torch and Transformers.")
    ] = False,
    script: Annotated[
        Path | None, typer.Option(help="Where the stand-alone script goes; default: into the bundle.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a captured bad step again: is it bad again, where does it begin, which rows are to blame."""
    from stabsearch.capture.bundle import read_bundle
    from stabsearch.forensics.replay import Options, Verdict
    from stabsearch.forensics.replay import replay as run_again
    from stabsearch.forensics.replay_report import replay_json, replay_text

    if weights not in {"captured", "initial"}:
        raise typer.BadParameter(f"{weights!r} is neither captured nor initial", param_hint="--weights")
    which = cast(Literal["captured", "initial"], weights)
    bundle = read_bundle(folder)
    found = run_again(bundle, Options(precision, which, tuple(row), device, trust_code))
    place = _written(bundle, script)
    if as_json:
        print_json({**replay_json(bundle, found), "script": str(place) if place else None})
    else:
        with reader_may_leave():
            typer.echo(_fitted(replay_text(bundle, found)))
            typer.echo(
                f"script     {place or 'not written: the folder is read-only, name one with --script'}"
            )
    is_back = found.verdict is not Verdict.NOT_REPRODUCED
    raise typer.Exit(ExitCode.ANSWER if is_back else ExitCode.AGAINST)


def _fitted(text: str) -> str:
    """Return lines cut to the terminal, continued under their values; elsewhere they stay whole."""
    if not sys.stdout.isatty():
        return text
    width, indent = shutil.get_terminal_size().columns, " " * len("captured   ")
    lines = (textwrap.wrap(line, width, subsequent_indent=indent) for line in text.splitlines())
    return "\n".join(part for wrapped in lines for part in wrapped)


def _written(bundle: Bundle, script: Path | None) -> Path | None:
    """Return where the script was written, None where it could not be."""
    from stabsearch.errors import UserError
    from stabsearch.forensics.reproducer import reproducer

    place = script or bundle.folder / "reproduce.py"
    try:
        with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False, encoding="utf-8") as part:
            part.write(reproducer(bundle, place))
        Path(part.name).replace(place)  # a link that stands there is replaced, never followed
    except OSError as error:
        if script is not None:
            raise UserError(f"cannot write {script}: {error.strerror}", "choose another place") from None
        return None
    return place
