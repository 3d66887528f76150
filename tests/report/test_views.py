"""What is seen of a sweep while it runs."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable

import pytest
from report_samples import make_findings, make_ramp, make_sweep, make_trial
from rich.console import Console

from stabsearch.records import Outcome
from stabsearch.records.progress import Progress
from stabsearch.report.findings import Findings
from stabsearch.report.live import LiveView
from stabsearch.report.plain import SILENT_FOR_S, STANDS_EVERY_S, PlainView
from stabsearch.report.standing import Standing
from stabsearch.report.views import QuietView, View, view_for


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that the test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Waits:
    """Waits that move the clock on, and what happens in each; after the last one it is over."""

    def __init__(self, clock: Clock, *happens: Callable[[], object]) -> None:
        self.clock, self.happens, self.waited = clock, list(happens), list[float]()

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self.clock.now += seconds
        if not self.happens:
            return True
        self.happens.pop(0)()
        return False


def live(clock: Clock, **parts: object) -> LiveView:
    console = Console(file=io.StringIO(), width=80, height=30, force_terminal=True, color_system=None)
    return LiveView(make_sweep(**parts), console, clock=clock)


def drawn(view: LiveView) -> str:
    console = Console(file=io.StringIO(), width=80, height=30, color_system=None)
    console.print(view.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


def nothing() -> None:
    """Happen not."""


def standing_of(findings: Findings) -> Standing:
    return Standing.of(len(findings.records), findings.frontier, findings.answer, "map")


VIEWS: list[Callable[[], View]] = [
    QuietView,
    lambda: PlainView(make_sweep(), io.StringIO()),
    lambda: live(Clock()),
]


@pytest.mark.parametrize("make_view", VIEWS)
def test_every_view_takes_every_event(
    make_view: Callable[[], View], capsys: pytest.CaptureFixture[str]
) -> None:
    """Retried and unknown trials, steps of one that has ended; standard output stays free for results."""
    findings = make_findings(3)
    with make_view() as view:
        view.message("canary [passed]")
        view.progress(Progress(0, 3, 1.0, 1e-3))
        view.started(findings.records[0].plan)
        view.started(findings.records[0].plan)
        view.finished(findings.records[0])
        view.progress(Progress(0, 3, 1.0, 1e-3))
        view.finished(findings.records[1])
        view.stands(standing_of(findings))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("make_view", VIEWS)
def test_an_error_passes_through(make_view: Callable[[], View]) -> None:
    """A view never swallows what went wrong."""
    with pytest.raises(KeyboardInterrupt), make_view():
        raise KeyboardInterrupt


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_the_cursor_is_shown_again_whatever_ended_the_sweep(error: type[BaseException]) -> None:
    """Ctrl-C, SIGTERM and bugs leave the terminal as they found it, and no thread that draws on."""
    view = live(Clock())
    with pytest.raises(error), view:
        raise error
    written = view._console.file.getvalue()  # type: ignore[attr-defined]
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert "stabsearch-view" not in {thread.name for thread in threading.enumerate()}


def test_plain_lines_leave_no_thread_behind() -> None:
    """Long before the next look at how silent it is."""
    with PlainView(make_sweep(), io.StringIO()):
        assert "stabsearch-view" in {thread.name for thread in threading.enumerate()}
    assert "stabsearch-view" not in {thread.name for thread in threading.enumerate()}


def test_a_plain_line_says_how_a_trial_ended() -> None:
    """Place, name, outcome and message, on one line."""
    stream = io.StringIO()
    view = PlainView(make_sweep(), stream, records=[make_trial(number) for number in range(11)])
    view.finished(make_trial(12, Outcome.DIVERGED, message="too\nhigh\x1b[2J"))
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("[12/60] lr1e-3_w100_c1_bf16_s12 diverged, 120 steps")
    assert line.endswith("too high[2J")


def test_a_log_says_now_and_then_where_the_sweep_stands() -> None:
    """The answer, the time left and the frontiers that moved; not with every trial, nor twice the same."""
    clock, stream, findings = Clock(), io.StringIO(), make_findings(40)
    view = PlainView(make_sweep(), stream, clock=clock)
    standing = standing_of(findings)
    view.finished(findings.records[0])
    view.stands(standing)
    assert "if stopped now" not in stream.getvalue()
    clock.now += STANDS_EVERY_S
    view.stands(standing)
    clock.now += STANDS_EVERY_S
    view.stands(standing)
    said = stream.getvalue()
    assert said.count("if stopped now: Safe configuration, confirmed: bf16 with warmup 100") == 1
    assert "30 s elapsed, about 29 min 30 s left; 0 stable, 1 failed, 0 running" in said
    assert said.count("frontier: ") == 6
    assert "… and 3 more contexts moved" in said


def test_a_log_is_never_silent_for_long() -> None:
    """A trial that loads a model, hangs or takes an hour is named, though no event comes."""
    clock, stream = Clock(), io.StringIO()
    view = PlainView(make_sweep(), stream, clock=clock, wait=Waits(clock, nothing, nothing))
    for number in range(5):
        view.started(make_trial(number).plan)
    view.progress(Progress(0, 60, 0.5, 1e-4))
    with view:
        pass
    first, second = stream.getvalue().splitlines()
    assert first.startswith(
        "running: lr1e-3_w100_c1_bf16_s0 step 60 of 120, loss 0.5, learning rate 1.0e-4; lr1e-3_w100"
    )
    assert first.endswith("for 1 min; and 2 more")
    assert second.endswith("for 2 min; and 2 more")


def test_only_silence_is_broken_and_only_by_what_runs() -> None:
    """Another line puts it off; steps alone write nothing; where no trial runs there is nothing to say."""
    clock, stream = Clock(), io.StringIO()
    trial = make_trial(0)

    def begin() -> None:
        clock.now -= 20.0
        view.message("40 s after the beginning")
        clock.now += 20.0
        view.started(trial.plan)

    def step() -> None:
        view.progress(Progress(0, 60, 0.5, 1e-4))

    waits = Waits(clock, begin, step, lambda: view.finished(trial), nothing)
    view = PlainView(make_sweep(), stream, clock=clock, wait=waits)
    with view:
        pass
    said = [line.partition(" ")[0] for line in stream.getvalue().splitlines()]
    assert said == ["40", "running:", "["]
    assert waits.waited == [60.0, 40.0, 60.0, 60.0, 60.0]


class Broken(io.StringIO):
    """A stream that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_went_away_ends_nothing() -> None:
    """As the picture does, silence goes on being watched: the sweep is what counts."""
    clock = Clock()
    waits = Waits(clock, nothing, nothing)
    view = PlainView(make_sweep(), Broken(), clock=clock, wait=waits)
    view.started(make_trial(0).plan)
    with view:
        pass
    assert waits.waited == [SILENT_FOR_S] * 3


def test_time_left_follows_from_the_trials_of_this_run() -> None:
    """Trials of an earlier run cost nothing now and do not count."""
    clock = Clock()
    earlier = [make_trial(number) for number in range(20)]
    view = LiveView(make_sweep(), Console(file=io.StringIO()), records=earlier, clock=clock)
    for number in range(10):
        view.finished(make_trial(20 + number))
    clock.now += 50
    text = drawn(view)
    assert "30 of 60 trials" in text
    assert "about 2 min 30 s left" in text


def test_time_left_is_unknown_before_the_first_trial() -> None:
    """No number is better than a made-up one."""
    assert "left" not in drawn(live(Clock()))


def test_the_wall_clock_limits_the_time_left() -> None:
    """No trial starts after it."""
    clock = Clock()
    view = live(clock, budget={"trials": 60, "wall_clock": "1m"})
    view.finished(make_trial(0))
    clock.now += 40
    assert "about 20 s left" in drawn(view)


def test_a_finished_trial_no_longer_runs() -> None:
    """It moves from the running ones to the last outcomes."""
    view, trial = live(Clock()), make_trial(7, Outcome.NONFINITE)
    view.started(trial.plan)
    assert "▸ 0.0 s" in drawn(view)
    view.progress(Progress(7, 39, 2.5, 4e-4))
    assert " 39/120   2.5  ▸ at 4.0e-4" in drawn(view)
    view.finished(trial)
    view.progress(Progress(7, 40, 2.5, 4e-4))
    assert "▸" not in drawn(view)
    assert " 40/120   NaN  ✗ nonfinite" in drawn(view)


def test_a_trial_that_is_tried_again_begins_anew() -> None:
    """The steps of a worker that was lost are no more."""
    view, plan = live(Clock()), make_trial(7).plan
    view.started(plan)
    view.progress(Progress(7, 39, 2.5, 4e-4))
    view.started(plan)
    assert "39/120" not in drawn(view)


def test_a_ramp_is_no_failure() -> None:
    """It is shown as what it is, with both of its rates."""
    view = live(Clock())
    view.finished(make_ramp(9))
    assert "1.0e-5 to 1.0e0" in drawn(view)
    assert "– ramp, diverged" in drawn(view)
    assert "0 failed" in drawn(view)
    assert "without evidence" not in drawn(view)
    assert "1 of " in drawn(view)


@pytest.mark.parametrize(
    ("stream", "is_quiet", "kind"),
    [(Terminal(), False, LiveView), (io.StringIO(), False, PlainView), (Terminal(), True, QuietView)],
)
def test_the_stream_decides_the_view(
    stream: io.StringIO, is_quiet: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal gets the picture, a file lines, and quiet is quiet."""
    monkeypatch.setenv("TERM", "xterm-256color")
    assert type(view_for(make_sweep(), is_quiet=is_quiet, stream=stream)) is kind


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot move its cursor."""
    monkeypatch.setenv("TERM", "dumb")
    assert type(view_for(make_sweep(), stream=Terminal())) is PlainView


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to results."""
    with view_for(make_sweep()) as view:
        view.finished(make_trial(0))
    assert capsys.readouterr().out == ""
    assert sys.stdout is not sys.stderr
