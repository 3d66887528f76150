"""``stabsearch recommend``: the recommended TrainingArguments."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stabsearch.cli.arguments import SweepDir
from stabsearch.cli.output import reader_may_leave


def recommend(
    folder: SweepDir,
    max_risk: Annotated[
        float | None,
        typer.Option(help="Largest failure probability; default: the sweep's."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Only this precision.")] = None,
    form: Annotated[
        Literal["json", "yaml", "python", "flags"], typer.Option("--format", help="How to print it.")
    ] = "json",
) -> None:
    """Print the recommended TrainingArguments of a sweep."""
    from stabsearch.report.beside import beside
    from stabsearch.report.recommended import recommended_arguments, render
    from stabsearch.sweep import recommend_from

    choice = recommend_from(folder, max_risk=max_risk, precision=precision)
    answer = choice.answer
    typer.echo(answer.sentence, err=True)
    if answer.recommendation is not None:
        arguments = recommended_arguments(choice.sweep, answer.recommendation, answer.max_steps)
        needed = beside(choice.sweep, answer.recommendation.context, choice.findings.records)
        for need in needed if form in {"json", "flags"} else ():  # which have no place for it
            typer.echo(f"the run has to {need}", err=True)
        with reader_may_leave():
            typer.echo(render(arguments, form, needed), nl=False)
    raise typer.Exit(answer.verdict.exit_code)
