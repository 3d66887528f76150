"""The files of a finished or stopped sweep, each written whole or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stabsearch.config import Sweep
from stabsearch.errors import UserError
from stabsearch.frontier import Answer, Confirmation, Frontier, Recommendation, Verdict
from stabsearch.frontier.answer import Extrapolated
from stabsearch.records import Context, TrialRecord
from stabsearch.records.frame import trials_frame
from stabsearch.records.plain_json import read_json
from stabsearch.report.failures import bundles_in
from stabsearch.report.findings import Findings
from stabsearch.report.html import report_html
from stabsearch.report.markdown import FRONTIER_PICTURE, report_markdown
from stabsearch.report.plot import frontier_png
from stabsearch.report.recommended import recommended_arguments, render

FRONTIER_FILE_VERSION = 1
FRONTIER_FILE = "frontier.json"
RECOMMENDED_FILE = "recommended.json"


def write_reports(
    folder: Path,
    sweep: Sweep,
    records: Sequence[TrialRecord],
    frontier: Frontier,
    answer: Answer,
    *,
    command: str,
    versions: Mapping[str, str],
    diagnosis: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Return the files that were written; they are all rendered before the first is replaced.

    A ``recommended.json`` of an earlier answer is removed when nothing is recommended any more.

    Args:
        folder: the sweep's folder, made when absent.
        sweep: what was asked for.
        records: every trial, with final outcomes.
        frontier: fitted to ``records``.
        answer: what it comes to.
        command: what was typed, shown so that it can be repeated.
        versions: library versions, shown as they are.
        diagnosis: why nothing safe was found, as ``Diagnosis.to_json`` gives it.
    """
    findings = Findings.of(
        sweep, records, frontier, answer, command=command, versions=versions, diagnosis=diagnosis,
        bundles=bundles_in(folder),
    )  # fmt: skip
    contents = _rendered(findings)
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted({*contents, RECOMMENDED_FILE}):
        if (folder / name).is_dir():
            raise UserError(f"{folder / name} is a folder, and in the way of a report", "move it away")
    for name, content in contents.items():
        write_atomically(folder / name, content)
    if RECOMMENDED_FILE not in contents:
        (folder / RECOMMENDED_FILE).unlink(missing_ok=True)
    return [folder / name for name in contents]


def _rendered(findings: Findings) -> dict[str, bytes]:
    """Return the content of each file by name."""
    trials = trials_frame(findings.records)
    parquet = io.BytesIO()
    trials.to_parquet(parquet, index=False)
    contents = {
        "trials.csv": trials.to_csv(index=False, lineterminator="\n").encode(),
        "trials.parquet": parquet.getvalue(),
        FRONTIER_FILE: _frontier_json(findings),
        "frontier.csv": findings.frontier.table.to_csv(index=False, lineterminator="\n").encode(),
        FRONTIER_PICTURE: frontier_png(findings),
        "report.md": report_markdown(findings).encode(),
        "report.html": report_html(findings).encode(),
    }
    recommendation = findings.answer.recommendation
    if recommendation is not None:
        arguments = recommended_arguments(findings.sweep, recommendation, findings.answer.max_steps)
        contents[RECOMMENDED_FILE] = render(arguments, "json").encode()
    return contents


def _frontier_json(findings: Findings) -> bytes:
    content = {
        "version": FRONTIER_FILE_VERSION,
        "sweep": findings.sweep.name,
        "answer": answer_to_json(findings.answer),
        "frontier": findings.frontier.to_json(),
    }
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole: whoever reads it sees the old content or the new, nothing between."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as stream:  # which follows no link
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_answer(folder: Path) -> Answer:
    """Return the answer that ``write_reports`` left in a sweep's folder.

    Raises:
        UserError: there is none, or it was written by a version this one does not read.
    """
    content = _read_frontier_file(folder)
    try:
        return answer_from_json(content["answer"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(f"{folder / FRONTIER_FILE}: holds no answer: {problem}", _REBUILD) from None


def _read_frontier_file(folder: Path) -> dict[str, Any]:
    path = folder / FRONTIER_FILE
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file", "the folder of a sweep that has run is needed") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read: {error}", _REBUILD) from None
    version = content.get("version") if isinstance(content, dict) else None
    if version != FRONTIER_FILE_VERSION:
        raise UserError(f"{path}: version {version!r}, this reads {FRONTIER_FILE_VERSION}", _REBUILD)
    return dict(content)


_REBUILD = "`stabsearch report DIR` writes it anew from the study"


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as plain JSON data."""
    data = asdict(answer)
    if answer.recommendation is not None:
        data["recommendation"]["context"] = answer.recommendation.context.settings
    data["extrapolated"] = [_flat(each) for each in answer.extrapolated]
    return data


def _flat(each: Extrapolated) -> dict[str, Any]:
    numbers = asdict(each)
    del numbers["context"]
    return {**each.context.settings, **numbers}


def _extrapolated(data: Mapping[str, Any]) -> Extrapolated:
    numbers = {name: value for name, value in data.items() if name not in Context._fields}
    return Extrapolated(Context.of(data), **numbers)


def answer_from_json(data: Mapping[str, Any]) -> Answer:
    """Return the answer that ``answer_to_json`` took apart."""
    best, confirmation = data["recommendation"], data["confirmation"]
    return Answer(
        verdict=Verdict(data["verdict"]),
        sentence=data["sentence"],
        recommendation=Recommendation(**{**best, "context": Context(**best["context"])}) if best else None,
        confirmation=Confirmation(**confirmation) if confirmation else None,
        horizon=data["horizon"],
        max_steps=data["max_steps"],
        caveats=tuple(data["caveats"]),
        ended=data.get("ended", ""),
        extrapolated=tuple(map(_extrapolated, data.get("extrapolated", ()))),
    )
