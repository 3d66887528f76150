"""Causal language models: what is read, what is learned, and what padding may never become."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from language_samples import ALL_ROLES, BOS, EOS, GPT2, LLAMA, PAD, SPECIAL, WORDS, task, text
from pydantic import ValidationError

from stabsearch.config import LocalData
from stabsearch.errors import UserError
from stabsearch.task.registry import build_workload, read_table

CHAT = (
    "{% for m in messages %}<s> {{ m['role'] }} {{ m['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant {% endif %}"
)
ONLY_END = {"eos_token": "</s>"}
"""Roles of GPT-2's tokenizer: no padding, no beginning."""


def w(*numbers: int) -> list[int]:
    """Return the ids of words."""
    return [len(SPECIAL) + number for number in numbers]


def rows_of(made: Any) -> list[tuple[list[int], list[int]]]:
    """Return tokens and labels of every row of a task's workload."""
    rows = build_workload(made).rows
    return [(rows[i]["input_ids"], rows[i]["labels"]) for i in range(len(rows))]


def test_every_token_of_a_text_is_learned_but_its_first(tmp_path: Path) -> None:
    """The end is learned, too; nothing stands before the first token that it could be told from."""
    ((ids, labels),) = rows_of(task(tmp_path, "causal-lm", {"text": ["w1 w2 w3"]}))
    assert ids == [*w(1, 2, 3), EOS]
    assert labels == [-100, *w(2, 3), EOS]


def test_a_beginning_of_the_tokenizers_is_kept_and_an_end_is_not_written_twice(tmp_path: Path) -> None:
    """Llama's tokenizers begin every text; some end it as well."""
    wanted = {"template": "<s> $A </s>", **ALL_ROLES}
    ((ids, labels),) = rows_of(task(tmp_path, "causal-lm", {"text": ["w1 w2"]}, tokenizer=wanted))
    assert ids == [BOS, *w(1, 2), EOS]
    assert labels == [-100, *w(1, 2), EOS]


def test_a_text_that_is_cut_does_not_end(tmp_path: Path) -> None:
    """An end in the middle of a text would be learned as one."""
    made = rows_of(task(tmp_path, "causal-lm", {"text": ["w1 w2 w3 w4", "w1 w2 w3", "w1"]}, max_length=3))
    assert [ids for ids, _ in made] == [w(1, 2, 3), w(1, 2, 3), [*w(1), EOS]]


@pytest.mark.parametrize("template", ["", "<s> $A </s>"])
def test_the_tokens_of_a_prompt_are_read_and_not_learned(tmp_path: Path, template: str) -> None:
    """The answer is learned with its end; a tokenizer's own marks stand at both ends of the whole row."""
    columns = {"question": ["w1 w2", "w3"], "answer": ["w4 w5", "w6"]}
    made = task(
        tmp_path, "causal-lm", columns, text="answer", prompt="question",
        tokenizer={"template": template, **ALL_ROLES},
    )  # fmt: skip
    start = [BOS] if template else []
    first, second = rows_of(made)
    assert first == ([*start, *w(1, 2, 4, 5), EOS], [-100] * (len(start) + 2) + [*w(4, 5), EOS])
    assert second == ([*start, *w(3, 6), EOS], [-100] * (len(start) + 1) + [*w(6), EOS])


def test_of_a_conversation_the_last_answer_is_learned(tmp_path: Path) -> None:
    """The template writes all of it, beginnings and ends included; earlier turns are read."""
    talk = [
        {"role": "user", "content": "w1"},
        {"role": "assistant", "content": "w2"},
        {"role": "user", "content": "w3"},
        {"role": "assistant", "content": "w4 w5"},
    ]
    made = task(tmp_path, "causal-lm", {"m": [talk]}, messages="m", tokenizer=TALK, max_length=32)
    ((ids, labels),) = rows_of(made)
    assert ids[-4:] == [SPECIAL.index("<unk>"), *w(4, 5), EOS]  # the role is a word that nobody knows
    assert labels == [-100] * (len(ids) - 3) + [*w(4, 5), EOS]
    assert ids.count(EOS) == 4


def test_packing_puts_texts_one_after_another_and_leaves_the_rest_out(tmp_path: Path) -> None:
    """Each end stands between two texts; a block's first token is never a label."""
    made = rows_of(
        task(tmp_path, "causal-lm", {"text": ["w1 w2", "w3", "w4 w5 w6 w7"]}, packing=True, max_length=4)
    )
    assert [ids for ids, _ in made] == [[*w(1, 2), EOS, *w(3)], [EOS, *w(4, 5, 6)]]
    assert [labels for _, labels in made] == [[-100, *w(2), EOS, *w(3)], [-100, *w(4, 5, 6)]]


def test_packed_prompts_stay_unlearned(tmp_path: Path) -> None:
    """A block may begin and end within a prompt."""
    columns = {"prompt": ["w1 w2", "w3 w4"], "text": ["w5", "w6"]}
    made = rows_of(task(tmp_path, "causal-lm", columns, prompt="prompt", packing=True, max_length=4))
    assert [labels for _, labels in made] == [[-100, -100, *w(5), EOS], [-100, -100, *w(6), EOS]]


@pytest.mark.parametrize(
    "roles",
    [ONLY_END, {"eos_token": "</s>", "pad_token": "</s>"}, ALL_ROLES],
    ids=["no pad", "pad is eos", "pad"],
)
def test_padding_is_never_learned_and_the_end_always(tmp_path: Path, roles: dict[str, str]) -> None:
    """Also where the end of a text has to stand in for padding, as with GPT-2's tokenizer."""
    workload = build_workload(task(tmp_path, "causal-lm", {"text": ["w1 w2 w3", "w4"]}, tokenizer=roles))
    batch = workload.collator([workload.rows[0], workload.rows[1]])
    assert batch["labels"].tolist() == [[-100, *w(2, 3), EOS], [-100, EOS, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1] * 4, [1, 1, 0, 0]]
    assert batch["labels"].dtype == torch.int64


def test_padding_stands_behind_the_text_whatever_the_tokenizer_prefers(tmp_path: Path) -> None:
    """A tokenizer saved for generation pads in front; positions of a row count from its first token."""
    made = task(tmp_path, "causal-lm", {"text": ["w1 w2 w3", "w4"]})
    path = Path(made.tokenizer) / "tokenizer_config.json"
    path.write_text(path.read_text().replace('"padding_side": "right"', '"padding_side": "left"').replace(
        '"tokenizer_class"', '"padding_side": "left", "tokenizer_class"'))  # fmt: skip
    workload = build_workload(made)
    assert workload.collator([workload.rows[0], workload.rows[1]])["input_ids"][1].tolist() == [
        *w(4),
        EOS,
        PAD,
        PAD,
    ]


@pytest.mark.parametrize("roles", [ONLY_END, ONLY_END | {"pad_token": "</s>"}], ids=["no pad", "pad is eos"])
def test_the_embedding_of_an_end_that_pads_is_trained(tmp_path: Path, roles: dict[str, str]) -> None:
    """Llama's embedding gives the padding id no gradient: it must not be told that the end is padding."""
    columns = {"text": [text(i) for i in range(8)]}
    made = task(tmp_path, "causal-lm", columns, config=LLAMA, tokenizer=roles, packing=True, max_length=8)
    workload = build_workload(made)
    model = workload.model(1)
    model(**workload.collator([workload.rows[i] for i in range(3)])).loss.backward()
    assert model.config.pad_token_id is None
    assert float(model.get_input_embeddings().weight.grad[EOS].abs().sum()) > 0


def test_the_model_is_told_the_tokenizers_tokens(tmp_path: Path) -> None:
    """A configuration that names none gets those of its tokenizer; what the user wrote stays."""
    columns = {"text": ["w1 w2"]}
    told = build_workload(task(tmp_path, "causal-lm", columns)).model(0).config
    assert (told.vocab_size, told.bos_token_id, told.eos_token_id, told.pad_token_id) == (20, BOS, EOS, PAD)
    config = {**GPT2, "vocab_size": 64, "eos_token_id": 7}
    own = build_workload(task(tmp_path, "causal-lm", columns, config=config)).model(0).config
    assert (own.vocab_size, own.eos_token_id) == (64, 7)


@pytest.mark.parametrize("packing", [False, True])
def test_chance_is_guessing_by_frequency_over_the_tokens_that_count(tmp_path: Path, packing: bool) -> None:
    """In the Trainer's units: a model that knows the frequencies and nothing else has this very loss."""
    columns = {"prompt": [text(i + 3, 1) for i in range(20)], "text": [text(i) for i in range(20)]}
    made = task(tmp_path, "causal-lm", columns, prompt="prompt", packing=packing, max_length=8)
    workload = build_workload(made)
    counted = [label for _, labels in rows_of(made) for label in labels if label != -100]
    share = torch.tensor([n / len(counted) for n in Counter(counted).values()], dtype=torch.float64)
    assert workload.chance_loss == pytest.approx(float(-(share * share.log()).sum()))
    model = workload.model(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        known = torch.full((model.config.vocab_size,), -1e4)
        for token, n in Counter(counted).items():
            known[token] = math.log(n / len(counted))
    model.lm_head = Constant(known)
    batch = workload.collator([workload.rows[i] for i in range(workload.num_rows)])
    assert float(model(**batch).loss) == pytest.approx(workload.chance_loss, rel=1e-5)
    assert workload.chance_loss < math.log(len(SPECIAL) + len(WORDS))


class Constant(torch.nn.Module):
    """The same scores for every token."""

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.scores.expand(*hidden.shape[:-1], -1)


TALK = {"chat": CHAT, **ALL_ROLES}
STRICT = {"chat": "{{ raise_exception('roles must alternate') }}", **ALL_ROLES}
FORGETFUL = {
    "chat": "{{ messages | length }} {% for m in messages %}{{ m['content'] }} {% endfor %}",
    **ALL_ROLES,
}
ANSWER = [{"role": "assistant", "content": "w1"}]
ASKED = [{"role": "user", "content": "w2"}, *ANSWER]


@pytest.mark.parametrize(
    ("changes", "columns", "key", "message"),
    [
        ({"text": "body"}, {}, "text", "no column 'body'"),
        ({"prompt": "ask"}, {}, "prompt", "no column 'ask'"),
        ({"messages": "talk"}, {}, "messages", "no column 'talk'"),
        ({"tokenizer": {"pad_token": "<pad>"}}, {}, "tokenizer", "has no eos_token, which ends every text"),
        ({"packing": True, "max_length": 400}, {}, "max_length", "fewer than one block of 400"),
        (
            {"prompt": "prompt", "max_length": 2},
            {"prompt": ["w1 w2"] * 4},
            "max_length",
            "prompts fill them all",
        ),
        ({}, {"text": [""] * 4}, "text", "no text has a token to be predicted"),
        ({"messages": "text"}, {}, "tokenizer", "has no chat template"),
        ({"messages": "text", "tokenizer": TALK}, {}, "messages", "row 0 holds no conversation: 'w1'"),
        (
            {"messages": "m", "tokenizer": TALK},
            {"m": [[{"role": "user"}]] * 4},
            "messages",
            "without role and content",
        ),
        (
            {"messages": "m", "tokenizer": TALK},
            {"m": [ASKED[::-1]] * 4},
            "messages",
            "ends with a message of role 'user'",
        ),
        (
            {"messages": "m", "tokenizer": STRICT},
            {"m": [ASKED] * 4},
            "messages",
            "row 0: roles must alternate",
        ),
        (
            {"messages": "m", "tokenizer": FORGETFUL},
            {"m": [ASKED] * 4},
            "messages",
            "row 0's last answer in two ways",
        ),
        ({"messages": "m", "tokenizer": TALK}, {"m": [ANSWER] * 4}, "messages", "nothing before its answer"),
        ({"config": {"model_type": "t5"}}, {}, "model", "t5 models are not for this task"),
    ],
)
def test_each_fault_names_its_place(
    tmp_path: Path, changes: dict[str, Any], columns: dict[str, Any], key: str, message: str
) -> None:
    """The key says which part of the sweep to put right, the hint how."""
    made = task(tmp_path, "causal-lm", {"text": ["w1", "w2 w3", "w4", "w5"]} | columns, **changes)
    with pytest.raises(UserError) as raised:
        build_workload(made)
    assert message in raised.value.message
    assert len(raised.value.message) < 300
    assert raised.value.key[:2] == ("task", key)
    assert raised.value.hint


@pytest.mark.parametrize("other", [7, 0.5, True, ["w1"], {"w1": 2}])
def test_a_column_of_mixed_types_is_no_column_of_texts(tmp_path: Path, other: Any) -> None:
    """Nobody wants to train on `['w1']`: the row is named."""
    made = task(tmp_path, "causal-lm", {"text": ["w1"]})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": value}) + "\n" for value in ["w1", "w2", other, other]))
    made = made.model_copy(update={"data": LocalData(train=str(path))})
    with pytest.raises(UserError) as raised:
        build_workload(made)
    assert f"holds no text in 2 rows, first in row 2: {other!r}" in raised.value.message
    assert raised.value.key == ("task", "text")


def test_prompts_and_conversations_are_two_ways_of_saying_it(tmp_path: Path) -> None:
    """A sweep that names both is refused as it is read."""
    with pytest.raises(ValidationError, match="a conversation holds its prompts itself"):
        task(tmp_path, "causal-lm", {"text": ["w1"]}, prompt="a", messages="b")


def test_the_table_names_the_columns_of_texts(tmp_path: Path) -> None:
    """The preflight looks at these, before tokenizer and model are made."""
    columns = {"text": ["w1"], "prompt": ["w2"]}
    table = read_table(task(tmp_path, "causal-lm", columns, prompt="prompt"))
    assert table is not None
    assert (dict(table.texts), table.labels, table.kind) == ({"text": "text", "prompt": "prompt"}, (), "none")
