"""Further axes in MLflow: params of a run, columns of the registered model."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from tracking_samples import make_record, make_sweep

from stabsearch.config import Sweep
from stabsearch.frontier import fit
from stabsearch.frontier.answer import Answer, Recommendation, Verdict
from stabsearch.records import Context
from stabsearch.records.hyperparameters import FURTHER
from stabsearch.tracking.layout import child_run
from stabsearch.tracking.note import Place, sweep_note
from stabsearch.tracking.parent import answer_tags, sweep_params
from stabsearch.tracking.registry import inputs_of

SEARCH = {"adam_beta2": [0.999, 0.95], "per_device_train_batch_size": [8, 32]}
WIDE = Context("bf16", 100, 1.0, adam_beta2=0.95, per_device_train_batch_size=32)


def searching() -> Sweep:
    """Return a sweep with two further axes."""
    return Sweep.model_validate({**make_sweep().model_dump(), "search": SEARCH, "training": {"max_steps": 9}})


def test_a_run_has_the_values_of_its_trial() -> None:
    """Under Hugging Face's names, in place of the full run's."""
    record = make_record(4)
    record = replace(record, plan=replace(record.plan, **WIDE.further))
    run = child_run(record, searching().training, "id")
    assert run.params["per_device_train_batch_size"] == "32"
    assert run.params["adam_beta2"] == "0.95"
    assert run.name == "lr3e-4_w100_c1_bf16_b2-0.95_batch32_s4"
    assert "weight_decay" not in run.params


def test_the_sweeps_run_names_no_value_that_trials_vary() -> None:
    """But the lists that they take it from."""
    params = sweep_params(searching())
    assert "per_device_train_batch_size" not in params
    assert params["search.per_device_train_batch_size"] == "[8, 32]"
    assert params["search.adam_beta2"] == "[0.999, 0.95]"
    assert sweep_params(make_sweep())["per_device_train_batch_size"] == "16"


def test_the_answer_names_what_was_searched_and_nothing_else() -> None:
    """As tags and in the note."""
    best = Recommendation(WIDE, 1e-3, 0.03, 0.01, 0.08)
    answer = Answer(Verdict.UNCONFIRMED, "Use it.", best, None, 10, 100)
    tags = answer_tags(answer)
    assert tags["stabsearch.recommended.adam_beta2"] == "0.95"
    assert not any("weight_decay" in name or value == "None" for name, value in tags.items())
    (note,) = sweep_note(Place("1", "r", "s"), answer, None, []).values()
    assert "| per_device_train_batch_size&ensp; | 32 |" in note
    assert "None" not in note


@pytest.mark.parametrize("row", FURTHER, ids=lambda row: row.name)
def test_the_model_takes_a_column_for_what_was_searched(row: object) -> None:
    """Whole numbers as such; MLflow refuses a configuration that lacks one."""
    name, value = row.name, row.examples[1]  # type: ignore[attr-defined]
    context = {"precision": "bf16", "warmup_steps": 100, "max_grad_norm": 1.0, name: value}
    trials = [{**context, "learning_rate": 10.0**-power, "outcome": "stable"} for power in range(1, 5)]
    inputs = {each.name: each.type.name for each in inputs_of(fit(pd.DataFrame(trials)).to_json()).inputs}
    assert inputs.pop(name) == ("long" if row.is_whole else "double")  # type: ignore[attr-defined]
    assert inputs == {
        "learning_rate": "double", "warmup_steps": "long", "max_grad_norm": "double", "precision": "string",
    }  # fmt: skip
