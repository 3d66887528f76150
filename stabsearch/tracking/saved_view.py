"""A view of a sweep's trials on MLflow's own page of runs: columns, filter, charts.

MLflow 3.17 keeps views that people save as tags of the experiment, lists them under "Views" and opens one by
its key in the address. Older servers show the tag and nothing else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stabsearch.tracking.layout import NUMBER_TAG, SWEEP_TAG

if TYPE_CHECKING:
    from collections.abc import Sequence

VIEW_TAG = "mlflow.sharedViewState."
KIND_TAG = {"mlflow.experimentKind": "custom_model_development"}
"""Without it MLflow's pages take the trials for evaluations of a language model."""

_METRICS = ("failed", "log10_learning_rate", "first_bad_step", "last_loss")
_TAGS = ("stabsearch.outcome", "stabsearch.cause", "stabsearch.stage")
_SECTIONS = (("where", "Where trials break", 1), ("curves", "Loss and gradient norm", 2))


def saved_view(name: str, sweep_id: str, searched: Sequence[str], now_ms: int) -> dict[str, str]:
    """Return the view as a tag of the experiment.

    Args:
        name: of the sweep, under which it is listed.
        sweep_id: its identity, and the view's key.
        searched: params that the trials vary, beside the learning rate.
        now_ms: milliseconds since the epoch.
    """
    # A tag of an experiment takes 5,000 characters.
    state = json.dumps(_state(sweep_id, searched), separators=(",", ":"))
    view = {"name": f"{name}: trials", "createdAt": now_ms, "updatedAt": now_ms, "state": state}
    return {f"{VIEW_TAG}{sweep_id}": json.dumps(view)}


def _state(sweep_id: str, searched: Sequence[str]) -> dict[str, Any]:
    return {
        "searchFilter": f"tags.`{SWEEP_TAG}` = '{sweep_id}' and tags.`{NUMBER_TAG}` != ''",
        # Pages and charts take the first 100: by a run's id, which is random, a fair sample of the trials.
        # Sorted by time, they would be the last ones, and folded under the sweep's run.
        "orderByKey": "attributes.`run_id`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [
            *(f"metrics.`{key}`" for key in _METRICS),
            *(f"params.`{key}`" for key in ("learning_rate", *searched)),
            *(f"tags.`{key}`" for key in _TAGS),
        ],
        "compareRunSections": [_section(*each) for each in _SECTIONS],
        "compareRunCharts": [_settings_chart(searched), _curve("train_loss"), _curve("grad_norm")],
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "runsHiddenMode": "FIRST_20_RUNS",  # of curves; the first chart shows all
    }


def _section(key: str, name: str, columns: int) -> dict[str, Any]:
    """Return a row of charts: by default three, where names of settings overlap."""
    is_shown = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
    return {"uuid": key, "name": name, "columns": columns, **is_shown}


def _chart(kind: str, section: str, name: str, **settings: Any) -> dict[str, Any]:
    fixed = {"deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    where = {"uuid": name, "type": kind, "metricSectionId": section, "displayName": name}
    return {**where, **fixed, **settings}


def _settings_chart(searched: Sequence[str]) -> dict[str, Any]:
    """Return parallel coordinates: MLflow colours the lines by the last metric, here the outcome."""
    metrics = ["log10_learning_rate", "failed"]
    name = "Settings, red where training broke"
    shown = {"selectedParams": list(searched), "selectedMetrics": metrics, "showAllRuns": True}
    return _chart("PARALLEL", "where", name, **shown)


def _curve(metric: str) -> dict[str, Any]:
    return _chart(
        "LINE", "curves", metric, metricKey=metric, selectedMetricKeys=[metric], lineSmoothness=0,
        xAxisScaleType="linear", scaleType="log", range={}, xAxisKey="step", selectedXAxisMetricKey="",
        yAxisKey="metric", yAxisExpressions=[], ignoreOutliers=False, useGlobalXaxisKey=False,
        useGlobalLineSmoothing=False,
    )  # fmt: skip
