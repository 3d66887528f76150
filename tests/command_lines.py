"""Which options a program of the image knows, asked of the program itself."""

from __future__ import annotations

from functools import cache

from stabsearch.driver.environment import prepare


@cache
def _options(program: str, command: str) -> frozenset[str]:
    if program == "ray":
        prepare(is_local=True)
        from ray.scripts.scripts import cli

        found = cli.commands[command]
    elif program == "mlflow":
        from mlflow.cli import cli as mlflow_cli

        found = mlflow_cli.commands[command]
    else:
        from typer.main import get_command

        from stabsearch.cli.app import app

        assert program == "stabsearch", program
        found = get_command(app).commands[command]  # type: ignore[attr-defined]
    return frozenset(
        option for parameter in found.params for option in parameter.opts + parameter.secondary_opts
    )


def unknown_options(words: list[str]) -> set[str]:
    """Return the options of a command line that its program would refuse.

    Raises:
        KeyError: the program has no such command.
    """
    program, command, *rest = words
    given = {word.split("=")[0] for word in rest if word.startswith("--")}
    return given - _options(program, command)
