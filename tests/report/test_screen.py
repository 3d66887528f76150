"""The live view's picture, in windows of many sizes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from report_samples import contexts_of, make_answer, make_findings, make_search, make_sweep, make_trial
from rich.cells import cell_len
from rich.console import Console

from stabsearch.frontier.answer import Verdict
from stabsearch.frontier.stopping import mean_error
from stabsearch.records import Grade, Outcome, TrialRecord
from stabsearch.records.progress import Progress
from stabsearch.report.course import Course
from stabsearch.report.findings import Findings
from stabsearch.report.screen import Screen
from stabsearch.report.standing import Standing

RANGE = {"learning_rate": {"low": 1e-5, "high": 1.0}}
SEARCHES: dict[int, dict[str, Any]] = {
    4: {**RANGE, "warmup": [0], "max_grad_norm": [0, 1.0], "precision": ["fp32", "bf16"]},
    12: {**RANGE, "warmup": [0, 50, 100], "max_grad_norm": [0, 1.0], "precision": ["fp32", "bf16"]},
    60: {
        **RANGE,
        "warmup": list(range(0, 150, 10)),
        "max_grad_norm": [0, 1.0],
        "precision": ["fp32", "bf16"],
    },
}
LONG = (
    "Unconfirmed: learning rate 0.00251 in bf16 with 100 warmup steps and max_grad_norm 1 has an estimated "
    "failure probability of 3% within 120 steps (90% interval 1% to 8%); no fresh seed was run on it."
)


@pytest.fixture(scope="module", params=list(SEARCHES))
def findings(request: pytest.FixtureRequest) -> Findings:
    """A hundred trials over few and many contexts."""
    sweep = make_sweep(search=SEARCHES[request.param])
    return make_findings(100, sweep, answer=make_answer(Verdict.UNCONFIRMED, sentence=LONG))


def standing_of(findings: Findings, num_trials: int | None = None) -> Standing:
    known = len(findings.records) if num_trials is None else num_trials
    return Standing.of(known, findings.frontier, findings.answer, "map")


def screen(
    findings: Findings, running: Sequence[TrialRecord] = (), standing: Standing | None = None
) -> Screen:
    course = Course(findings.sweep, (), lambda: 0.0)
    for record in findings.records:
        course.finished(record)
    for place, record in enumerate(running):
        course.started(record.plan)
        if place:
            course.progress(Progress(record.plan.number, 10 + place, 2.5, 1e-4))
    course.standing = standing
    return course.screen()


def lines_of(picture: Screen, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, force_terminal=True)
    console.print(picture)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def text_of(picture: Screen, width: int = 80, height: int = 24) -> str:
    return "\n".join(lines_of(picture, width, height))


@pytest.mark.parametrize("num_running", [0, 2, 1000])
@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (60, 20), (120, 40), (200, 60), (80, 12), (40, 8), (20, 4)]
)
def test_the_picture_never_outgrows_the_window(
    findings: Findings, width: int, height: int, num_running: int
) -> None:
    """A line more would scroll, and each redraw would leave one behind."""
    running = [make_trial(100 + number) for number in range(num_running)]
    lines = lines_of(screen(findings, running, standing_of(findings)), width, height)
    assert len(lines) < height
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (120, 40), (200, 60)])
def test_every_part_has_its_place_in_a_usual_window(findings: Findings, width: int, height: int) -> None:
    """Also where there are sixty contexts and a thousand trials run."""
    running = [make_trial(100 + number) for number in range(1000)]
    text = text_of(screen(findings, running, standing_of(findings)), width, height)
    parts = ("quickstart", "elapsed", "stable", "If stopped now: ◐ Safe", "learning rate 0.00251")
    for part in (*parts, "context ", "1,000 running", " more ", "step", "loss"):
        assert part in text, text


def test_a_wide_window_names_the_interval_and_a_narrow_one_leaves_out_counts(findings: Findings) -> None:
    """What is dropped first is what the bar shows anyway."""
    picture = screen(findings, (), standing_of(findings))
    for width, columns in ((60, set()), (80, {"trials", "failed"}), (120, {"interval", "trials", "failed"})):
        head = next(
            line for line in lines_of(picture, width) if line.startswith("context") and "1e-5" in line
        )
        assert set(head.split()[3:]) == {"frontier", *columns}


def test_contexts_without_room_are_counted_with_what_is_known_of_them() -> None:
    """Nothing is left out in silence; the recommended one is never left out."""
    sweep = make_sweep(search=SEARCHES[60])
    findings = make_findings(100, sweep)
    standing = standing_of(findings)
    lines = lines_of(screen(findings, (), standing))
    (hidden,) = [line for line in lines if "more contexts" in line]
    head = next(place for place, line in enumerate(lines) if line.startswith("context "))
    shown = lines[head + 1 : lines.index(hidden)]
    assert f"… and {60 - len(shown)} more contexts: " in hidden
    assert standing.best is not None
    assert any(line.startswith(f"{standing.best.label} ") for line in shown)
    order = [context.label for context in contexts_of(sweep)]
    names = [line.split("  ")[0] for line in shown]
    assert names == sorted(names, key=order.index)


def test_the_picture_says_how_closely_the_frontier_is_known() -> None:
    """Beside what was asked for, where something was; not before the first frontier."""
    findings = make_findings(40)
    free = make_findings(40, make_sweep(search={"tolerance": None}))
    error = mean_error(findings.frontier, "map")
    assert "known to" not in text_of(screen(findings))
    assert f"known to {error:.2f} decades (0.1 asked)" in text_of(screen(findings, (), standing_of(findings)))
    assert "asked" not in text_of(screen(free, (), standing_of(free)))


def test_an_answer_that_lags_behind_says_so() -> None:
    """It is worked out beside the trials."""
    findings = make_findings(40)
    assert "· 3 trials ago" in text_of(screen(findings, (), standing_of(findings, 37)))
    assert "ago" not in text_of(screen(findings, (), standing_of(findings)))
    assert "If stopped now: nothing is known yet" in text_of(screen(findings))


@pytest.mark.parametrize(
    ("loss", "shown"), [(float("nan"), "NaN"), (float("inf"), "inf"), (0.25, "0.25"), (123456.0, "1.2e5")]
)
def test_a_loss_is_shown_as_what_it_is(loss: float, shown: str) -> None:
    """NaN and infinity too: the trial broke, and its cause is being looked for."""
    course = Course(make_sweep(), (), lambda: 0.0)
    course.started(make_trial(7).plan)
    course.progress(Progress(7, 31, loss, 1e-3))
    (line,) = [line for line in lines_of(course.screen()) if "31/120" in line]
    assert f" {shown}  ▸ " in line
    assert ("why?" in line) == (shown in {"NaN", "inf"})


def test_outcomes_are_counted_by_what_they_say() -> None:
    """A lost worker is neither stable nor failed."""
    course = Course(make_sweep(), [make_trial(0)], lambda: 0.0)
    for number, outcome in enumerate([Outcome.STABLE, Outcome.DIVERGED, Outcome.LOST], 1):
        course.finished(make_trial(number, outcome))
    assert "2 stable · 1 failed · 1 without evidence" in text_of(course.screen())


def test_hostile_texts_neither_steer_the_terminal_nor_are_read_as_markup() -> None:
    """Control characters are gone, brackets stay, and wide characters count for two columns."""
    evil = "\x1b[2J[bold red]" + "\u202e漢字" * 60
    findings = make_findings(8, answer=make_answer(sentence=evil))
    lines = lines_of(screen(findings, (), standing_of(findings)))
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "red]漢字" in text
    assert max(map(cell_len, lines)) <= 80
    assert len(lines) < 24


@pytest.mark.parametrize(
    ("width", "shown"),
    [(100, "1.0e-3  bf16 · warmup 100 · clip 1  120/120"), (60, "1.0e-3  bf16 w100 c1  120/120")],
)
def test_a_context_is_named_whole_as_long_as_its_short_name_fits(width: int, shown: str) -> None:
    """What tells contexts apart stands last, and must not be cut."""
    course = Course(make_sweep(), (), lambda: 0.0)
    course.finished(make_trial(0, grade=Grade.UNTRAINED))
    (line,) = [line for line in lines_of(course.screen(), width) if "untrained" in line]
    assert shown in line


def test_many_trials_make_a_picture_no_dearer() -> None:
    """The view keeps what it can show, whatever the sweep has seen."""
    sweep = make_sweep(search=SEARCHES[12])
    course = Course(sweep, (), lambda: 0.0)
    for record in make_search(sweep, 500):
        course.finished(record)
        course.started(make_trial(1000 + record.plan.number).plan)
    picture = course.screen()
    assert len(picture.last) < 100
    assert len(picture.running) < 100
    assert (picture.num_running, picture.tally.done) == (500, 500)


@pytest.mark.parametrize(
    ("verdict", "sentence", "line"),
    [
        (
            Verdict.NOT_ENOUGH_EVIDENCE,
            "Not enough evidence after 1 trial: x.",
            "Not enough evidence after 1 trial: x.",
        ),
        (Verdict.CONFIRMED, "Use 1e-3.", "Safe configuration, confirmed: Use 1e-3."),
    ],
)
def test_a_line_says_its_verdict_once(verdict: Verdict, sentence: str, line: str) -> None:
    standing = Standing(1, (), None, make_answer(verdict, sentence=sentence))
    assert standing.line == line
