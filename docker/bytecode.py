"""Compile what every start imports; the rest (thousands of model files) is compiled when it is used.

All bytecode of the environment would be half a gigabyte. Imported modules write theirs as they load;
Ray's and MLflow's processes import more than can be named here, so those two are compiled whole.
"""

import compileall
import importlib
import pathlib
import sys

IMPORTED = [
    "torch.distributed.fsdp",
    "torch.utils.data",
    "transformers.trainer",
    "transformers.models.auto",
    "transformers.models.bert.modeling_bert",
    "accelerate",
    "peft",
    "datasets",
    "optuna",
    "optuna.storages.journal",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "scipy.optimize",
    "matplotlib.pyplot",
    "pydantic",
    "typer",
    "rich.live",
    "ray.tune",
    "ray.dashboard.dashboard",
    "ray.job_submission",
    "mlflow.pyfunc",
    "mlflow.server",
]
COMPILED_WHOLE = ["ray", "mlflow", "aiohttp", "fastapi", "starlette", "uvicorn", "alembic"]


def main() -> None:
    """Import and compile; a package that does not load ends the build here, not in a cluster."""
    for name in IMPORTED:
        importlib.import_module(name)
    for name in COMPILED_WHOLE:
        folder = pathlib.Path(str(importlib.import_module(name).__file__)).parent
        if not compileall.compile_dir(folder, quiet=1, workers=0):
            sys.exit(f"could not compile {folder}")


if __name__ == "__main__":
    main()
