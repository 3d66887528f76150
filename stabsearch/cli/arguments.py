"""Arguments that several commands take, described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file, such as sweep.yaml.")]
SweepDir = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep: <output_dir>/<name>.")]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the sweep: --set budget.trials=20. Repeatable."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Address = Annotated[
    str | None, typer.Option(help="Address of a Ray cluster; short for --set resources.address=ADDRESS.")
]
ResumeHow = Annotated[
    Literal["auto", "must", "never"],
    typer.Option(help="Go on with what was interrupted: auto if there is something, must, or never."),
]
JobAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="Job server of the cluster: http://HEAD:8265. Default: RAY_API_SERVER_ADDRESS or RAY_ADDRESS, "
        "else a cluster on this machine.",
    ),
]
JobId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the job, or the name of its sweep for the latest one.")
]
