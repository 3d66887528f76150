"""The gate's verdict in words, JSON and SARIF."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from gate_samples import UNSEEN, make_frontier

from stabsearch.errors import UserError
from stabsearch.frontier.gate import gate
from stabsearch.records import Context
from stabsearch.report.gate import error_sarif, gate_json, gate_sarif, gate_sentence, gate_text

HERE = Context("bf16", 0, 1.0)
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LINE = {"type": "integer", "minimum": 1}
SARIF = {
    "type": "object",
    "required": ["$schema", "version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array", "minItems": 1,
            "items": {
                "type": "object", "required": ["tool", "results", "invocations"],
                "additionalProperties": False,
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {"required": ["driver"], "properties": {"driver": {
                        "required": ["name", "rules"],
                        "properties": {"rules": {"items": {
                            "required": ["id", "shortDescription", "fullDescription", "help"],
                            "properties": {"shortDescription": TEXT, "fullDescription": TEXT, "help": TEXT},
                        }}},
                    }}},
                    "invocations": {"items": {"required": ["executionSuccessful"]}},
                    "results": {"type": "array", "items": {
                        "required": [
                            "ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints",
                        ],
                        "properties": {
                            "level": {"enum": ["none", "note", "warning", "error"]},
                            "message": TEXT,
                            "partialFingerprints": {"additionalProperties": {"type": "string"}},
                            "locations": {"minItems": 1, "items": {
                                "required": ["physicalLocation"],
                                "properties": {"physicalLocation": {
                                    "required": ["artifactLocation", "region"],
                                    "properties": {
                                        "artifactLocation": {"properties": {"uri": {"pattern": r"^[!-~]+$"}}},
                                        "region": {"properties": {"startLine": LINE}},
                                    },
                                }},
                            }},
                        },
                    }},
                },
            },
        },
    },
}  # fmt: skip
"""What GitHub code scanning asks of SARIF 2.1.0; the whole OASIS schema is not at hand."""


def valid(data: dict[str, Any]) -> dict[str, Any]:
    jsonschema.validate(json.loads(json.dumps(data, allow_nan=False)), SARIF)
    run: dict[str, Any] = data["runs"][0]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    return run


def test_the_sentence_says_what_to_change_by_how_much() -> None:
    gated = gate(make_frontier(), HERE, 7e-4)
    safe = gated.judged.safe
    assert safe is not None
    sentence = gate_sentence(gated)
    assert sentence.startswith(f"learning_rate 7e-4 is {7e-4 / safe:.2g}x above the safe ")
    assert "(interval " in sentence
    assert sentence.endswith("; or warmup 100")


def test_a_change_that_only_raises_the_limit_says_so() -> None:
    gated = gate(make_frontier(), HERE, 5e-2)
    assert gated.cures == ()
    assert gate_sentence(gated).count(" up to ") == 2
    assert "; or fp32 up to " in gate_sentence(gated)


def test_inside_says_how_much_room_there_is() -> None:
    gated = gate(make_frontier(), HERE, 1e-5)
    assert gated.judged.safe is not None
    assert f"is {gated.judged.safe / 1e-5:.2g}x below the safe" in gate_sentence(gated)


def test_a_context_without_evidence_is_named_as_such() -> None:
    text = gate_text(gate(make_frontier(), UNSEEN, 1e-4), 0.1, 0.9, 300, ())
    assert text.startswith("not enough evidence: learning_rate 1e-4: no safe learning rate is known in fp16")
    there = gate_text(gate(make_frontier(), Context("bf16", 100, 1.0), 1e-2), 0.1, 0.9, 300, ())
    assert "  with precision fp16: no safe learning rate known (0 trials: " in there
    assert "within 300 steps" in there
    assert "allowed 10 %" in there


def test_json_is_strict_and_complete() -> None:
    data = gate_json(gate(make_frontier(), HERE, 7e-4), 0.1, 0.9, None, ("a note",))
    again = json.loads(json.dumps(data, allow_nan=False))
    assert (again["exit_code"], again["verdict"]) == (1, "too_risky")
    assert again["cures"] == ["warmup_steps=100"]
    assert {each["name"] for each in again["changes"]} == {"precision", "warmup_steps"}
    assert again["context"] == HERE.settings
    assert again["notes"] == ["a note"]
    assert gate_json(gate(make_frontier(), HERE, 1e-5), 0.1, 0.9, 300, ())["exit_code"] == 0


def test_sarif_of_each_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = str(tmp_path / "a b" / "train.json")
    run = valid(gate_sarif(gate(make_frontier(), HERE, 7e-4), place, 7))
    (result,) = run["results"]
    assert result["ruleId"] == "STAB-G001"
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/train.json"},
        "region": {"startLine": 7},
    }
    again = gate_sarif(gate(make_frontier(), HERE, 2e-3), "a b/train.json", 9)["runs"][0]["results"][0]
    assert again["partialFingerprints"] == result["partialFingerprints"]
    (result,) = valid(gate_sarif(gate(make_frontier(), UNSEEN, 1e-4), "stdin", 0))["results"]
    assert result["ruleId"] == "STAB-G002"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    assert valid(gate_sarif(gate(make_frontier(), HERE, 1e-5), place, 7))["results"] == []


def test_sarif_of_a_gate_that_could_not_judge() -> None:
    run = valid(error_sarif(UserError("no [frontier](http://x)", "a hint")))
    assert run["results"] == []
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    text = invocation["toolExecutionNotifications"][0]["message"]["text"]
    assert text == r"no \[frontier\](http://x). a hint"


def test_hostile_texts_are_inert() -> None:
    """Control characters and SARIF's links; a file outside of the folder stays an address."""
    gated = gate(make_frontier(), HERE, 7e-4)
    bad = replace(gated, judged=replace(gated.judged, reason="\x1b[31m[x](http://evil)\n::error::"))
    text = gate_text(bad, 0.1, 0.9, 300, ("\x1b]0;owned\x07",))
    assert "\x1b" not in text
    assert "\n::error::" not in text
    (result,) = valid(gate_sarif(bad, f"/{os.sep}elsewhere/\x1b<b>.json", 1))["results"]
    assert r"\[x\](http://evil)" in result["message"]["text"]
    assert "\x1b" not in result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
