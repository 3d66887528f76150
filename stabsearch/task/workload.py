"""The workload of every built-in task: rows, collator, and a maker of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import Trainer

from stabsearch.task.models import PretrainedCopies
from stabsearch.task.padding import picked_or_plain

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

    from stabsearch.task.rows import TokenRows

MakeModel = Callable[[int], "PreTrainedModel"]
"""Model seed -> fresh float32 model."""


@dataclass(frozen=True)
class RowWorkload:
    """Tokenised rows, and what is trained on them."""

    rows: TokenRows
    chance_loss: float
    """Loss of the trivial predictor of the label marginals, in the task's own units (see its module)."""
    tokenizer: PreTrainedTokenizerBase
    collator: Any
    """Rows -> batch."""
    make_model: MakeModel
    held_out: TokenRows | None = None
    """What a trial that survived is evaluated on, None: nothing."""

    @property
    def num_rows(self) -> int:
        """Return how many rows are trained on."""
        return len(self.rows)

    def model(self, model_seed: int) -> PreTrainedModel:
        """Return a fresh model whose new weights come from ``model_seed`` alone."""
        return self.make_model(model_seed)

    def collator_for(self, args: TrainingArguments) -> Any:
        """Return the collator of one trial; the shared one, unless it draws random numbers."""
        return self.collator

    def eval_dataset(self, trainer: Trainer) -> TokenRows | None:
        """Return the rows that a Trainer of this workload is evaluated on, None where there are none."""
        return self.held_out

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return a Trainer on a fresh model and the shared rows."""
        make, collator = self.make_model, self.collator_for(args)
        model = make.on(args.device, model_seed) if isinstance(make, PretrainedCopies) else make(model_seed)
        rows = picked_or_plain(self.rows, collator, model, removes_unused=args.remove_unused_columns)
        return Trainer(model=model, args=args, train_dataset=rows, data_collator=collator)
