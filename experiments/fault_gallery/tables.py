"""The published tables, as Markdown; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from experiments.fault_gallery import summary
from experiments.fault_gallery.cell import Result
from experiments.fault_gallery.other_tools import OTHER_TOOLS, Report
from experiments.fault_gallery.side_by_side import Asked
from experiments.fault_gallery.summary import NONE, Share
from stabsearch.records import Cause

_CAUSES = (*(cause.value for cause in Cause), NONE)
MAX_SAID = 70  # characters; chosen: three of them fit beside each other


def markdown(header: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *([_escaped(entry) for entry in line] for line in body)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _escaped(entry: Any) -> str:
    return str(entry).replace("|", "\\|")


def headline(results: Sequence[Result]) -> str:
    """Return what is promised beside what was measured."""
    faults, controls, rows = (
        part(results) for part in (summary.of_faults, summary.of_controls, summary.of_rows)
    )
    replays = summary.replayable(results)
    body: list[list[Any]] = [
        ["planted cause named", Share.of(map(summary.is_right, faults)), "≥ 95 %"],
        ["faults whose cause is named in every cell", summary.whole_faults(faults, summary.is_right), ""],
        ["healthy controls blamed, or with a finding of severity error",
         Share.of(map(summary.is_false_alarm, controls)), "0"],
        ["planted rows named", Share.of(map(summary.finds_rows, rows)), "≥ 95 %"],
        ["planted rows named, and no other", Share.of(map(summary.finds_only_rows, rows)), ""],
        ["the bundle of the failed trial holds the planted rows",
         Share.of(map(summary.bundle_holds_rows, summary.of_failed(rows))), ""],
        ["bundle replays bit-exact in another process", Share.of(map(summary.is_bit_exact, replays)), "all"],
        ["time of the ladder, median and longest", _times(results), "≤ 60 s"],
    ]  # fmt: skip
    return markdown(["", "measured [95 % interval]", "target"], body)


def _times(results: Sequence[Result]) -> str:
    seconds = [result.ladder_s for result in results]
    return f"{median(seconds):.1f} s, {max(seconds):.1f} s"


def confusion(results: Sequence[Result], named: Callable[[Result], str | None]) -> str:
    """Return counts of cells, planted cause down, named cause across."""
    counts = summary.confusion(results, named)
    planted = [cause for cause in _CAUSES if any(pair[0] == cause for pair in counts)]
    # what is no cause stands at the end: a ladder that raised
    known = dict.fromkeys([*_CAUSES, *sorted(pair[1] for pair in counts)])
    columns = [cause for cause in known if any(pair[1] == cause for pair in counts)]
    body = [[row, *(counts.get((row, column), "") for column in columns)] for row in planted]
    return markdown(["planted \\ named", *columns], body)


def by_fault(results: Sequence[Result]) -> str:
    """Return one line per fault: how its trials end, and how often which part is right."""
    body = []
    for name in dict.fromkeys(result.fault for result in results):
        cells = [result for result in results if result.fault == name]
        rows, kept = summary.of_rows(cells), summary.replayable(cells)
        body.append(
            [
                name,
                cells[0].planted or NONE,
                _listed(result.outcome for result in cells),
                _of(cells, summary.is_right),
                _of(cells, summary.is_right_unaided),
                _of(rows, summary.finds_only_rows),
                _of(summary.of_failed(rows), summary.bundle_holds_rows),
                _of(kept, summary.is_bit_exact),
            ]
        )
    header = ["", "planted", "the trial", "named", "without preflight", "rows", "bundle", "bit-exact"]
    return markdown(header, body)


def _of(cells: Sequence[Result], holds: Callable[[Result], bool]) -> str:
    return f"{sum(map(holds, cells))}/{len(cells)}" if cells else ""


def _listed(names: Any) -> str:
    return ", ".join(dict.fromkeys(names))


def misses(results: Sequence[Result]) -> str:
    """Return every fault whose cause was not named somewhere, with what was named and where."""
    wrong: dict[tuple[str, str, str], list[Result]] = {}
    for result in summary.of_faults(results):
        if not summary.is_right(result):
            key = (result.fault, str(result.planted), result.named or NONE)
            wrong.setdefault(key, []).append(result)
    body = [[*key, _places(cells), cells[0].sentence] for key, cells in wrong.items()]
    return markdown(["", "planted", "named", "cells", "said"], body) if body else "None."


def false_alarms(results: Sequence[Result]) -> str:
    """Return every healthy control that was blamed for something."""
    blamed = [result for result in results if summary.is_false_alarm(result)]
    body = [
        [result.key, result.named or NONE, ", ".join(result.errors), result.sentence] for result in blamed
    ]
    return markdown(["", "named", "errors", "said"], body) if body else "None."


def row_misses(results: Sequence[Result]) -> str:
    """Return every cell whose planted rows were not named."""
    lost = [result for result in summary.of_rows(results) if not summary.finds_rows(result)]
    body = [
        [result.key, _numbers(result.planted_rows), _numbers(result.named_rows), result.sentence]
        for result in lost
    ]
    return markdown(["", "planted rows", "named rows", "said"], body) if body else "None."


def replay_misses(results: Sequence[Result]) -> str:
    """Return every bundle that could happen again and did not, bit for bit."""
    lost = [result for result in summary.replayable(results) if not summary.is_bit_exact(result)]
    return markdown(["", "replay"], [[result.key, result.replay] for result in lost]) if lost else "None."


def _places(cells: Sequence[Result]) -> str:
    return ", ".join(f"{result.precision} seed {result.seed}" for result in cells)


def _numbers(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows)) or "–"


def tools_summary(results: Mapping[str, Result], asked: Mapping[str, Asked]) -> str:
    """Return for each tool how many faults it notices, and what it names, each at one cell."""
    both = [key for key in asked if key in results and results[key].planted is not None]
    ours = [results[key] for key in both]
    body = [
        [
            "stabsearch",
            _of(ours, lambda result: result.named is not None),
            _of(ours, summary.is_right),
            _of(ours, lambda result: bool(result.origin)),
            _of(summary.of_rows(ours), summary.finds_rows),
        ]
    ]
    for place, tool in enumerate(OTHER_TOOLS):
        reports = [asked[key].reports[place] for key in both]
        of_rows = [asked[key].reports[place] for key in both if results[key].planted_rows]
        body.append([tool, *(_said(reports, what) for what in ("noticed", "names_cause", "names_module")),
                     _said(of_rows, "names_row")])  # fmt: skip
    return markdown(["", "notices", "names the cause", "names a place", "names the row"], body)


def _said(reports: Sequence[Report], what: str) -> str:
    return f"{sum(getattr(report, what) for report in reports)}/{len(reports)}"


def side_by_side(results: Mapping[str, Result], asked: Mapping[str, Asked]) -> str:
    """Return what each tool says of each fault, in its own words, shortened."""
    body = []
    for key, said in asked.items():
        if key in results:
            body.append([said.fault, _ours(results[key]), *(_short(each.said) for each in said.reports)])
    return markdown(["", "stabsearch", *OTHER_TOOLS], body)


def _ours(result: Result) -> str:
    rows = f", row {_numbers(result.named_rows[:3])}" if result.named_rows else ""
    place = f"; {_short(result.origin)}" if result.origin else ""
    return f"**{result.named or NONE}**{rows}{place}"


def _short(said: str) -> str:
    return said if len(said) <= MAX_SAID else said[: MAX_SAID - 1] + "…"
