"""``python -m stabsearch``: the command line of the interpreter that is named, wherever its scripts lie."""

from stabsearch.cli import main

if __name__ == "__main__":
    main()
