"""Rules about tokens and masks: a sample that breaks each, and one that does not."""

from __future__ import annotations

import math
from typing import Any

from preflight_samples import (
    VOCABULARY,
    Look,
    bert,
    causal_collator,
    changed,
    class_rows,
    gpt2_classifier,
    llama,
    look,
    roberta,
    rows,
    text_rows,
    tokenizer,
    tokens,
)
from rule_samples import IDS, TEN, altered, causal


def with_mask(value: float) -> Any:
    """Return a collator that makes an additive mask of its own."""

    def change(batch: dict[str, Any]) -> dict[str, Any]:
        hidden = (1 - batch["attention_mask"].float()) * value
        length = batch["input_ids"].shape[1]
        return batch | {"attention_mask": hidden[:, None, None, :].expand(-1, 1, length, -1)}

    return altered(change)


def unknown(share: float) -> list[dict[str, Any]]:
    return rows(
        [i % 3 for i in range(12)],
        input_ids=lambda i: [1] * round(10 * share) + tokens(i, 10 - round(10 * share)),
    )


SAMPLES: dict[str, tuple[Look, Look]] = {
    "STAB-D030": (
        lambda: look(changed(class_rows(), 5, input_ids=[4, 5, 6, VOCABULARY])),
        lambda: look(changed(class_rows(), 5, input_ids=[4, 5, 6, VOCABULARY - 1])),
    ),
    "STAB-D031": (lambda: look(class_rows(), bert(vocab_size=VOCABULARY - 1)), lambda: look(class_rows())),
    "STAB-D032": (
        lambda: look(class_rows(), gpt2_classifier(pad_token_id=None)),
        lambda: look(class_rows(), gpt2_classifier(pad_token_id=0)),
    ),
    "STAB-D033": (
        lambda: look(rows(TEN, input_ids=lambda i: tokens(i, 10)), roberta()),
        lambda: look(rows(TEN, input_ids=lambda i: tokens(i, 9)), roberta()),
    ),
    "STAB-D034": (
        lambda: look([{"input_ids": tokens(i, 17)} for i in IDS], llama(), causal_collator()),
        lambda: look([{"input_ids": tokens(i, 16)} for i in IDS], llama(), causal_collator()),
    ),
    "STAB-D035": (
        lambda: look(changed(class_rows(), 5, attention_mask=[0] * 4)),
        lambda: look(changed(class_rows(), 5, attention_mask=[1, 0, 0, 0])),
    ),
    "STAB-D036": (
        lambda: causal(
            [row | {"attention_mask": [1] * 8} for row in text_rows()], processing_class=tokenizer()
        ),
        lambda: causal(text_rows(), processing_class=tokenizer()),
    ),
    "STAB-D037": (
        lambda: look(class_rows(), collator=with_mask(-1e9), precisions=["fp16"]),
        lambda: look(class_rows(), collator=with_mask(-1e4), precisions=["fp16"]),
    ),
    "STAB-D038": (
        lambda: look(rows(TEN, token_type_ids=lambda i: [1] * len(tokens(i))), roberta()),
        lambda: look(rows(TEN, token_type_ids=lambda i: [1] * len(tokens(i))), bert()),
    ),
    "STAB-D039": (lambda: look(unknown(0.5)), lambda: look(unknown(0.1))),
    "STAB-D040": (
        lambda: look(rows(TEN, weight=lambda i: math.nan if i == 5 else 1.0), remove_unused_columns=False),
        lambda: look(rows(TEN, weight=lambda i: math.nan if i == 5 else 1.0)),
    ),
    "STAB-D041": (
        lambda: look(changed(class_rows(), 5, attention_mask=[0.0, 0.0, 0.0, -1e9])),
        lambda: look(changed(class_rows(), 5, attention_mask=[1.0, 1.0, 1.0, 0.0])),
    ),
}
