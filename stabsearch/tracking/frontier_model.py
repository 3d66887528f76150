"""The frontier as an MLflow model: configurations in, failure probabilities out.

MLflow copies this file beside ``frontier.json`` and runs the copy when the model is loaded, so it imports
nothing of the room it comes from. Where stabsearch is not installed, what it needs comes from the model's own
``numbers.zip``; the archive goes to the end of the path, so that it never hides an installed stabsearch. One
of another version is refused: it may read the frontier otherwise, and a process holds one stabsearch only.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd  # MLflow reads the hints of predict
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class FrontierModel(PythonModel):  # type: ignore[misc]  # mlflow carries no types
    """Predicts how likely a configuration is to break training within the sweep's horizon."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the fitted frontier.

        Raises:
            MlflowException: a stabsearch of another version is installed, or came with another model.
        """
        if importlib.util.find_spec("stabsearch") is None:
            sys.path.append(context.artifacts["numbers"])
        _check_version(context.model_config["stabsearch"])
        from stabsearch.frontier import Frontier, TableError

        text = Path(context.artifacts["frontier"]).read_text(encoding="utf-8")
        self._frontier = Frontier.from_json(json.loads(text))
        self._refusal = TableError

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return failure probability and its credible interval, one row per configuration, in their order.

        Raises:
            MlflowException: a value that cannot be used, or settings that were not searched; it names the
                row, and what is known. A server answers it with status 400.
        """
        try:
            return self._frontier.predict(model_input)
        except self._refusal as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def _check_version(wanted: str) -> None:
    import stabsearch

    found = getattr(stabsearch, "__version__", "of an unknown version")  # a folder of this name has none
    if found != wanted:
        raise MlflowException.invalid_parameter_value(
            f"the frontier was registered by stabsearch {wanted}, and stabsearch {found} is here; load it "
            f"where stabsearch {wanted} is installed, or none: the model brings its own"
        )


set_model(FrontierModel())
