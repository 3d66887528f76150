"""Models with a flaw of their own; importable by name, so that a captured batch can be replayed."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

NUM_FEATURES = 4


class _Pooling(BertForSequenceClassification):
    """BERT whose sentence is a weighted mean of its tokens, with a mask made at home."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.score = torch.nn.Linear(config.hidden_size, 1)

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> SequenceClassifierOutput:
        """Return loss and logits."""
        tokens = self.bert(input_ids, attention_mask=attention_mask)[0]
        share = self.masked(self.score(tokens).squeeze(-1), attention_mask).softmax(-1)
        logits = self.classifier(self.dropout((share.unsqueeze(-1) * tokens).sum(1)))
        return SequenceClassifierOutput(loss=_cross_entropy(logits, labels), logits=logits)

    def masked(self, scores_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Return the scores with padding out of the race."""
        raise NotImplementedError


class InfiniteMask(_Pooling):
    """A row without a single token is a softmax over minus infinity alone: NaN."""

    def masked(self, scores_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Return minus infinity where there is padding."""
        return scores_BT.masked_fill(mask_BT == 0, -torch.inf)


class BillionMask(_Pooling):
    """The mask of old BERT code; -1e9 is minus infinity in fp16, and zero times that is NaN."""

    def masked(self, scores_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Return scores lowered by a billion where there is padding."""
        billion = torch.tensor(-1e9).to(scores_BT.dtype)
        return scores_BT + (1 - mask_BT.to(scores_BT.dtype)) * billion


class WithFeatures(BertForSequenceClassification):
    """BERT with a few numbers beside the text."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.from_features = torch.nn.Linear(NUM_FEATURES, config.num_labels)

    def forward(
        self, input_ids: Any, attention_mask: Any, features: Any, labels: Any = None
    ) -> SequenceClassifierOutput:
        """Return loss and logits."""
        text = self.classifier(self.dropout(self.bert(input_ids, attention_mask=attention_mask)[1]))
        logits = text + self.from_features(features)
        return SequenceClassifierOutput(loss=_cross_entropy(logits, labels), logits=logits)


class ExponentialHead(BertForSequenceClassification):
    """Predicts a positive quantity as exp(z), handed back in the number format of the layers.

    fp16 ends at 65504, that is at z = 11.1: fresh weights are far below, trained ones need not be.
    """

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> SequenceClassifierOutput:
        """Return loss and logits."""
        pooled = self.dropout(self.bert(input_ids, attention_mask=attention_mask)[1])
        z = self.classifier(pooled).squeeze(-1)
        quantity = z.float().exp().to(z.dtype)
        loss = None if labels is None else (quantity.log().float() - labels.log()).abs().mean()
        return SequenceClassifierOutput(loss=loss, logits=quantity)


class TwoLinearLayers(PreTrainedModel):
    """A regression on the words of a text: embeddings, their mean, one wide linear layer.

    The smallest network with a catapult (Lewkowycz et al. 2020, arXiv:2003.02218, section 2): at a rate
    between 2 and 4 over its curvature the loss rises first, which lowers the curvature, and then falls.
    """

    config_class = BertConfig
    width = 256

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.words = torch.nn.Embedding(config.vocab_size, self.width)
        self.head = torch.nn.Linear(self.width, 1, bias=False)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        if isinstance(module, torch.nn.Embedding | torch.nn.Linear):
            torch.nn.init.normal_(module.weight)

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> SequenceClassifierOutput:
        """Return loss and logits."""
        words = self.words(input_ids) * attention_mask.unsqueeze(-1)
        text = words.sum(1) / attention_mask.sum(1, keepdim=True)
        logits = self.head(text).squeeze(-1) / self.width**0.5
        loss = None if labels is None else torch.nn.functional.mse_loss(logits.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor | None:
    return None if labels is None else torch.nn.functional.cross_entropy(logits.float(), labels)
