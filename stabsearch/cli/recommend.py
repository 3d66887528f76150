"""``stabsearch recommend``: the recommended TrainingArguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stabsearch.cli.arguments import SweepDir
from stabsearch.cli.output import print_json, reader_may_leave
from stabsearch.errors import ExitCode, UserError


def recommend(
    folder: SweepDir,
    max_risk: Annotated[
        float | None,
        typer.Option(help="Largest failure probability; default: the sweep's."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Only this precision.")] = None,
    utility: Annotated[
        Literal["cost", "learning_rate", "loss"] | None,
        typer.Option(
            help="What a safe configuration is chosen by: cheapest precision, highest learning rate, "
            "lowest loss (on held-out rows, if there are any); default: highest learning rate, and of near "
            "equals the cheapest precision."
        ),
    ] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="What risk buys: the best loss at each risk.")
    ] = False,
    form: Annotated[
        Literal["json", "yaml", "python", "flags"] | None,
        typer.Option("--format", help="How to print it; default: json, a table for --pareto."),
    ] = None,
) -> None:
    """Print the recommended TrainingArguments of a sweep."""
    if pareto:
        _pareto(folder, max_risk, precision, form)
    from stabsearch.frontier.preference import Utility
    from stabsearch.report.beside import beside
    from stabsearch.report.recommended import render
    from stabsearch.sweep import recommend_from

    wanted = Utility(utility) if utility else None
    choice = recommend_from(folder, max_risk=max_risk, precision=precision, utility=wanted)
    answer = choice.answer
    typer.echo(answer.sentence, err=True)
    if answer.recommendation is not None and choice.recommended is not None:
        needed = beside(choice.sweep, answer.recommendation.context, choice.findings.records)
        for need in needed if form in {None, "json", "flags"} else ():  # which have no place for it
            typer.echo(f"the run has to {need}", err=True)
        with reader_may_leave():
            typer.echo(render(choice.recommended, form or "json", needed), nl=False)
    raise typer.Exit(answer.verdict.exit_code)


def _pareto(folder: Path, max_risk: float | None, precision: str | None, form: str | None) -> None:
    from stabsearch.frontier.preference import pareto_front
    from stabsearch.report.pareto import pareto_json, pareto_text
    from stabsearch.sweep import configurations_of, recommend_from

    if form not in {None, "json"}:
        raise UserError(f"--pareto has no format {form}", "leave --format out, or write --format json")
    result = recommend_from(folder, max_risk=max_risk, precision=precision)
    front = pareto_front(configurations_of(result))
    risk, horizon = result.sweep.risk.max_failure_probability, result.answer.horizon
    if form == "json":
        print_json(pareto_json(front, risk, horizon))
    elif front:
        with reader_may_leave():
            typer.echo(pareto_text(front, risk, horizon), nl=False)
    else:
        typer.echo("no trial has survived yet", err=True)
    raise typer.Exit(ExitCode.ANSWER if front else ExitCode.CANNOT_JUDGE)
