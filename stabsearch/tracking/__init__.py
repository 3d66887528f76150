"""The mirror of a sweep in MLflow; the study stays the source of truth."""

from stabsearch.tracking.base import Delivery, Look, RunStatus, Tracker
from stabsearch.tracking.environment import quieten_mlflow
from stabsearch.tracking.factory import make_tracker
from stabsearch.tracking.null import NullTracker
from stabsearch.tracking.ui import ui_command

# MLflow reads its environment when it is imported, so this comes before any module that does.
quieten_mlflow()

__all__ = ["Delivery", "Look", "NullTracker", "RunStatus", "Tracker", "make_tracker", "ui_command"]
