"""The sweep a user asks for: strict, frozen, documented under each field."""

from stabsearch.config.load import LoadedSweep, load_sweep
from stabsearch.config.model import (
    Budget,
    Resources,
    Risk,
    Study,
    Sweep,
    Tracking,
    Training,
)
from stabsearch.config.paths import resolve_paths
from stabsearch.config.peft import Peft
from stabsearch.config.resolve import Resolved, resolve
from stabsearch.config.schema import sweep_schema
from stabsearch.config.search import LogRange, Search
from stabsearch.config.source import Source
from stabsearch.config.starter import starter_text
from stabsearch.config.table import schema_table
from stabsearch.config.tasks import (
    CausalLMTask,
    HubData,
    LocalData,
    MaskedLMTask,
    ModelConfig,
    MultiLabelTask,
    QuickstartTask,
    RegressionTask,
    ScriptTask,
    Seq2SeqTask,
    SequenceClassificationTask,
    Task,
    TextTask,
    TokenClassificationTask,
    TrainerTask,
)
from stabsearch.config.write import difference, identity, resolved_text

__all__ = [
    "Budget",
    "CausalLMTask",
    "HubData",
    "LoadedSweep",
    "LocalData",
    "LogRange",
    "MaskedLMTask",
    "ModelConfig",
    "MultiLabelTask",
    "Peft",
    "QuickstartTask",
    "RegressionTask",
    "Resolved",
    "Resources",
    "Risk",
    "ScriptTask",
    "Search",
    "Seq2SeqTask",
    "SequenceClassificationTask",
    "Source",
    "Study",
    "Sweep",
    "Task",
    "TextTask",
    "TokenClassificationTask",
    "Tracking",
    "TrainerTask",
    "Training",
    "difference",
    "identity",
    "load_sweep",
    "resolve",
    "resolve_paths",
    "resolved_text",
    "schema_table",
    "starter_text",
    "sweep_schema",
]
