"""What a replay says to people and to programs, whatever it showed."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stabsearch.capture.bundle import Bundle
from stabsearch.capture.manifest import (
    ClassRef,
    Digest,
    FirstBad,
    Manifest,
    MicroBatchRef,
    ModelRef,
    Numerics,
    Suspects,
    TrainerRef,
)
from stabsearch.forensics.replay import Replayed, Verdict
from stabsearch.forensics.replay_report import replay_json, replay_text
from stabsearch.trial.rerun import Seen

PLACE = ClassRef("transformers", "Trainer")
FOUND = Replayed(
    Verdict.REPRODUCED, "bf16", "initial", "cpu", Seen((0.5, math.nan), math.inf), Digest(), None, Suspects(),
    ("on cpu, captured on cuda",),
)  # fmt: skip


def micro(*rows: int, texts: tuple[str, ...] | None = None) -> MicroBatchRef:
    return MicroBatchRef({"mapping": {}}, {"plain": None}, {"cpu": "x"}, {}, rows or None, texts, 1)


def bundle(**changes: Any) -> Bundle:
    manifest = Manifest(
        FirstBad("loss", "7fc00000", "nan", 3, 5), ModelRef(PLACE, {}, "sdpa"), TrainerRef(PLACE, PLACE, {}),
        Numerics("fp16", 8.0, "cuda", 1, "AVX2", False, "ieee"), (micro(1, 2, texts=("a", "b")), micro(3, 4)),
    )  # fmt: skip
    return Bundle(Path("b"), replace(manifest, **changes))


def line(text: str, name: str) -> str:
    """Return what is said under a name."""
    found = [each for each in text.split("\n") if each.startswith(name.ljust(11))]
    return " / ".join(each[11:] for each in found)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (FirstBad("loss", "", "nan", 3, 5), "loss is nan, optimizer step 3, micro-batch 5, fp16"),
        (FirstBad("gradient", "", "inf", 1, 2), "gradient is inf, optimizer step 1, micro-batch 2, fp16"),
        (
            FirstBad("error", "", "IndexError: 9", 1, 2),
            "IndexError: 9, optimizer step 1, micro-batch 2, fp16",
        ),
        (
            FirstBad("skipped", "", "inf", 1, 1),
            "the fp16 loss scaler skipped this update and every later one, "
            "optimizer step 1, micro-batch 1, fp16",
        ),
    ],
)
def test_every_kind_of_failure_has_its_words(bad: FirstBad, said: str) -> None:
    """What, when, and in which precision."""
    assert line(replay_text(bundle(bad=bad), FOUND), "captured") == said


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_verdict_comes_first(verdict: Verdict) -> None:
    """In the same word as in the JSON."""
    found = replace(FOUND, verdict=verdict)
    assert replay_text(bundle(), found).startswith(f"{verdict.value}: ")
    assert replay_json(bundle(), found)["verdict"] == verdict.value


def test_numbers_errors_and_caveats() -> None:
    """As they were seen here."""
    text = replay_text(bundle(cause="data"), FOUND)
    assert line(text, "replayed") == "bf16 on cpu, initial weights: loss 0.5, nan, gradient norm inf"
    assert line(text, "cause") == "data"
    assert line(text, "note") == "on cpu, captured on cuda"
    raised = replace(FOUND, seen=Seen(error="ValueError: no"))
    assert line(replay_text(bundle(), raised), "replayed") == "bf16 on cpu, initial weights: ValueError: no"


@pytest.mark.parametrize(
    ("suspects", "said"),
    [
        (Suspects(), ""),
        (Suspects((1,), (2,), 0, True), "without training row 2 the batch is finite / training row 2: 'b'"),
        (
            Suspects((0, 1), (1, 2), 0, True),
            "without training row 1, training row 2 the batch is finite / "
            "training row 1: 'a' / training row 2: 'b'",
        ),
        (Suspects((1,), (4,), 1, True), "without training row 4 the batch is finite"),
        (Suspects((1,), (), 0, True), "without place 1 the batch is finite / place 1: 'b'"),
        (Suspects((0, 1), (1, 2)), "every row of the batch is bad by itself: no single row is to blame"),
    ],
)
def test_guilty_rows(suspects: Suspects, said: str) -> None:
    """By number where there is one, by place where there is none, with their texts where they are known."""
    assert line(replay_text(bundle(), replace(FOUND, suspects=suspects)), "rows") == said


def test_many_guilty_rows() -> None:
    """The first of them; the JSON has all."""
    many = Suspects(tuple(range(40)), tuple(range(100, 140)), 0, True)
    big = bundle(window=(micro(*range(100, 150)),))
    said = line(replay_text(big, replace(FOUND, suspects=many)), "rows")
    assert "training row 107 and 32 more" in said
    assert replay_json(big, replace(FOUND, suspects=many))["rows"]["suspects"] == list(range(100, 140))


def test_the_json_is_strict() -> None:
    """NaN and infinity as text."""
    data = replay_json(bundle(), FOUND)
    json.dumps(data, allow_nan=False)
    assert data["replayed"]["losses"] == [0.5, "nan"]
    assert data["replayed"]["grad_norm"] == "inf"
    assert data["captured"]["cause"] is None
    assert data["rows"]["in_batch"] == [3, 4]
    assert replay_json(bundle(window=()), FOUND)["rows"]["in_batch"] == []
