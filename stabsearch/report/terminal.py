"""What a command says at the end, on a terminal or in plain lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stabsearch.frontier.effects import Effect
from stabsearch.report.beside import beside, multiplied_text
from stabsearch.report.disk import bytes_below, size_text
from stabsearch.report.findings import ContextRow, Findings
from stabsearch.report.frontier_text import USUAL_WIDTH, frontier_table
from stabsearch.report.knobs import direction, effect_sentence, fold, fold_interval, setting
from stabsearch.report.remarks import extrapolated_text, non_monotone_text, verdict_words
from stabsearch.report.wording import (
    HEADINGS,
    NONE,
    SYMBOLS,
    TONES,
    counted,
    next_step,
    percent,
    printable,
    rate,
    rate_interval,
    recommended_title,
)

STYLES = {"good": "bold green", "fair": "bold yellow", "open": "bold blue", "bad": "bold red"}


def print_summary(findings: Findings, folder: Path, stream: TextIO) -> None:
    """Write the answer, the frontier, where the files are, and the next step.

    Args:
        findings: the sweep.
        folder: where its files are.
        stream: a terminal gets a table and colours (none when NO_COLOR is set), a file plain lines.
    """
    console = Console(file=stream, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        console.print(summary(findings, folder, console.width))
    else:
        stream.write("\n".join(summary_lines(findings, folder)) + "\n")


def summary(findings: Findings, folder: Path, width: int = USUAL_WIDTH) -> RenderableType:
    """Return the end of a run for a terminal so many columns wide."""
    answer = findings.answer
    best = answer.recommendation.context if answer.recommendation else None
    tone = TONES[answer.verdict]
    parts: list[RenderableType] = [
        Text(f"{SYMBOLS[tone]} {HEADINGS[answer.verdict]}", style=STYLES[tone]),
        Text(printable(answer.sentence)),
    ]
    if findings.rows:
        table = frontier_table(findings.rows, _range(findings), width=width, best=best)
        parts.append(Padding(table, (1, 0)))
    else:
        parts.append(Text(""))
    if findings.frontier.effects:
        parts.append(Padding(_effects_table(findings.frontier.effects), (0, 0, 1, 0)))
    return Group(*parts, _notes(findings, folder))


def _effects_table(effects: Sequence[Effect]) -> RenderableType:
    """Return what each setting does to the safe learning rate, one line each."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("setting", "safe learning rate", "", "against"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for effect in effects:
        style = "bold" if effect.is_clear else "dim"
        baseline, pairs = setting(effect.factor, effect.baseline), counted(effect.num_pairs, "pair")
        table.add_row(
            setting(effect.factor, effect.value),
            Text(f"{fold(effect.ratio)} {fold_interval(effect)}", style=style),
            Text(direction(effect), style=style),
            f"{baseline}, {pairs}",
        )
    return table


def _notes(findings: Findings, folder: Path) -> RenderableType:
    """Return what stands below the table, each with its name in front."""
    notes = Table.grid(padding=(0, 2, 0, 0))
    if findings.answer.ended:
        notes.add_row(Text("Search", style="dim"), Text(printable(findings.answer.ended)))
    for note in _remarks(findings):
        notes.add_row(Text("Note", style="dim"), Text(printable(note)))
    notes.add_row(Text("Files", style="dim"), Text(_files(findings, folder)))
    step = next_step(findings.sweep, findings.answer, findings.records)
    notes.add_row(Text("Next", style="bold"), Text(step))
    return notes


def _remarks(findings: Findings) -> list[str]:
    """Return what limits the answer, one sentence or two each."""
    best = findings.answer.recommendation
    needed = beside(findings.sweep, best.context, findings.records) if best else ()
    said = (non_monotone_text(findings), extrapolated_text(findings), *findings.answer.caveats,
            multiplied_text(findings.records))  # fmt: skip
    return [*(f"The run has to {need}" for need in needed), *filter(None, said)]


def _range(findings: Findings) -> tuple[float, float]:
    searched = findings.sweep.search.learning_rate
    return searched.low, searched.high


def _files(findings: Findings, folder: Path) -> str:
    names = ["report.html", *(["recommended.json"] if findings.answer.recommendation else []), "trials.csv"]
    return f"{folder}/ ({size_text(bytes_below(folder))}): {', '.join(names)}"


def summary_lines(findings: Findings, folder: Path) -> list[str]:
    """Return the end of a run as plain lines, one fact each, easy to search in a log."""
    answer = findings.answer
    lines = [f"{HEADINGS[answer.verdict]}: {printable(answer.sentence)}"]
    lines += [f"frontier: {row_line(row)}" for row in findings.rows]
    if answer.recommendation:
        best = answer.recommendation
        lines.append(
            f"{recommended_title(answer)}: learning_rate={best.learning_rate!r} {best.context.label}, "
            f"failure probability {percent(best.failure_probability)}"
        )
    lines += [f"effect: {effect_sentence(effect)}" for effect in findings.frontier.effects]
    lines += [f"search: {printable(answer.ended)}"] if answer.ended else []
    lines += [f"note: {printable(note)}" for note in _remarks(findings)]
    lines.append(f"files: {_files(findings, folder)}")
    return [*lines, f"next: {next_step(findings.sweep, answer, findings.records)}"]


def row_line(row: ContextRow) -> str:
    """Return one context of the frontier in a line."""
    verdict = verdict_words(row)
    counts = f"{counted(row.num_trials, 'trial')}, {row.num_failed} failed"
    interval = rate_interval(row.lr_low, row.lr_high)
    if row.lr_safe is None:
        so_far = f", so far {interval}" if row.num_trials and interval != NONE else ""
        return f"{row.context.label}: {verdict}{so_far} ({counts})"
    known = "" if interval == NONE else f" ({interval})"
    return f"{row.context.label}: frontier near {rate(row.lr_safe)}{known}, {verdict} ({counts})"
