"""A comparison of sweeps as a picture for papers and slides."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from stabsearch.frontier.shift import Movement
from stabsearch.report.comparison import Comparison
from stabsearch.report.comparison_layout import (
    KIND_NAMES,
    Mark,
    MarkKind,
    Panel,
    color_of,
    marks_of,
    named_rates,
    panels_of,
    rate_name,
    rate_range,
    short_words,
)
from stabsearch.report.comparison_text import answer_sentences, terms_text, warning_text
from stabsearch.report.plot import DPI, GRID, INK, MUTED, png_of

SHAPES = ("o", "s", "^", "D", "v", "P", "X")
"""One per sweep, so that they are told apart without colour too."""
ACROSS = 3  # chosen: more panels beside each other leave no room for an interval
PANEL_WIDTH, NAMES_WIDTH, WORDS_WIDTH = 2.9, 1.5, 1.0  # inches
ROW_HEIGHT = 0.22  # inches per sweep in a context
TEXT = 13  # characters per inch at the size of the answer


def comparison_png(comparison: Comparison) -> bytes:
    """Return the picture as PNG: a panel per precision, a row per context, the sweeps side by side in it."""
    return png_of(comparison_figure(comparison))


def comparison_figure(comparison: Comparison) -> Figure:
    """Return the same picture as a figure of its own, outside pyplot's global state."""
    panels = panels_of(comparison)
    across = min(len(panels), ACROSS)
    down = -(-len(panels) // across)
    width = max(7.0, NAMES_WIDTH + across * (PANEL_WIDTH + WORDS_WIDTH))
    rows = len(panels[0].rows) * (ROW_HEIGHT * len(comparison.sides) + 0.12)
    handles = _legend(comparison, panels)
    widths = [0.65 + len(handle.get_label()) / 14 for handle in handles]
    columns = len(handles) if sum(widths) < width - 0.3 else max(1, int((width - 0.3) / max(widths)))
    said = _said(comparison, int(width * TEXT))
    head, foot = (
        0.25 + 0.19 * sum(text.count("\n") + 1 for text, _, _ in said),
        0.62 + 0.2 * -(-len(handles) // columns),
    )
    height = head + foot + down * (rows + 0.35) + (down - 1) * 0.3
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    y = 1 - 0.14 / height
    for text, color, weight in said:
        figure.text(
            0.15 / width, y, text, va="top", fontsize=9, color=color, weight=weight, parse_math=False,
            linespacing=1.35,
        )  # fmt: skip
        y -= 0.19 * (text.count("\n") + 1) / height
    axes = figure.subplots(
        down, across, sharex=True, sharey=True, squeeze=False,
        gridspec_kw={
            "left": NAMES_WIDTH / width, "right": 1 - WORDS_WIDTH / width, "top": 1 - (head + 0.3) / height,
            "bottom": foot / height, "wspace": WORDS_WIDTH / ((width - NAMES_WIDTH) / across - WORDS_WIDTH),
            "hspace": 0.6 / max(rows, 0.6),
        },
    )  # fmt: skip
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(axis, panel, comparison)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for index in range(len(panels)):
        if index + across >= len(panels):
            axes.flat[index].set_xlabel("learning rate", fontsize=8.5, color=INK)
            axes.flat[index].tick_params(labelbottom=True)
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.06 / width, 0.02 / height),
        ncols=columns, frameon=False, fontsize=8, labelcolor=INK, handletextpad=0.5, columnspacing=1.4,
    )  # fmt: skip
    return figure


def _said(comparison: Comparison, characters: int) -> list[tuple[str, str, str]]:
    """Return what stands above the panels, each with its colour and weight."""
    warned = warning_text(comparison)
    said = [(warned, "#a4201b", "bold")] if warned else []
    said += [(sentence, INK, "bold") for sentence in answer_sentences(comparison)]
    said.append((terms_text(comparison), MUTED, "normal"))
    return [(textwrap.fill(text, characters), color, weight) for text, color, weight in said]


def _panel(axis: Any, panel: Panel, comparison: Comparison) -> None:
    count = len(panel.rows)
    axis.set_xscale("log")
    axis.set_xlim(*rate_range(comparison))
    axis.set_ylim(count - 0.5, -0.5)
    axis.set_yticks(range(count), [label for label, _ in panel.rows])
    axis.set_title(panel.title, loc="left", fontsize=9.5, color=INK, weight="bold")
    axis.tick_params(labelsize=8, colors=MUTED, length=0, which="both")
    axis.tick_params(axis="y", labelcolor=INK)
    _rate_ticks(axis, *rate_range(comparison))
    axis.grid(axis="x", color=GRID, linewidth=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    for place, (_, line) in enumerate(panel.rows):
        if place % 2:
            axis.axhspan(place - 0.5, place + 0.5, color="#f6f7f9", linewidth=0, zorder=0)
        for mark in marks_of(line, len(comparison.sides)) if line else ():
            _mark(axis, mark, place + mark.offset, comparison)


def _rate_ticks(axis: Any, low: float, high: float) -> None:
    axis.xaxis.set_major_locator(FixedLocator(named_rates(low, high)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: rate_name(value)))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _mark(axis: Any, mark: Mark, y: float, comparison: Comparison) -> None:
    row, color = mark.row, color_of(mark.side)
    low = comparison.sides[mark.side].frontier.learning_rate_range[0]
    look = _look(mark.kind)
    if row.lr_low is not None and row.lr_high is not None and row.num_trials:
        style = {"linestyle": (0, (2, 2)), "linewidth": 1.2, "alpha": 0.7} if mark.kind == "unsure" else {}
        axis.plot([row.lr_low, row.lr_high], [y, y], **{"color": color, "linewidth": 2.4,
                  "solid_capstyle": "butt", **style})  # fmt: skip
    if mark.kind != "unsure":
        x = low if mark.kind == "dead" else row.lr_safe
        shape = SHAPES[mark.side % len(SHAPES)]
        axis.plot([x], [y], **{"marker": shape, "color": color, "markersize": 5.5, "clip_on": False, **look})
    moved = mark.shift is not None and mark.shift.movement in {Movement.UP, Movement.DOWN}
    axis.annotate(
        short_words(mark.shift), (1, y), xycoords=("axes fraction", "data"), xytext=(5, 0),
        textcoords="offset points", va="center", fontsize=7.5, color=color if moved else MUTED,
        weight="bold" if moved else "normal", annotation_clip=False,
    )  # fmt: skip


def _look(kind: MarkKind) -> dict[str, Any]:
    """Return how a marker differs from that of a bounded frontier."""
    if kind == "top":
        return {"marker": ">", "markersize": 7}
    if kind == "dead":
        return {"marker": "x", "markersize": 6.5, "markeredgewidth": 1.8}
    return {}


def _legend(comparison: Comparison, panels: tuple[Panel, ...]) -> list[Any]:
    sides = [
        Line2D(
            [], [], color=color_of(index), marker=SHAPES[index % len(SHAPES)], linewidth=2.4, markersize=5.5,
            label=side.label.replace("$", r"\$"),
        )
        for index, side in enumerate(comparison.sides)
    ]  # fmt: skip
    number = len(comparison.sides)
    shown = {
        mark.kind for panel in panels for _, line in panel.rows if line for mark in marks_of(line, number)
    }
    looks: dict[MarkKind, dict[str, Any]] = {
        "top": {"linestyle": "", **_look("top")},
        "dead": {"linestyle": "", **_look("dead")},
        "unsure": {"linestyle": (0, (2, 2)), "linewidth": 1.2},
    }
    keys = [
        Line2D([], [], color=MUTED, label=KIND_NAMES[kind], **look)
        for kind, look in looks.items()
        if kind in shown
    ]
    return [*sides, *keys]
