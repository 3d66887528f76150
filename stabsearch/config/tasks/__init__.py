"""What is trained: the part ``task`` of ``sweep.yaml``."""

from typing import Annotated

from pydantic import Field

from stabsearch.config.tasks.heads import (
    MultiLabelTask,
    RegressionTask,
    SequenceClassificationTask,
    TokenClassificationTask,
)
from stabsearch.config.tasks.language import CausalLMTask, MaskedLMTask, Seq2SeqTask
from stabsearch.config.tasks.own_code import ScriptTask, TrainerTask
from stabsearch.config.tasks.quickstart import QuickstartTask
from stabsearch.config.tasks.sources import HubData, LocalData, ModelConfig, TextTask

Task = Annotated[
    QuickstartTask
    | SequenceClassificationTask
    | MultiLabelTask
    | RegressionTask
    | TokenClassificationTask
    | CausalLMTask
    | MaskedLMTask
    | Seq2SeqTask
    | TrainerTask
    | ScriptTask,
    Field(discriminator="type"),
]

__all__ = [
    "CausalLMTask",
    "HubData",
    "LocalData",
    "MaskedLMTask",
    "ModelConfig",
    "MultiLabelTask",
    "QuickstartTask",
    "RegressionTask",
    "ScriptTask",
    "Seq2SeqTask",
    "SequenceClassificationTask",
    "Task",
    "TextTask",
    "TokenClassificationTask",
    "TrainerTask",
]
