"""The frontier as an MLflow model: configurations in, failure probabilities out.

MLflow copies this file beside ``frontier.json`` and runs the copy when the model is loaded, so it
imports nothing of the room it comes from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd  # MLflow reads the hints of predict
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from stabsearch.frontier import Frontier


class FrontierModel(PythonModel):  # type: ignore[misc]  # mlflow carries no types
    """Predicts how likely a configuration is to break training within the sweep's horizon."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the fitted frontier."""
        text = Path(context.artifacts["frontier"]).read_text(encoding="utf-8")
        self._frontier = Frontier.from_json(json.loads(text))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return failure probability and its credible interval, one row per configuration."""
        return self._frontier.predict(model_input)


set_model(FrontierModel())
