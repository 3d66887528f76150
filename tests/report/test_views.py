"""What is seen of a sweep while it runs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest
from report_samples import make_findings, make_ramp, make_sweep, make_trial
from rich.console import Console

from stabsearch.frontier.stopping import mean_error
from stabsearch.records import Outcome
from stabsearch.report.live import LiveView
from stabsearch.report.views import PlainView, QuietView, View, view_for


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


def live(clock: Clock, height: int = 30, **parts: object) -> LiveView:
    console = Console(file=io.StringIO(), width=80, height=height, force_terminal=True, color_system=None)
    return LiveView(make_sweep(**parts), console, clock=clock)


def drawn(view: LiveView) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(view.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


VIEWS: list[Callable[[], View]] = [
    QuietView,
    lambda: PlainView(60, stream=io.StringIO()),
    lambda: live(Clock()),
]


@pytest.mark.parametrize("make_view", VIEWS)
def test_every_view_takes_every_event(
    make_view: Callable[[], View], capsys: pytest.CaptureFixture[str]
) -> None:
    """Retried, unknown and unfitted trials included; standard output stays free for results."""
    findings = make_findings(3)
    with make_view() as view:
        view.message("canary [passed]")
        view.started(findings.records[0].plan)
        view.started(findings.records[0].plan)
        view.finished(findings.records[0], findings.frontier)
        view.finished(findings.records[1], None)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("make_view", VIEWS)
def test_an_error_passes_through(make_view: Callable[[], View]) -> None:
    """A view never swallows what went wrong."""
    with pytest.raises(KeyboardInterrupt), make_view():
        raise KeyboardInterrupt


def test_a_plain_line_says_how_a_trial_ended() -> None:
    """Place, name, outcome, message, and the frontier of its context."""
    stream, findings = io.StringIO(), make_findings(40)
    view = PlainView(60, num_done=11, stream=stream)
    view.finished(make_trial(12, Outcome.DIVERGED, message="too\nhigh\x1b[2J"), findings.frontier)
    first, second = stream.getvalue().splitlines()
    assert first.startswith("[12/60] lr1e-3_w100_c1_bf16_s12 diverged, 120 steps")
    assert first.endswith("too high[2J")
    assert "bf16 · warmup 100 · clip 1" in second


def test_time_left_follows_from_the_trials_of_this_run() -> None:
    """Trials of an earlier run cost nothing now and do not count."""
    clock = Clock()
    view = LiveView(make_sweep(), Console(file=io.StringIO()), num_done=20, clock=clock)
    for number in range(10):
        view.finished(make_trial(number), None)
    clock.now += 50
    text = drawn(view)
    assert "30/60 done" in text
    assert "about 2 min 30 s left" in text


def test_time_left_is_unknown_before_the_first_trial() -> None:
    """No number is better than a made-up one."""
    assert "left" not in drawn(live(Clock()))


def test_the_wall_clock_limits_the_time_left() -> None:
    """No trial starts after it."""
    clock = Clock()
    view = live(clock, budget={"trials": 60, "wall_clock": "1m"})
    view.finished(make_trial(0), None)
    clock.now += 40
    assert "about 20 s left" in drawn(view)


def test_a_finished_trial_no_longer_runs() -> None:
    """It moves from the running ones to the last outcomes."""
    view, trial = live(Clock()), make_trial(7, Outcome.NONFINITE)
    view.started(trial.plan)
    assert "running 0.0 s" in drawn(view)
    view.finished(trial, None)
    assert "running 0.0 s" not in drawn(view)
    assert "✗ nonfinite at step 40" in drawn(view)


def test_the_last_frontier_stays_when_none_is_given() -> None:
    """A trial without a new fit does not blank the table."""
    view, findings = live(Clock()), make_findings(40)
    view.finished(findings.records[0], findings.frontier)
    view.finished(findings.records[1], None)
    assert "fp32 · warmup 0 · no clip" in drawn(view)


def test_the_live_view_says_how_closely_the_frontier_is_known() -> None:
    """Beside what was asked for, where something was; not before the first frontier."""
    findings = make_findings(40)
    error = mean_error(findings.frontier, "map")
    view, free = live(Clock()), live(Clock(), search={"tolerance": None})
    assert "known to" not in drawn(view)
    for each in (view, free):
        each.finished(findings.records[0], findings.frontier)
    assert f"known to {error:.2f} decades (0.1 asked for)" in drawn(view)
    assert "decades" in drawn(free)
    assert "asked for" not in drawn(free)


def test_a_ramp_is_neither_a_failure_nor_a_step_of_the_frontier() -> None:
    """It is shown as what it is, with both of its rates."""
    view, stream, findings = live(Clock()), io.StringIO(), make_findings(8)
    view.finished(make_ramp(9), findings.frontier)
    assert "1.0e-5 to 1.0e0" in drawn(view)
    assert "– ramp, diverged at step 80" in drawn(view)
    PlainView(60, stream=stream).finished(make_ramp(9), findings.frontier)
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("height", [16, 24, 60])
def test_the_table_never_outgrows_the_window(height: int) -> None:
    """Sixty contexts and many running trials: what does not fit is counted."""
    search = {"warmup": list(range(0, 150, 10)), "max_grad_norm": [0, 1.0], "precision": ["fp32", "bf16"]}
    findings = make_findings(80, make_sweep(search=search))
    view = live(Clock(), height, search=search)
    for trial in findings.records[:2]:
        view.finished(trial, findings.frontier)
    for trial in findings.records[2:4]:
        view.started(trial.plan)
    lines = drawn(view).splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= 80
    assert any("more contexts" in line for line in lines) == (len(findings.rows) > len(lines))


@pytest.mark.parametrize(
    ("stream", "is_quiet", "kind"),
    [(Terminal(), False, LiveView), (io.StringIO(), False, PlainView), (Terminal(), True, QuietView)],
)
def test_the_stream_decides_the_view(
    stream: io.StringIO, is_quiet: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal gets the table, a file lines, and quiet is quiet."""
    monkeypatch.setenv("TERM", "xterm-256color")
    assert type(view_for(make_sweep(), is_quiet=is_quiet, stream=stream)) is kind


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to results."""
    with view_for(make_sweep()) as view:
        view.finished(make_trial(0), None)
    assert capsys.readouterr().out == ""
    assert sys.stdout is not sys.stderr
