"""What other tools say is told apart: nothing, a symptom, an exception of the data, a crash of their own."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from experiments.fault_gallery.other_tools import (
    MAX_CHARACTERS,
    OTHER_TOOLS,
    Report,
    ask_other_tools,
    detect_anomaly,
    stock_logs,
    underflow_overflow,
)

ROWS = 8
Change = Callable[[BertForSequenceClassification], None]


def rows(labels: list[Any]) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    return [{"input_ids": torch.randint(3, 32, (6,)), "labels": label} for label in labels]


def maker(
    folder: Path,
    labels: list[Any],
    change: Change = lambda model: None,
    with_mask: bool = False,
    **config: Any,
) -> Callable[[], Trainer]:
    def make() -> Trainer:
        torch.manual_seed(0)
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        model = BertForSequenceClassification(BertConfig(vocab_size=32, **sizes, **config))
        with torch.no_grad():
            change(model)
        data = rows(labels)
        for row in data:
            if with_mask:
                row["attention_mask"] = torch.tensor([1, 1, 1, 1, 0, 0])
        arguments = TrainingArguments(
            output_dir=str(folder),
            use_cpu=True,
            max_steps=6,  # every row within four
            per_device_train_batch_size=2,
            save_strategy="no",
            disable_tqdm=True,
        )
        return Trainer(model=model, args=arguments, train_dataset=data)

    return make


def nan_label(folder: Path) -> Callable[[], Trainer]:
    labels = [0.5] * ROWS
    labels[5] = math.nan
    return maker(folder, labels, num_labels=1, attn_implementation="eager")


def enlarged(model: BertForSequenceClassification) -> None:
    model.bert.encoder.layer[0].output.dense.weight.mul_(math.inf)


def names(report: Report) -> tuple[bool, bool, bool, bool]:
    return report.noticed, report.names_module, report.names_cause, report.names_row


def test_a_sound_training_is_nothing_to_any_of_them(tmp_path: Path) -> None:
    """No tool cries wolf."""
    for report in ask_other_tools(maker(tmp_path, [0, 1] * 4, attn_implementation="eager")):
        assert names(report) == (False, False, False, False), report


def test_stock_logs_of_a_nan_label(tmp_path: Path) -> None:
    """The loss is logged as 0, the norm as NaN, and the mean loss of the whole run as a finite number."""
    report = stock_logs(nan_label(tmp_path))
    assert names(report) == (True, False, False, False)
    assert "loss 0, grad_norm nan; train_loss 0." in report.said


def test_underflow_overflow_of_a_nan_label(tmp_path: Path) -> None:
    """It sees it one update later, when the weights hold NaN; so it names a module that is innocent."""
    report = underflow_overflow(nan_label(tmp_path))
    assert names(report) == (True, True, False, False)
    assert report.said == "weight has nans in bert.embeddings.word_embeddings"


def test_detect_anomaly_of_a_nan_label(tmp_path: Path) -> None:
    """It names a derivative: the symptom."""
    report = detect_anomaly(nan_label(tmp_path))
    assert names(report) == (True, False, False, False)
    assert "MseLossBackward0" in report.said


def test_underflow_overflow_of_an_overflow(tmp_path: Path) -> None:
    """What it was made for: it names the module."""
    report = underflow_overflow(maker(tmp_path, [0, 1] * 4, enlarged, attn_implementation="eager"))
    assert names(report) == (True, True, False, False)
    assert report.said.endswith("in bert.encoder.layer.0.output.dense")


def test_a_crash_of_the_tool_itself_is_no_finding(tmp_path: Path) -> None:
    """DebugUnderflowOverflow cannot take the absolute value of a boolean mask."""
    report = underflow_overflow(maker(tmp_path, [0, 1] * 4, with_mask=True, attn_implementation="sdpa"))
    assert names(report) == (False, False, False, False)
    assert report.said.startswith("the tool itself crashes: ")


@pytest.mark.parametrize("tool", OTHER_TOOLS)
def test_an_exception_of_the_training_names_its_cause(tool: str, tmp_path: Path) -> None:
    """A label out of range raises on a CPU, whoever watches."""
    report = OTHER_TOOLS[tool](maker(tmp_path, [0, 1, 2, 1] * 2, attn_implementation="eager"))
    assert names(report) == (True, False, True, False)
    assert report.said == "IndexError: Target 2 is out of bounds."
    assert report.tool == tool


def test_a_loss_that_rises_is_noticed(tmp_path: Path) -> None:
    """A finite divergence shows in stock logs, and in nothing else."""
    make = maker(tmp_path, [0.5, 0.7, 0.1, 0.2] * 2, num_labels=1, attn_implementation="eager")

    def too_fast() -> Trainer:
        trainer = make()
        trainer.args.learning_rate = 50.0
        return trainer

    assert stock_logs(too_fast).noticed
    assert not detect_anomaly(too_fast).noticed


def test_a_maker_that_raises_is_a_report_too() -> None:
    """Nothing escapes; long messages become one short line."""

    def make() -> Trainer:
        raise ValueError("no\nsuch thing " * 50)

    for report in ask_other_tools(make):
        assert report.noticed
        assert report.said.startswith("ValueError: no such thing")
        assert len(report.said) <= MAX_CHARACTERS


def test_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dumps of frames and lines of logs stay off the terminal."""
    ask_other_tools(nan_label(tmp_path))
    assert capsys.readouterr() == ("", "")
    assert not torch.is_anomaly_enabled()
