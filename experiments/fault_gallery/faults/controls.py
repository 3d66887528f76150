"""Healthy trainings that look suspicious: nothing may be blamed."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from transformers import BertForMaskedLM, DataCollatorForLanguageModeling, GPT2Config, GPT2LMHeadModel

from experiments.fault_gallery import collators, sentences
from experiments.fault_gallery.fault import SILENT, Fault
from experiments.fault_gallery.faults.ignored import IGNORED, tagged, tagging
from experiments.fault_gallery.faults.label_types import with_vectors
from experiments.fault_gallery.faults.learning_rate import CATAPULT, healthy, two_layers
from experiments.fault_gallery.faults.rows import KEEP
from experiments.fault_gallery.faults.targets import REGRESSION, ratings
from experiments.fault_gallery.sentences import NUM_ROWS, NUM_TOPICS, VOCABULARY_SIZE, columns, tokenizer
from experiments.fault_gallery.trainers import HighScaleTrainer, SummedLossTrainer, WeightedTrainer
from experiments.fault_gallery.workload import Maker, Planted, table


def high_scale(seed: int) -> Planted:
    """Return healthy rows, and an fp16 loss scale that has to come down first."""
    return Planted(table(columns(seed)), trainer_class=HighScaleTrainer)


def imbalanced(seed: int) -> Planted:
    """Return rows of which one in sixteen is not of the first topic."""
    rng, rows = np.random.default_rng([seed, 8]), columns(seed)
    rare = {int(row): 1 + i % 2 for i, row in enumerate(rng.choice(NUM_ROWS, NUM_ROWS // 16, replace=False))}
    labels = [rare.get(row, 0) for row in range(NUM_ROWS)]
    ids = [sentences.sentence(rng, label) for label in labels]
    rows = {"input_ids": ids, "attention_mask": sentences.ones_like(ids), "labels": labels}
    return Planted(table(rows), chance_loss=0.25)


def noisy(share: float) -> Any:
    """Return a builder of rows of which this share has a label drawn at random."""

    def build(seed: int) -> Planted:
        rng, rows = np.random.default_rng([seed, 9]), columns(seed)
        drawn = rng.integers(NUM_TOPICS, size=NUM_ROWS)
        is_wrong = rng.random(NUM_ROWS) < share
        rows["labels"] = np.where(is_wrong, drawn, rows["labels"]).tolist()
        return Planted(table(rows))

    return build


def mostly_padding(seed: int) -> Planted:
    """Return short rows, padded to the longest that the model takes."""
    return Planted(table(columns(seed, max_words=6)), collator=collators.PadToLength(sentences.MAX_POSITIONS))


def some_empty(seed: int) -> Planted:
    """Return rows of which three hold no word, only what every text begins and ends with."""
    rows = columns(seed)
    for row in sentences.planted_rows(seed, 3):
        rows["input_ids"][row], rows["attention_mask"][row] = [sentences.CLS, sentences.SEP], [1, 1]
    return Planted(table(rows))


def some_ignored(seed: int) -> Planted:
    """Return tagged rows in which every third word has no tag."""
    rows = tagged(seed)
    for tags in rows["labels"]:
        tags[::3] = [IGNORED] * len(tags[::3])
    return tagging(rows)


def large_targets(seed: int) -> Planted:
    """Return targets around 1000: a loss of a million is where this regression starts."""
    rows = ratings(seed)
    rows["labels"] = [1000.0 + 100.0 * label for label in rows["labels"]]
    return Planted(table(rows), REGRESSION, chance_loss=1e4)


def high_dropout(seed: int) -> Planted:
    """Return healthy rows, and a model that forgets half of everything."""
    fields = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}
    return Planted(table(columns(seed)), Maker(fields=fields))


def masked_words(seed: int) -> Planted:
    """Return sentences with words to guess; output and input embeddings are one tensor."""
    return Planted(
        _texts(seed), Maker(BertForMaskedLM), math.log(VOCABULARY_SIZE),
        collator=DataCollatorForLanguageModeling(tokenizer(), mlm_probability=0.3),
    )  # fmt: skip


def next_words(seed: int) -> Planted:
    """Return sentences for a GPT-2, whose embeddings are tied too."""
    fields = {
        "n_embd": 32,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": sentences.MAX_POSITIONS,
        "bos_token_id": sentences.CLS,
        "eos_token_id": sentences.SEP,
        "pad_token_id": sentences.PAD,
    }
    return Planted(
        _texts(seed), Maker(GPT2LMHeadModel, GPT2Config, fields), math.log(VOCABULARY_SIZE),
        collator=DataCollatorForLanguageModeling(tokenizer(), mlm=False),
    )  # fmt: skip


def _texts(seed: int) -> Any:
    rows = columns(seed)
    del rows["labels"]
    return table(rows)


def soft_topics(seed: int) -> Planted:
    """Return a probability per topic, and a model that says so: multi-label on purpose."""
    soft = np.eye(NUM_TOPICS) * 0.8 + 0.1
    fields = {"problem_type": "multi_label_classification"}
    return Planted(table(with_vectors(seed, soft)), Maker(fields=fields), chance_loss=math.log(2))


def zero_weights(seed: int) -> Planted:
    """Return rows of which a fifth have weight zero."""
    rows = columns(seed)
    rows["weight"] = np.where(np.arange(NUM_ROWS) % 5 == 0, 0.0, 1.0).tolist()
    return Planted(table(rows), trainer_class=WeightedTrainer)


def summed_loss(seed: int) -> Planted:
    """Return healthy rows, and a loss that is a sum over the batch."""
    return Planted(table(columns(seed)), trainer_class=SummedLossTrainer)


_control = partial(Fault, family="healthy", cause=None, outcomes=SILENT)
CONTROLS = (
    _control("plain", "nothing out of the ordinary", healthy),
    _control("fp16-skips", "fp16 starts with a loss scale of 2**24 and skips its first updates", high_scale,
             precisions=("fp16",)),
    _control("catapult", "the loss grows sixfold in the first steps and comes back", two_layers, **CATAPULT,
             learning_rate=16.0),
    _control("imbalance", "one row in sixteen is of another class", imbalanced),
    _control("label-noise", "30 % of the labels are drawn at random", noisy(0.3)),
    _control("random-labels", "there is nothing to learn", noisy(1.0)),
    _control("much-padding", "most of every batch is padding", mostly_padding),
    _control("empty-texts", "three rows hold no word", some_empty),
    _control("some-ignored", "a third of the tags is -100", some_ignored),
    _control("large-targets", "regression targets around 1000", large_targets, learning_rate=0.1, horizon=40),
    _control("high-dropout", "dropout 0.5", high_dropout),
    _control("accumulation", "gradient accumulation of 4, which BERT's head adds up", healthy,
             training={"gradient_accumulation_steps": 4, "per_device_train_batch_size": 4}),
    _control("tied-masked-lm", "masked language model with tied embeddings", masked_words),
    _control("tied-causal-lm", "GPT-2 with tied embeddings", next_words),
    _control("soft-labels", "probabilities as targets, problem_type says so", soft_topics),
    _control("zero-weights", "a fifth of the sample weights is zero", zero_weights, training=KEEP),
    _control("summed-loss", "the loss is a sum over the batch", summed_loss),
)  # fmt: skip
