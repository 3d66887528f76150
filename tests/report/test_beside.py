"""What the full run needs beside TrainingArguments, said wherever the recommendation is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from report_samples import make_answer, make_findings, make_sweep, make_trial
from transformers import HfArgumentParser, TrainingArguments

from stabsearch.frontier.answer import Recommendation
from stabsearch.records import Context, TrialRecord
from stabsearch.report.beside import ISSUE, beside, multiplied_text
from stabsearch.report.files import write_reports
from stabsearch.report.findings import Findings
from stabsearch.report.html import report_html
from stabsearch.report.markdown import report_markdown
from stabsearch.report.recommended import recommended_arguments, render
from stabsearch.report.terminal import summary_lines

PURE, MIXED = Context("bf16-pure", 0, 1.0), Context("bf16", 0, 1.0)
SEARCH = {
    "learning_rate": {"low": 1e-5, "high": 1.0}, "warmup": [0], "max_grad_norm": [1.0],
    "precision": ["bf16", "bf16-pure"],
}  # fmt: skip
DTYPE = "load the model in bfloat16: from_pretrained(..., dtype=torch.bfloat16)"
ADAPTERS = (
    "put the adapters on: get_peft_model(model, LoraConfig(task_type='SEQ_CLS', r=4, "
    "target_modules=['query'], use_dora=True)"
)
DIVIDED = "divide the accumulated loss: trainer.loss_is_scaled_for_ga = False before train()"
LORA = {"r": 4, "target_modules": ["query"], "use_dora": True}


def trial(**effective: Any) -> TrialRecord:
    found = make_trial()
    assert found.effective is not None
    return replace(found, effective=replace(found.effective, **effective))


def sweep(**parts: Any) -> Any:
    return make_sweep(training={"max_steps": 2000}, search=SEARCH, **parts)


def test_nothing_is_needed_for_what_the_arguments_say() -> None:
    """Autocast, tf32 and all weights trained: TrainingArguments are enough."""
    assert beside(sweep(), MIXED, [trial()]) == ()
    assert multiplied_text([trial(), make_trial()]) == ""


def test_half_precision_weights_are_the_models_affair() -> None:
    """No field of TrainingArguments says in which dtype the model is loaded."""
    assert beside(sweep(), PURE, []) == (DTYPE,)


def test_adapters_are_put_on_as_they_were() -> None:
    """With what differs from LoraConfig's defaults; in pure bfloat16 PEFT must not lift them to float32."""
    assert beside(sweep(peft=LORA), MIXED, []) == (f"{ADAPTERS})",)
    assert beside(sweep(peft=LORA), PURE, []) == (DTYPE, f"{ADAPTERS}, autocast_adapter_dtype=False)")
    plain = beside(sweep(peft={}), MIXED, [])
    assert plain == ("put the adapters on: get_peft_model(model, LoraConfig(task_type='SEQ_CLS'))",)


def test_a_mended_accumulation_has_to_be_mended_again() -> None:
    """Only where a trial was: a model that divides by itself needs nothing."""
    told = sweep(accumulation="fix")
    assert beside(told, MIXED, [trial()]) == ()
    assert beside(told, MIXED, [trial(), trial(is_loss_divided=True)]) == (DIVIDED,)
    several = sweep(accumulation="fix", resources={"processes_per_trial": 2})
    (need,) = beside(several, MIXED, [trial(is_loss_divided=True)])
    assert need == f"{DIVIDED}, and average_tokens_across_devices=False in its arguments"


def test_a_multiplied_loss_is_said_with_its_factor() -> None:
    """All factors that trials met, and where to read on."""
    text = multiplied_text([trial(), trial(loss_multiple=4), trial(loss_multiple=2)])
    assert text.startswith("Loss and gradients are 2 or 4 times what they are per example, in the trials")
    assert ISSUE in text


def findings(**effective: Any) -> Findings:
    best = Recommendation(PURE, 2.5e-3, 0.03, 0.009, 0.08)
    found = make_findings(20, sweep(peft=LORA), answer=make_answer(recommendation=best))
    assert found.records[0].effective is not None
    first = replace(found.records[0], effective=replace(found.records[0].effective, **effective))
    return replace(found, records=(first, *found.records[1:]))


@pytest.fixture(scope="module")
def shown() -> Findings:
    return findings(is_loss_divided=True)


def test_every_view_says_it(shown: Findings, tmp_path: Path) -> None:
    """Terminal, page and Markdown; ``recommended.json`` has no place for it and still loads."""
    lines = "\n".join(summary_lines(shown, tmp_path))
    markdown, html = report_markdown(shown), report_html(shown)
    for need in (DTYPE, DIVIDED):
        assert f"The run has to {need}" in lines
        assert f"# {need}" in markdown
        assert f"# {need}" in html
    assert "dtype=torch.bfloat16" in html
    write_reports(tmp_path, shown.sweep, shown.records, shown.frontier, shown.answer, command="", versions={})
    (arguments,) = HfArgumentParser(TrainingArguments).parse_json_file(str(tmp_path / "recommended.json"))
    assert (arguments.bf16, arguments.fp16, arguments.learning_rate) == (False, False, 2.5e-3)


def test_a_multiplied_loss_is_shown_without_a_recommendation(tmp_path: Path) -> None:
    """Among what the trials do not show."""
    found = findings(loss_multiple=4)
    found = replace(found, answer=make_answer(recommendation=None))
    text = "gradient accumulation multiplies them for this model"
    assert text in "\n".join(summary_lines(found, tmp_path))
    assert text in report_markdown(found)
    assert text in report_html(found)


def test_comments_leave_the_arguments_as_they_are(shown: Findings) -> None:
    """YAML and Python with comments are the same arguments; JSON has none."""
    best = shown.answer.recommendation
    assert best is not None
    arguments = recommended_arguments(shown.sweep, best, 2000)
    needed = (DTYPE, "two\nlines")
    assert yaml.safe_load(render(arguments, "yaml", needed)) == arguments
    assert render(arguments, "yaml", needed).startswith(f"# {DTYPE}\n# ")
    assert json.loads(render(arguments, "json", needed)) == arguments
    scope: dict[str, Any] = {"TrainingArguments": dict}
    exec(render(arguments, "python", needed).replace("from transformers import TrainingArguments", ""), scope)
    assert scope["training_args"] == arguments
