"""Starts the gallery's command line, one thread per process."""

import os
import sys

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> int:
    for name in THREADS:
        os.environ.setdefault(name, "1")  # read when numpy and torch are imported, and by child processes
    from experiments.fault_gallery import commands

    return commands.main()


if __name__ == "__main__":
    sys.exit(main())
