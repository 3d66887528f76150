"""``stabsearch init``: a commented sweep to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stabsearch.errors import UserError


def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("sweep.yaml"),
) -> None:
    """Write a commented starter sweep that runs as it is."""
    from stabsearch.config.starter import starter_text

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter_text())
    except FileExistsError:
        raise UserError(f"{path} exists already", "choose another name; nothing was overwritten") from None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}", "choose a folder that exists and is yours"
        ) from None
    typer.echo(f"wrote {path}\nnext: stabsearch run {path}")
