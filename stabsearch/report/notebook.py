"""What a notebook shows of a result: the answer, the frontier's picture, a row per context."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from stabsearch.report.html_tables import frontier_table
from stabsearch.report.markup import Markup, tag
from stabsearch.report.plot import frontier_png
from stabsearch.report.remarks import verdict_words
from stabsearch.report.wording import HEADINGS, SYMBOLS, TONES, next_step, printable, rate, rate_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stabsearch.report.findings import Findings

WIDTH_PX = 760  # chosen: a notebook's column on a laptop


def result_html(findings: Findings) -> Markup:
    """Return a fragment that loads nothing: no style, script or link, which notebooks may take away.

    The picture lies inside of it, with words in its place for who does not see it.
    """
    answer = findings.answer
    heading = f"{SYMBOLS[TONES[answer.verdict]]} {HEADINGS[answer.verdict]}"
    return tag(
        "div",
        tag("p", tag("strong", f"{findings.sweep.name}: {heading}")),
        tag("p", printable(answer.sentence)),
        tag("p", tag("strong", "Next: "), next_step(findings.sweep, answer, findings.records)),
        _picture(findings),
        frontier_table(findings),
    )


def _picture(findings: Findings) -> Markup | None:
    if not findings.rows:
        return None
    data = base64.b64encode(frontier_png(findings)).decode()
    said = [
        f"{row.context.label}: {verdict_words(row)}, {rate(row.lr_safe)}, "
        f"interval {rate_interval(row.lr_low, row.lr_high)}"
        for row in findings.rows
    ]
    words = f"Frontier, learning rate over warmup. {'; '.join(said)}"
    return tag("img", src=f"data:image/png;base64,{data}", alt=words, width=WIDTH_PX)


def showing_itself(figure: Figure) -> Figure:
    """Return the figure; a notebook now shows it also where nobody has imported pyplot.

    Where somebody has, IPython's own way of showing figures comes first, so it is shown once.
    """

    def png() -> bytes:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()

    figure._repr_png_ = png  # type: ignore[attr-defined]
    return figure
