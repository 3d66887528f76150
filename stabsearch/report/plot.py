"""The frontier as a picture for papers and slides."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from stabsearch.records import Context
from stabsearch.report.findings import Findings
from stabsearch.report.layout import Column, Panel, Picture, color_of, marker, picture_of
from stabsearch.report.remarks import BELOW
from stabsearch.report.risk_field import RISK_LIGHT, Strip, strips_of
from stabsearch.report.wording import counted, percent

DPI = 300
KEY_WIDTH = 1.5  # inches; chosen: the longest text of the legend fits
CHARACTERS_PER_INCH = 10  # chosen: of a panel's title, so that two neighbours do not touch
NO_BREAK = "\N{NO-BREAK SPACE}"
CROWD = 80  # chosen: trials of a panel above which smaller marks hide less of each other
INK, MUTED, GRID, PAPER = "#1f2328", "#5c6673", "#e5e7eb", "#ffffff"

SHAPES: dict[str, dict[str, Any]] = {
    "stable": {"marker": "o", "s": 15, "linewidths": 0.8, "facecolors": PAPER, "edgecolors": INK},
    "nonfinite": {"marker": "X", "s": 24, "linewidths": 0.6, "facecolors": INK, "edgecolors": PAPER},
    "diverged": {"marker": "^", "s": 24, "linewidths": 0.6, "facecolors": INK, "edgecolors": PAPER},
    "collapsed": {"marker": "v", "s": 24, "linewidths": 0.6, "facecolors": INK, "edgecolors": PAPER},
    "scale_floor": {"marker": "D", "s": 18, "linewidths": 0.6, "facecolors": INK, "edgecolors": PAPER},
    "silent": {"marker": ".", "s": 12, "linewidths": 0, "facecolors": "#9ca3af", "edgecolors": "none"},
}
"""What survived is hollow, what failed is solid, each with an edge of the other shade."""
COLORS = LinearSegmentedColormap.from_list("failure probability", [PAPER, RISK_LIGHT])
NAMES = {"silent": "no evidence", "scale_floor": "scale floor"}


def frontier_png(findings: Findings) -> bytes:
    """Return the frontier picture as PNG: a panel per precision, a colour per clip norm; see ``layout``."""
    return png_of(frontier_figure(findings))


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": "stabsearch"})
    return target.getvalue()


def frontier_figure(findings: Findings) -> Figure:
    """Return the same picture as a figure of its own, outside pyplot's global state."""
    picture = picture_of(findings)
    figure = Figure(figsize=_size(picture), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure, picture, findings)
    return figure


def _grid(picture: Picture) -> tuple[int, int]:
    """Return rows and columns of panels: side by side while they fit a page."""
    count = max(len(picture.panels), 1)
    across = 1 if _panel_width(picture) > 5.5 else min(count, 2 if _panel_width(picture) > 3.2 else 4)
    return -(-count // across), across


def _panel_width(picture: Picture) -> float:
    """Return inches: each column gets room for its trials."""
    return max(2.3, 0.28 * len(picture.warmups) * len(picture.colors) + 0.5)


def _size(picture: Picture) -> tuple[float, float]:
    rows, across = _grid(picture)
    return max(6.4, across * _panel_width(picture) + 0.8), rows * 3.1 + 1.2


def _draw(figure: Figure, picture: Picture, findings: Findings) -> None:
    rows, across = _grid(picture)
    figure.suptitle(_title(findings), x=0.012, ha="left", fontsize=9.5, color=INK)
    if not picture.panels:
        figure.text(0.5, 0.5, "no trials yet", ha="center", color=MUTED)
        return
    axes = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False)
    recommended = findings.answer.recommendation
    strips = strips_of(findings.frontier, picture.low, picture.high)
    for axis, panel in zip(axes.flat, picture.panels, strict=False):
        _panel(axis, panel, picture, strips)
        if recommended:
            _star(axis, panel, recommended.context, recommended.learning_rate)
    for axis in axes.flat[len(picture.panels) :]:
        axis.set_axis_off()
    _colour_key(figure, axes, findings.sweep.risk.max_failure_probability)
    for axis in axes[:, 0]:
        axis.set_ylabel("learning rate", fontsize=8.5, color=INK)
    for axis in axes[-1, :]:
        axis.set_xlabel("warmup (optimizer steps)", fontsize=8.5, color=INK)
    handles = _legend(picture, recommended is not None)
    across_legend = min(len(handles), int(figure.get_figwidth() / KEY_WIDTH))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=across_legend, frameon=False,
        fontsize=8, labelcolor=INK, handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip


def _colour_key(figure: Figure, axes: Any, risk: float) -> None:
    """Draw the scale of the failure probability, the allowed risk marked."""
    key = figure.colorbar(ScalarMappable(cmap=COLORS), ax=axes, fraction=0.025, pad=0.015, aspect=32)
    key.set_ticks([0, risk, 0.5, 1], labels=["0 %", f"{percent(risk)}\nallowed", "50 %", "100 %"])
    key.ax.axhline(risk, color=INK, linewidth=0.9)
    key.ax.tick_params(labelsize=7, colors=MUTED, length=2)
    key.outline.set_linewidth(0.4)
    key.set_label("failure probability", fontsize=8.5, color=INK)


def _title(findings: Findings) -> str:
    risk = percent(findings.sweep.risk.max_failure_probability)
    num_trials = len(findings.records) or sum(row.num_trials for row in findings.rows)
    trials = counted(num_trials, "trial")
    return f"Learning rates with failure probability ≤ {risk} · {findings.sweep.name} · {trials}"


def _panel(axis: Any, panel: Panel, picture: Picture, strips: Mapping[Context, Strip]) -> None:
    axis.set_yscale("log")
    axis.set_ylim(picture.low, picture.high)
    axis.set_xlim(-0.5, len(picture.warmups) - 0.5)
    axis.set_xticks(range(len(picture.warmups)), [f"{steps:,}" for steps in picture.warmups])
    whole = panel.title.replace(" ", NO_BREAK).replace(f"·{NO_BREAK}", "· ")
    title = textwrap.fill(whole, int(CHARACTERS_PER_INCH * _panel_width(picture)))
    axis.set_title(title, loc="left", fontsize=9.5, color=INK, weight="bold")
    axis.tick_params(labelsize=8, colors=MUTED, length=0)
    axis.tick_params(which="minor", length=0)
    axis.grid(axis="y", color=GRID, linewidth=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    for column in panel.columns:
        _field(axis, column, strips.get(column.context), picture)
        _frontier(axis, column)
        _trials(axis, column, is_crowded=sum(len(each.trials) for each in panel.columns) > CROWD)


def _field(axis: Any, column: Column, strip: Strip | None, picture: Picture) -> None:
    """Draw the failure probability of a context as colour behind its trials."""
    left, right = column.x - column.half_width, column.x + column.half_width
    if strip is None:
        axis.add_patch(
            Rectangle((left, picture.low), right - left, picture.high - picture.low, color="#f6f7f9")
        )
        return
    span = math.log10(picture.high / picture.low)
    edges = [picture.low * 10 ** (span * place) for place, _ in strip.points]
    colors = [[(below + above) / 2] for (_, below), (_, above) in pairwise(strip.points)]
    axis.pcolormesh([left, right], edges, colors, cmap=COLORS, vmin=0, vmax=1, zorder=0.5, rasterized=True)


def _frontier(axis: Any, column: Column) -> None:
    row, color = column.row, color_of(column.color)
    if row is None or not row.num_trials:
        return
    left, right = column.x - column.half_width, column.x + column.half_width
    if row.lr_low is not None and row.lr_high is not None:
        dashes: Any = "solid" if row.lr_safe is not None else (0, (3, 2))
        corner, size = (left, row.lr_low), (right - left, row.lr_high - row.lr_low)
        for edge, width, style in ((PAPER, 2.4, "solid"), (color, 1.2, dashes)):
            box = Rectangle(corner, *size, fill=False, edgecolor=edge, linewidth=width, linestyle=style)
            axis.add_patch(box).set_zorder(4)
    if row.lr_safe is not None:
        axis.plot(
            [left, right], [row.lr_safe] * 2, color=color, linewidth=2.2, solid_capstyle="butt", zorder=4
        )


def _trials(axis: Any, column: Column, *, is_crowded: bool) -> None:
    places = [(column.trial_x(index), trial.plan.learning_rate) for index, trial in enumerate(column.trials)]
    names = [marker(trial.outcome) for trial in column.trials]
    for name in dict.fromkeys(names):  # one collection per shape: a call per trial would take seconds
        shape = SHAPES[name]
        here = [place for place, other in zip(places, names, strict=True) if other == name]
        size = shape["s"] * (0.5 if is_crowded else 1)
        axis.scatter(*zip(*here, strict=True), zorder=3, **{**shape, "s": size})
    pairs = zip(places, column.trials, strict=True)
    below = [place for place, trial in pairs if trial.plan.number in column.failed_below]
    if below:
        ring = {"marker": "o", "s": 95, "facecolors": "none", "edgecolors": INK, "linewidths": 0.9}
        axis.scatter(*zip(*below, strict=True), zorder=4, **ring)


def _star(axis: Any, panel: Panel, context: Context, learning_rate: float) -> None:
    for column in panel.columns:
        if column.context == context:
            axis.scatter(
                [column.x], [learning_rate], marker="*", s=150, color="#F0C808",
                edgecolors=INK, linewidths=0.9, zorder=5,
            )  # fmt: skip


def _legend(picture: Picture, has_star: bool) -> list[Any]:
    colors = [Patch(facecolor=color_of(index), label=name) for index, name in enumerate(picture.colors)]
    band: list[Any] = [
        Line2D([], [], color=MUTED, linewidth=2.2, label="frontier"),
        Patch(fill=False, edgecolor=MUTED, label="credible interval"),
    ]
    if picture.is_unsure:
        band.append(Patch(label="not enough evidence", fill=False, edgecolor=MUTED, linestyle="--"))
    names = dict.fromkeys(marker(outcome) for outcome in picture.outcomes)
    shapes = [_shape_key(name) for name in names]
    star = Line2D(
        [], [], linestyle="", marker="*", markersize=11, markerfacecolor="#F0C808", markeredgecolor=INK,
        label="recommended",
    )  # fmt: skip
    ring = Line2D(
        [], [], linestyle="", marker="o", markersize=9, markerfacecolor="none", markeredgecolor=INK,
        markeredgewidth=0.9, label=BELOW,
    )  # fmt: skip
    rings = [ring] if picture.has_failed_below else []
    return [*colors, *band, *shapes, *rings, *([star] if has_star else [])]


def _shape_key(name: str) -> Line2D:
    shape = SHAPES[name]
    return Line2D(
        [], [], linestyle="", marker=shape["marker"], markersize=5.5 if name != "silent" else 6,
        markerfacecolor=shape["facecolors"], markeredgecolor=shape["edgecolors"],
        markeredgewidth=shape["linewidths"], label=NAMES.get(name, name),
    )  # fmt: skip
