"""The frontier as an MLflow model: configurations in, failure probabilities out.

MLflow copies this file beside ``frontier.json`` and runs the copy when the model is loaded, so it imports
nothing of the room it comes from. Where stabsearch is not installed, what it needs comes from the model's own
``numbers.zip``; the archive goes to the end of the path, so that it never hides an installed stabsearch.
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
        """Read the fitted frontier."""
        if importlib.util.find_spec("stabsearch") is None:
            sys.path.append(context.artifacts["numbers"])
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


set_model(FrontierModel())
