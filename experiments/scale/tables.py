"""The measured rows as Markdown, in the README between two marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.scale.results import HERE, SECTIONS, read

README = HERE / "README.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"

Cells = dict[str, str]
MIB = 2**20


def _milliseconds(section: str) -> Callable[[Cells], str]:
    return lambda row: _short(float(row[f"{section.replace(' ', '_')}_ms"]))


COLUMNS: dict[str, Callable[[Cells], str]] = {
    "trials ended": lambda row: f"{int(row['ended']):,}",
    "driver, ms per trial": lambda row: _short(float(row["driver_ms"])),
    **{name: _milliseconds(name) for name in SECTIONS},
}
ASIDE: dict[str, Callable[[Cells], str]] = {
    "trials ended": lambda row: f"{int(row['ended']):,}",
    "driver so far, s": lambda row: _short(float(row["driver_s"])),
    "resident, MiB": lambda row: _short(float(row["memory_mib"])),
    "study on disk, MiB": lambda row: _short(float(row["study_mib"])),
    "study in memory, MiB": lambda row: _short(float(row["resume_memory_bytes"]) / MIB),
    "open the study, s": lambda row: _short(float(row["resume_open_s"])),
    "then the first trial, s": lambda row: _short(float(row["resume_first_trial_s"])),
    "read for a report, s": lambda row: _short(float(row["report_read_s"])),
    "write every report, s": lambda row: _short(float(row["report_write_s"])),
    "report.html, MiB": lambda row: _short(float(row["report.html_bytes"]) / MIB),
    "trials.csv, MiB": lambda row: _short(float(row["trials.csv_bytes"]) / MIB),
}


def write_tables(readme: Path = README) -> None:
    """Put everything that was measured into the README."""
    parts = []
    for name, title in (("", "Journal file"), ("_database", "SQLite database")):
        if (HERE / f"results{name}.csv").exists():
            rows, counts = read(HERE / f"results{name}.csv"), HERE / f"counts{name}.csv"
            about = f"{rows[0]['slots']} trials at a time. {rows[0]['machine']}."
            parts += [f"### {title}", about, _table(rows, COLUMNS), _table(rows, ASIDE)]
            parts += [_counts(read(counts)[0])] if counts.exists() else []
    parts += ["### MLflow", _plain(read(HERE / "requests.csv"))]
    text = readme.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    readme.write_text("\n\n".join([before.rstrip(), BEGIN, *parts, END]) + after, encoding="utf-8")


def _table(rows: Sequence[Cells], columns: dict[str, Callable[[Cells], str]]) -> str:
    return _lines(list(columns), [[show(row) for show in columns.values()] for row in rows])


def _counts(row: Cells) -> str:
    wanted = {name: value for name, value in row.items() if name not in {"storage", "slots", "machine"}}
    return _lines(list(wanted), [list(wanted.values())])


def _plain(rows: Sequence[Cells]) -> str:
    return _lines([name.replace("_", " ") for name in rows[0]], [list(row.values()) for row in rows])


def _lines(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
