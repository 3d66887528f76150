"""The command line: one command per file; starts without torch, Ray, MLflow or transformers."""

from stabsearch.cli.app import main

__all__ = ["main"]
