"""Calibration, the cost beside a grid, clipped updates, failures by cause, and pages without an answer."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from matplotlib.colors import to_hex
from report_samples import contexts_of, make_answer, make_findings, make_sweep, make_trial

from stabsearch.frontier import Verdict
from stabsearch.records import Cause, Outcome, Stage, StepTrace
from stabsearch.report.calibration import calibration_of
from stabsearch.report.certainty import calibration_text, grid_text
from stabsearch.report.clipping import clipping_rows
from stabsearch.report.failures import bundles_in, failures_of, missing_text
from stabsearch.report.findings import Findings
from stabsearch.report.html import asset, report_html
from stabsearch.report.markdown import report_markdown
from stabsearch.report.no_answer import gap_rows, next_command
from stabsearch.report.plot import COLORS
from stabsearch.report.risk_field import strips_of
from stabsearch.report.scaling_svg import NOT_KEPT, scaling_rows

HOSTILE = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) ![b](http://c.invalid/d.png) | `e` \n# f"
PLACE = {"warmup_steps": 0, "max_grad_norm": 1.0, "precision": "fp32"}


@pytest.fixture(scope="module")
def usual() -> Findings:
    return make_findings(200)


def test_every_trial_that_proves_something_is_calibrated_once(usual: Findings) -> None:
    """Groups share no trial and leave none out, and their failures are the sweep's."""
    groups = usual.calibration.groups
    told = [record for record in usual.counted if record.is_evidence]
    assert sum(group.num_trials for group in groups) == len(told)
    assert sum(group.num_failed for group in groups) == usual.num_failed
    assert all(group.low <= group.expected <= group.high for group in groups)
    assert all(group.observed_low <= group.observed <= group.observed_high for group in groups)


def test_a_model_fitted_on_its_own_trials_says_so(usual: Findings) -> None:
    assert "fitted on these very trials" in calibration_text(usual)
    assert "confirmation" not in calibration_text(usual)


def test_confirmation_trials_are_foreseen_by_a_model_that_did_not_see_them(usual: Findings) -> None:
    """What they became does not change what was expected of them, though it changes the frontier."""
    best = usual.answer.recommendation
    assert best is not None
    settings = {**best.context.settings, "learning_rate": best.learning_rate, "stage": Stage.CONFIRM}
    expected = []
    for outcome in (Outcome.STABLE, Outcome.NONFINITE):
        seeds = [make_trial(1000 + number, outcome, **settings) for number in range(12)]
        fresh = calibration_of(usual.frontier, [*usual.records, *seeds]).fresh
        assert fresh is not None
        assert fresh.num_failed == (12 if outcome.is_failure else 0)
        assert fresh.agrees != outcome.is_failure
        expected.append(fresh.expected)
    assert expected[0] == expected[1]


def test_a_grid_is_as_fine_as_the_search_was_exact(usual: Findings) -> None:
    """Four times the expected error apart, in every context; more exact costs more."""
    grid = usual.grid_cost
    assert grid is not None
    error = usual.frontier.posterior.expected_error(usual.frontier.searched).mean()
    assert grid.spacing <= 4 * error
    assert grid.trials == grid.num_contexts * (1 + round(5 / grid.spacing))
    assert grid.steps < grid.trials * 120
    assert f"{grid.trials:,} trials" in grid_text(usual)
    assert "one trial every" in grid_text(usual)
    assert make_findings(0).grid_cost is None


def test_only_contexts_that_clip_have_a_share_of_clipped_updates() -> None:
    sweep = make_sweep(search={"warmup": [0], "max_grad_norm": [0, 1.0], "precision": ["fp32"]})
    trials = tuple(
        make_trial(number, clipped_share=share, **{**PLACE, "max_grad_norm": clip})
        for number, (share, clip) in enumerate([(0.1, 1.0), (0.3, 1.0), (math.nan, 1.0), (0.0, 0.0)])
    )
    rows = clipping_rows(replace(make_findings(0, sweep), records=trials))
    assert rows == [("fp32 · warmup 0 · clip 1", 2, "20 %", "–")]


def test_failures_are_grouped_by_outcome_and_cause_the_most_frequent_first() -> None:
    trials = [make_trial(number, Outcome.NONFINITE, **PLACE) for number in range(3)]
    trials.append(make_trial(3, Outcome.NONFINITE, cause=Cause.OPTIMIZER_SETTINGS, **PLACE))
    trials.append(make_trial(4, Outcome.OOM, **PLACE))
    found = failures_of(replace(make_findings(0), records=tuple(trials)))
    named = [(each.outcome, each.cause, len(each.trials)) for each in found]
    assert named == [
        (Outcome.NONFINITE, Cause.LEARNING_RATE, 3),
        (Outcome.NONFINITE, Cause.OPTIMIZER_SETTINGS, 1),
        (Outcome.OOM, Cause.UNKNOWN, 1),
    ]


def test_bundles_are_links_where_they_are_and_are_missed_where_they_are_not(tmp_path: Path) -> None:
    """In both reports; a name that would leave the folder is none of its folders, so it is no link."""
    (tmp_path / "bad_batches" / "trial-0").mkdir(parents=True)
    (tmp_path / "bad_batches" / "trial-1").symlink_to(tmp_path)
    (tmp_path / "bad_batches" / "note.txt").write_text("no bundle")
    names = ("trial-0", "trial-1", "../../etc")
    assert bundles_in(tmp_path) == {"trial-0"}
    trials = tuple(make_trial(n, Outcome.NONFINITE, bundle=name, **PLACE) for n, name in enumerate(names))
    findings = replace(make_findings(0), records=trials, bundles=bundles_in(tmp_path))
    assert missing_text(findings) == "2 of 3 first bad batches are not in bad_batches/."
    page, text = report_html(findings), report_markdown(findings)
    assert page.count('href="bad_batches/') == 2  # by cause, and in the table of trials
    assert '<a href="bad_batches/trial-0/">trial-0</a>' in page
    assert "[trial-0](bad_batches/trial-0/)" in text.replace("\\", "")
    assert "trial-1 (missing)" in page
    assert "etc/" not in page


def test_loss_scales_and_skipped_steps_are_counted_per_fp16_context() -> None:
    """And where a version before kept no scales, that is said."""
    sweep = make_sweep(search={"warmup": [0], "max_grad_norm": [1.0], "precision": ["fp16", "bf16"]})
    place = {**PLACE, "precision": "fp16"}
    trace = StepTrace((1, 2, 3), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (65536.0, 32768.0, 32768.0))
    kept = make_trial(0, trace=trace, skipped_steps=1, **place)
    broken = make_trial(1, Outcome.SCALE_FLOOR, skipped_steps=9, **place)
    findings = replace(make_findings(0, sweep), records=(kept, broken))
    assert scaling_rows(findings) == [("fp16 · warmup 0 · clip 1", 2, 2, "5", 9, "32,768", 1)]
    assert NOT_KEPT not in report_html(findings)
    assert NOT_KEPT in report_html(replace(findings, records=(broken,)))
    assert "Loss scale" not in report_html(make_findings(4))


@pytest.mark.parametrize("verdict", [Verdict.NOTHING_SAFE, Verdict.NOT_ENOUGH_EVIDENCE])
def test_without_an_answer_the_next_step_comes_first_and_can_be_copied(verdict: Verdict) -> None:
    findings = make_findings(24, answer=make_answer(verdict, sentence="THE SENTENCE."))
    command = next_command(findings)
    assert command.startswith("stabsearch run experiments/quickstart.yaml --set ")
    for text in (report_html(findings), report_markdown(findings)):
        assert text.index("Next:") < text.index(command) < text.index("THE SENTENCE.")
    assert len(gap_rows(findings)) == len(findings.rows) == 8


def test_a_command_that_nobody_should_paste_is_not_offered() -> None:
    """What was typed is shown, and only what looks like a plain run is built upon."""
    answer = make_answer(Verdict.NOT_ENOUGH_EVIDENCE)
    assert next_command(make_findings(8, answer=answer, command="stabsearch run a.yaml\nrm -rf b")) == ""
    assert next_command(make_findings(8, answer=answer, command="python sweep.py")) == ""


def test_trials_that_prove_nothing_are_mended_before_more_are_run() -> None:
    trials = tuple(make_trial(number, Outcome.OOM, **PLACE) for number in range(6))
    answer = make_answer(Verdict.NOT_ENOUGH_EVIDENCE)
    findings = replace(make_findings(6, answer=answer), records=trials)
    assert next_command(findings) == ""
    assert "6 oom (out of memory)" in report_html(findings)


def test_the_field_is_what_the_model_predicts(usual: Findings) -> None:
    """At its corners, within half a percent; from low to high it only rises."""
    strips = strips_of(usual.frontier, 1e-5, 1.0)
    assert len(strips) == len(contexts_of(usual.sweep))
    for context, strip in strips.items():
        place = [row.context for row in usual.frontier.rows].index(context)
        for share, probability in strip.corners():
            true = usual.frontier.posterior.failure_probability(place, -5 + 5 * share)
            assert probability == pytest.approx(true, abs=0.005)
        assert [p for _, p in strip.points] == sorted(p for _, p in strip.points)
        assert len(strip.corners()) <= len(strip.points)


@pytest.mark.parametrize("page", [0, 1], ids=["light", "dark"])
def test_equal_steps_of_probability_look_equal(usual: Findings, page: int) -> None:
    """In OKLab (Ottosson 2020), each tenth is as far from the next as the others, give or take a quarter."""
    ground, risk = (_set(usual, name)[page] for name in ("--bg", "--risk"))
    colors = [_oklab(*_mixed(ground, risk, tenth / 10)) for tenth in range(11)]
    steps = [math.dist(one, other) for one, other in pairwise(colors)]
    mean = sum(steps) / len(steps)
    assert all(0.75 < step / mean < 1.25 for step in steps)


def test_certain_failure_has_one_colour_on_the_page_and_in_the_picture(usual: Findings) -> None:
    """It stands in one place: the style sheet has none of its own."""
    light, dark = _set(usual, "--risk")
    assert to_hex(COLORS(1.0)) == light != dark
    assert "--risk:" not in asset("page.css")


def test_hostile_texts_are_inert_in_rendered_markdown() -> None:
    """No element, link or picture comes of them, whatever renders the report."""
    trial = make_trial(0, Outcome.DIVERGED, message=HOSTILE, machine={HOSTILE: HOSTILE}, bundle=HOSTILE)
    answer = make_answer(sentence=HOSTILE, caveats=(HOSTILE,), ended=HOSTILE)
    findings = make_findings(4, answer=answer, command=HOSTILE, versions={HOSTILE: HOSTILE})
    text = report_markdown(replace(findings, records=(trial, *findings.records[1:])))
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<img src=x" not in rendered
    assert rendered.count("<img") == 1  # the frontier picture
    assert "<a " not in rendered
    assert "<h1>f" not in rendered


def _set(findings: Findings, name: str) -> list[str]:
    """Return the colours that the page sets a name to, the light one first."""
    return re.findall(rf"{name}: (#[0-9a-f]{{6}})", report_html(findings))


def _mixed(ground: str, risk: str, probability: float) -> tuple[float, float, float]:
    pairs = zip(_parts(ground), _parts(risk), strict=True)
    red, green, blue = ((1 - probability) * below + probability * full for below, full in pairs)
    return red, green, blue


def _parts(color: str) -> list[float]:
    return [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def _oklab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))
    long = math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    middle = math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    short = math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )
