"""``stabsearch gate``: is an existing training configuration inside the safe region?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stabsearch.cli.output import print_json, reader_may_leave
from stabsearch.errors import UserError


def gate(
    configs: Annotated[
        list[Path],
        typer.Argument(
            metavar="CONFIG...",
            help="TrainingArguments (JSON or YAML), axolotl's or accelerate's YAML, or lines of name=value; "
            "'-' reads them from the standard input. Several files are one configuration.",
        ),
    ],
    frontier: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="A sweep's folder or its frontier.json, the id of its MLflow run, or models:/NAME/VERSION.",
        ),
    ],
    max_risk: Annotated[
        float | None, typer.Option(help="Largest failure probability; default: the sweep's.")
    ] = None,
    form: Annotated[
        Literal["text", "json", "sarif"], typer.Option("--format", help="How to print the verdict.")
    ] = "text",
    rows: Annotated[
        int | None, typer.Option(min=1, help="Training rows, which turn epochs into steps.")
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow's store; default: MLFLOW_TRACKING_URI.")
    ] = None,
) -> None:
    """Say whether a training configuration is inside a sweep's safe region: 0 it is, 1 not, 2 cannot say."""
    from stabsearch.report.gate import error_sarif, gate_exit_code, gate_json, gate_sarif, gate_text
    from stabsearch.sweep.gating import gate_training

    try:
        result = gate_training(configs, frontier, max_risk, rows, tracking_uri)
    except UserError as error:
        if form == "sarif":
            print_json(error_sarif(error))
        raise
    confidence, horizon = result.stored.frontier.confidence, result.stored.horizon
    if form == "json":
        print_json(gate_json(result.gated, result.risk, confidence, horizon, result.notes))
    elif form == "sarif":
        place, line = result.training.lines["learning_rate"]
        print_json(gate_sarif(result.gated, place, line))
    else:
        with reader_may_leave():
            typer.echo(gate_text(result.gated, result.risk, confidence, horizon, result.notes), nl=False)
    raise typer.Exit(gate_exit_code(result.gated))
