"""The preflight of a sweep: the table, the rows made of it, and the Trainer that trials would get."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from word_tokenizer import word_tokenizer

from stabsearch.config import Sweep
from stabsearch.errors import ExitCode, UserError
from stabsearch.forensics.finding import Finding, Severity
from stabsearch.forensics.preflight import preflight
from stabsearch.sweep.prepared import refuse_errors

SMALL = {
    "model_type": "bert",
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}
TEXTS = [f"film{i % 20} was good plot{i % 3} {'very ' * (i % 5)}" for i in range(40)]
LABELS = [i % 3 for i in range(40)]
Make = Callable[..., Sweep]


@pytest.fixture
def sweep(tmp_path: Path) -> Make:
    """Return a maker of sweeps on a table of forty texts, with columns and parts replaced."""

    def make(
        columns: dict[str, list[Any]] | None = None, config: Any = None, task: Any = None, **parts: Any
    ) -> Sweep:
        pd.DataFrame({"text": TEXTS, "label": LABELS} | (columns or {})).to_parquet(tmp_path / "rows.parquet")
        described = {
            "type": "sequence-classification",
            "model": {"config": SMALL | (config or {})},
            "tokenizer": word_tokenizer(tmp_path / "words", TEXTS),
            "data": {"train": str(tmp_path / "rows.parquet")},
            "max_length": 32,
        }
        base: dict[str, Any] = {
            "name": "s",
            "output_dir": str(tmp_path),
            "task": described | (task or {}),
            "training": {"max_steps": 50, "per_device_train_batch_size": 4},
            "search": {"precision": ["fp32"]},
            "tracking": {"uri": "none"},
        }
        return Sweep.model_validate(base | parts)

    return make


def ids_of(found: tuple[Finding, ...]) -> list[str]:
    return [finding.rule for finding in found]


def changed(values: list[Any], at: int, value: Any) -> list[Any]:
    return [value if i == at else old for i, old in enumerate(values)]


def test_a_sound_sweep_has_no_findings_and_hands_its_workload_on(sweep: Make) -> None:
    """What was built to be looked at need not be built again."""
    found = preflight(sweep())
    assert found.findings == ()
    assert found.workload is not None
    assert found.num_rows == found.workload.num_rows == 40


@pytest.mark.parametrize(
    ("columns", "rule", "rows", "key"),
    [
        ({"label": changed(LABELS, 7, None)}, "STAB-D007", (7,), ("task", "label")),
        ({"label": changed(LABELS, 7, -1)}, "STAB-D011", (7,), ("task", "label")),
        ({"label": [label + 1 for label in LABELS]}, "STAB-D013", (), ("task", "label")),
        (
            {"label": changed([float(label) for label in LABELS], 7, 0.5)},
            "STAB-D014",
            (7,),
            ("task", "label"),
        ),
        ({"label": ["same"] * 40}, "STAB-D010", (), ("task", "label")),
        ({"text": changed(TEXTS, 7, None)}, "STAB-D008", (7,), ("task", "text")),
    ],
)
def test_a_table_at_fault_is_a_verdict_before_anything_is_built(
    sweep: Make, columns: dict[str, list[Any]], rule: str, rows: tuple[int, ...], key: tuple[str, ...]
) -> None:
    """The rows are those of the file, and no tokenizer or model is needed to say so."""
    found = preflight(sweep(columns, task={"tokenizer": "./nowhere"}))
    (error,) = [finding for finding in found.findings if finding.is_error]
    assert (error.rule, error.rows, error.key) == (rule, rows, key)
    assert found.workload is None
    with pytest.raises(UserError) as raised:
        refuse_errors(found.findings, "sweep.yaml")
    assert raised.value.exit_code is ExitCode.AGAINST


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"config": {"vocab_size": 10}}, "STAB-D030"),
        ({"config": {"max_position_embeddings": 4}}, "STAB-D033"),
        ({"training": {"max_steps": 50, "adam_epsilon": 0.0}}, "STAB-O002"),
        ({"training": {"max_steps": 50, "label_smoothing_factor": 0.0, "adam_beta2": 0.5}}, "STAB-O004"),
        ({"training": {"num_train_epochs": 2, "per_device_train_batch_size": 64}}, "STAB-D004"),
        ({"columns": {"text": changed(TEXTS, 7, " ")}}, "STAB-D009"),
    ],
)
def test_what_the_trials_would_meet_is_met_here(sweep: Make, changes: dict[str, Any], rule: str) -> None:
    """Rows, model and settings of the very Trainer that trials get."""
    assert rule in ids_of(preflight(sweep(**changes)).findings)


def test_a_tokenizer_that_knows_more_is_an_error_only_where_rows_use_it(sweep: Make) -> None:
    """All rows are looked at, so that the rare word is known to be there, or not."""
    spare = preflight(sweep(columns={"text": ["was good"] * 40}, config={"vocab_size": 20}))
    assert {finding.rule: finding.severity.value for finding in spare.findings}["STAB-D031"] == "warning"
    assert "STAB-D030" not in ids_of(spare.findings)


def test_findings_of_a_task_without_columns_point_at_the_task() -> None:
    """The generated task has no key ``label`` to point at."""
    task = {"type": "quickstart", "num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1}
    sweep = Sweep.model_validate(
        {"name": "s", "task": task, "training": {"max_steps": 50, "per_device_train_batch_size": 99}}
    )
    (finding,) = [finding for finding in preflight(sweep).findings if finding.rule == "STAB-D004"]
    assert finding.key == ("task",)


@pytest.mark.parametrize("drops_last", [True, False])
def test_fewer_rows_than_a_batch_are_an_error_where_the_only_batch_is_left_out(
    sweep: Make, drops_last: bool
) -> None:
    """Otherwise trials run, on batches that are smaller than was asked for."""
    asked = {"max_steps": 50, "per_device_train_batch_size": 9999, "dataloader_drop_last": drops_last}
    (finding,) = [each for each in preflight(sweep(training=asked)).findings if each.rule == "STAB-D004"]
    assert finding.is_error is drops_last


def test_a_multiplied_loss_is_a_warning_unless_it_is_mended(sweep: Make) -> None:
    """Told to mend it, the sweep says what the full run needs then."""
    training = {"max_steps": 50, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    (reported,) = preflight(sweep(training=training)).findings
    assert (reported.rule, reported.severity.value) == ("STAB-M007", "warning")
    assert reported.hint.endswith("accumulation: fix")
    (mended,) = preflight(sweep(training=training, accumulation="fix")).findings
    assert (mended.rule, mended.severity.value) == ("STAB-M007", "info")
    assert mended.message.endswith("4 times too large; trials have them divided")
    assert mended.hint == "the full run needs trainer.loss_is_scaled_for_ga = False, too"


def test_adapters_are_looked_at_as_trials_will_train_them(sweep: Make) -> None:
    """The workload that is handed on has them; layers that are not there are the sweep's fault."""
    found = preflight(sweep(peft={"r": 4}))
    assert found.findings == ()
    assert found.workload is not None
    names = [name for name, weight in found.workload.model(0).named_parameters() if weight.requires_grad]
    assert any("lora_A" in name for name in names)
    assert not any("embeddings" in name for name in names)
    with pytest.raises(UserError, match="no layer whose name ends in 'qeury'") as raised:
        preflight(sweep(peft={"target_modules": ["qeury"]}))
    assert (raised.value.hint, raised.value.key) == ("did you mean 'query'?", ("peft", "target_modules", 0))


def test_a_tracking_server_that_does_not_answer_is_no_verdict(sweep: Make) -> None:
    """The machine is at fault: the sweep could not be judged."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    found = preflight(sweep(tracking={"uri": uri}))
    assert ids_of(found.findings) == ["STAB-E006"]
    with pytest.raises(UserError) as raised:
        refuse_errors(found.findings, "sweep.yaml")
    assert (raised.value.exit_code, raised.value.key) == (ExitCode.CANNOT_JUDGE, ("tracking", "uri"))
    for kept in (preflight(sweep(tracking={"uri": uri, "required": False})),
                 preflight(sweep(tracking={"uri": uri}), is_begun=True)):  # fmt: skip
        assert [finding.severity for finding in kept.findings] == [Severity.WARNING]
        assert "what it misses is kept" in kept.findings[0].message


def test_the_first_error_is_raised_with_its_rows_and_how_many_more_there_are(sweep: Make) -> None:
    """Two lines: what and where, the way out and the command that shows the rest."""
    labels = changed(changed(changed(changed(LABELS, 7, -1), 9, -1), 11, -1), 13, -1)
    found = preflight(sweep({"label": labels, "text": changed(TEXTS, 3, None)}))
    with pytest.raises(UserError) as raised:
        refuse_errors(found.findings, "my.yaml")
    assert raised.value.message == "STAB-D008: text column 'text' is missing in 1 of 40 rows (row 3)"
    assert raised.value.hint.endswith("; and 1 more: stabsearch check my.yaml")
    with pytest.raises(UserError, match=r"\(rows 7, 9, 11, …\)"):
        refuse_errors(found.findings[1:], "my.yaml")
