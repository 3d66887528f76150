"""Write rows for the tasks with a head: sentences of made-up words that say what their labels are.

python experiments/make_task_data.py FOLDER [--rows 4000]

Three files: multi_label.jsonl (text, labels), regression.csv (text, mood, force) and
token_classification.jsonl (text, tokens, tags). The same rows on every machine; a share of all labels is
wrong, so that none of the tasks can be solved fully. All have a column ``text`` for train_tokenizer.py.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

SEED = 7
SYLLABLES = ("ka", "lo", "mi", "ru", "se", "tan", "vor", "bel", "dis", "fen")
WORDS = tuple(first + second + end for first in SYLLABLES for second in SYLLABLES for end in ("", "n"))
NUM_SIGNS = 12  # words that say a topic
TOPICS = ("sport", "food", "travel", "money", "music")
TOPIC_SHARES = (0.5, 0.3, 0.2, 0.1, 0.05)  # chosen: common and rare labels, as real sets have them
LABEL_NOISE = 0.02
NUMBER_NOISE = 0.3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--rows", type=int, default=4000, help="in each file")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    for name, make in {"multi_label": multi_label, "token_classification": token_classification}.items():
        frame = pd.DataFrame([make(rng) for _ in range(options.rows)])
        frame.to_json(options.folder / f"{name}.jsonl", orient="records", lines=True)
    frame = pd.DataFrame([regression(rng) for _ in range(options.rows)])
    frame.to_csv(options.folder / "regression.csv", index=False)
    print(f"{options.folder}: three files of {options.rows} rows")
    return 0


def multi_label(rng: Generator) -> dict[str, Any]:
    """Return a sentence with a word or two of each of its topics, and the topics."""
    has = rng.random(len(TOPICS)) < TOPIC_SHARES
    words = _words(rng, 6)
    for topic in np.flatnonzero(has):
        signs = WORDS[topic * NUM_SIGNS : (topic + 1) * NUM_SIGNS]
        words += rng.choice(signs, size=rng.integers(1, 3)).tolist()
    rng.shuffle(words)
    has ^= rng.random(len(TOPICS)) < LABEL_NOISE
    return {"text": " ".join(words), "labels": [TOPICS[topic] for topic in np.flatnonzero(has)]}


def regression(rng: Generator) -> dict[str, Any]:
    """Return a sentence with words that lift and words that press, and two numbers it adds up to."""
    lifts, presses = rng.integers(0, 4, size=2)
    words = _words(rng, 6)
    words += rng.choice(WORDS[:NUM_SIGNS], size=lifts).tolist()
    words += rng.choice(WORDS[NUM_SIGNS : 2 * NUM_SIGNS], size=presses).tolist()
    rng.shuffle(words)
    mood, force = np.array([lifts - presses, (lifts + presses) / 2]) + rng.normal(0, NUMBER_NOISE, size=2)
    return {"text": " ".join(words), "mood": round(mood, 3), "force": round(force, 3)}


def token_classification(rng: Generator) -> dict[str, Any]:
    """Return a sentence and the class of each word, which the word before it has a say in."""
    words = rng.choice(WORDS, size=rng.integers(6, 15)).tolist()
    tags = [_tag(before, word) for before, word in pairwise(["", *words])]
    wrong = rng.random(len(tags)) < LABEL_NOISE
    tags = ["O" if is_wrong else tag for tag, is_wrong in zip(tags, wrong, strict=True)]
    return {"text": " ".join(words), "tokens": words, "tags": tags}


def _tag(before: str, word: str) -> str:
    """Names begin with ``vor`` or ``tan``; after a word that ends in n, they are places."""
    if not word.startswith(("vor", "tan")):
        return "O"
    return "PLACE" if before.endswith("n") else "NAME"


def _words(rng: Generator, least: int) -> list[str]:
    plain = WORDS[len(TOPICS) * NUM_SIGNS :]
    return rng.choice(plain, size=rng.integers(least, least + 6)).tolist()  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main())
