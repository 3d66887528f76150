"""``python -m stabsearch.cli``: the same program without its script."""

from stabsearch.cli.app import main

main()
