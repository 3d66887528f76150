"""Train a small tokenizer on columns of a file: a model from a configuration brings none of its own.

python experiments/train_tokenizer.py ROWS.tsv FOLDER text [COLUMN ...] [--tokens 2000]

Byte-level BPE, as GPT-2 and BART have it: no text is unknown to it. The folder goes into a sweep as
``task.tokenizer``; beginning, end, padding and mask are there, so that one serves all types of task.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from stabsearch.config import LocalData
from stabsearch.errors import UserError
from stabsearch.task.rows import read_rows, texts

SPECIAL = {
    "pad_token": "<pad>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path, help="TSV, CSV, JSONL or Parquet")
    parser.add_argument("folder", type=Path, help="where the tokenizer goes")
    parser.add_argument("columns", nargs="+", help="columns of texts")
    parser.add_argument("--tokens", type=int, default=2000, help="size of the vocabulary")
    options = parser.parse_args()
    try:
        frame = read_rows(LocalData(train=str(options.rows)))
        corpus = [text for name in options.columns for text in texts(frame, name, "text")]
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    tokenizer = train(corpus, options.tokens)
    tokenizer.save_pretrained(options.folder)
    print(f"{options.folder}: {len(tokenizer)} tokens, trained on {len(corpus)} texts")
    return 0


def train(corpus: list[str], num_tokens: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer that puts a beginning and an end around each text."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=num_tokens,
            special_tokens=list(SPECIAL.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    marks = [(name, core.token_to_id(name)) for name in (SPECIAL["bos_token"], SPECIAL["eos_token"])]
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=marks
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, **SPECIAL)


if __name__ == "__main__":
    sys.exit(main())
