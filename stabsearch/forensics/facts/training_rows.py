"""The training rows together with what is trained on them: what most rules need at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from stabsearch.forensics.facts.batch import BatchFacts
from stabsearch.forensics.facts.run import RunFacts
from stabsearch.forensics.facts.summary import ColumnSummary, RowSummary
from stabsearch.forensics.facts.target import LossKind, Target
from stabsearch.forensics.facts.tokens import TokenLimits


@dataclass(frozen=True)
class SourceFacts:
    """How far the rows could be read at all."""

    num_rows: int | None
    """None: a stream."""
    num_read: int
    run: RunFacts = field(default_factory=RunFacts)
    bad_row: int | None = None
    """The row that could not be read."""
    problem: str = ""
    """Why."""


@dataclass(frozen=True)
class Masking:
    """What a collator for masked language models does to tokens that are not special."""

    probability: float
    """Share of them that it hides, each by chance."""
    hides_one: bool = False
    """It hides at least one of a batch."""
    draws_tokens: bool = True
    """It puts random tokens of the tokenizer in the place of some."""


@dataclass(frozen=True)
class TrainingRows:
    """Rows, loss, tokens and run."""

    rows: RowSummary
    target: Target
    tokens: TokenLimits
    run: RunFacts
    label: str = ""
    """Column that becomes the labels; empty: the rows hold none, or the collator makes its own."""
    dropped: frozenset[str] = frozenset()
    """Columns that never reach the collator."""
    ignored_classes: tuple[tuple[str, int], ...] = ()
    """What leaves labels out, or fills them up, each with the label it takes for that."""
    masking: Masking | None = None
    """None: the collator hides no tokens."""

    @property
    def labels(self) -> ColumnSummary | None:
        """Return the labels; None where the rows hold none."""
        return self.rows.columns.get(self.label)

    def labels_of(self, *kinds: LossKind) -> ColumnSummary | None:
        """Return the labels where the loss is known to be one of ``kinds`` and they are numbers."""
        labels = self.labels
        is_meant = self.target.is_known and self.target.kind in kinds
        return labels if is_meant and labels is not None and labels.kind in NUMBERS else None

    @property
    def token_ids(self) -> ColumnSummary | None:
        """Return the token ids; None without any."""
        ids = self.rows.columns.get("input_ids")
        return ids if ids is not None and ids.is_list and ids.kind == "int" else None


NUMBERS = {"int", "float", "bool"}


@dataclass(frozen=True)
class LabelsAndLoss:
    """The labels of a batch, those of all rows as far as they are known, and the loss they meet."""

    batch: BatchFacts
    target: Target
    labels: ColumnSummary | None = None
    """Labels of all rows; None where the rows were not read, or hold none."""
    tokens: TokenLimits = field(default_factory=TokenLimits)
    precisions: tuple[str, ...] = ("fp32",)
    """Precisions that will be trained in."""
