"""What each knob buys, drawn: one line per setting, its interval around ×1 on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stabsearch.frontier.effects import Effect
from stabsearch.report.knobs import effect_sentence, fold
from stabsearch.report.markup import Markup, tag

HEIGHT, MIDDLE, CAP = 52, 26, 4
MARGIN = 0.09  # share of the axis; chosen: the outermost tick's text stays inside
LEAST = 2.0  # chosen: the axis reaches from half to twice at least, so that small effects look small


@dataclass(frozen=True)
class RatioAxis:
    """A logarithmic axis that ×1 lies on; places are shares of the width, so that it fits any width."""

    low: float
    high: float

    def place(self, ratio: float) -> str:
        """Return where a factor lies, as a percentage of the width."""
        share = math.log(ratio / self.low) / math.log(self.high / self.low)
        return f"{100 * (MARGIN + share * (1 - 2 * MARGIN)):.1f}%"

    @property
    def ticks(self) -> list[float]:
        """Return the factors to name, ×1 among them, six at most."""
        decades = math.log10(self.high / self.low)
        steps = (1, 2, 5) if decades <= 1.5 else (1,)  # chosen: more would touch on a narrow screen
        every = math.ceil(decades / 5)
        lowest, highest = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        powers = [power for power in range(lowest, highest + 1) if power % every == 0]
        found = [step * 10.0**power for power in powers for step in steps]
        return [ratio for ratio in found if self.low / 1.001 <= ratio <= self.high * 1.001]


def axis_of(effects: Sequence[Effect]) -> RatioAxis:
    """Return an axis that holds every interval."""
    low = min(1 / LEAST, *(effect.ratio_low for effect in effects))
    high = max(LEAST, *(effect.ratio_high for effect in effects))
    return RatioAxis(low, high)


def axis_figure(axis: RatioAxis) -> Markup:
    """Return the names of the ticks, to stand above the effects."""
    names = [
        tag("text", fold(ratio).removesuffix(".0"), x=axis.place(ratio), y=12, class_="tick mid")
        for ratio in axis.ticks
    ]
    title = tag("title", "factor on the safe learning rate")
    return tag("svg", title, names, height=16, role="img")


def effect_figure(effect: Effect, axis: RatioAxis) -> Markup:
    """Return one effect: a dot at its median, a whisker over its interval, a rule at ×1."""
    low, high = axis.place(effect.ratio_low), axis.place(effect.ratio_high)
    caps = [tag("line", x1=x, x2=x, y1=MIDDLE - CAP, y2=MIDDLE + CAP, class_="whisker") for x in (low, high)]
    return tag(
        "svg",
        tag("title", effect_sentence(effect)),
        [_rule(axis, ratio) for ratio in axis.ticks],
        tag("line", x1=low, x2=high, y1=MIDDLE, y2=MIDDLE, class_="whisker"),
        caps,
        tag("circle", cx=axis.place(effect.ratio), cy=MIDDLE, r=4.5),
        height=HEIGHT,
        role="img",
        class_="clear" if effect.is_clear else "unclear",
    )


def _rule(axis: RatioAxis, ratio: float) -> Markup:
    x = axis.place(ratio)
    return tag("line", x1=x, x2=x, y1=0, y2=HEIGHT, class_="rule one" if ratio == 1 else "rule")
