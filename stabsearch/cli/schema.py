"""``stabsearch schema``: the JSON schema of sweep.yaml."""

from __future__ import annotations

from stabsearch.cli.output import print_json


def schema() -> None:
    """Print the JSON schema of sweep.yaml, for editors."""
    from stabsearch.config.schema import sweep_schema

    print_json(sweep_schema())
