"""The process of one method: ``python -m experiments.speed_benchmark.method MODULE FOLDER``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from experiments.speed_benchmark.setting import Setting

if __name__ == "__main__":
    module, folder = sys.argv[1], Path(sys.argv[2])
    import_module(f"experiments.speed_benchmark.methods.{module}").run(Setting.load(folder), folder)
