"""What a sample sweep may look like: a name, what is searched, and how its trials end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "\x1b[2J\u202e [click](javascript:alert(1)) ![x](http://example.invalid/x.png) "
    "<svg onload=alert(1)> | `a` $x$"
)
"""A text with elements, Markdown, commands to a terminal and a change of writing direction."""


@dataclass(frozen=True)
class Kind:
    """One kind of sweep."""

    meaning: str
    search: Mapping[str, Any] = field(default_factory=dict)
    """What it searches otherwise than the usual sample does."""
    moved_by: float = 0.0
    """Decades that every boundary lies higher than usual."""
    silent_share: float = 0.02
    """Share of trials that end without proving anything."""
    confirms: bool = False
    """True when every fresh seed survives."""
    breaks_all: bool = False
    """True when the baseline breaks too."""
    text: str = ""
    """What stands in messages and names of machines."""
    keeps_bundles: bool = True
    """False: the folders of first bad batches have gone."""


SIXTY = {
    "warmup": [0, 10, 20, 40, 60],
    "max_grad_norm": [0.0, 0.5, 1.0],
    "precision": ["fp32", "tf32", "bf16", "fp16"],
}
KINDS = {
    "confirmed": Kind("a boundary in every context, and fresh seeds that survive", confirms=True),
    "nothing-safe": Kind("every learning rate of the range fails but in the baseline", moved_by=-5.0),
    "not-enough-evidence": Kind("most trials run out of memory", silent_share=0.96),
    "only-failed": Kind("the baseline breaks, so that nothing else is run", breaks_all=True),
    "hostile": Kind("texts that would like to be elements, links or commands", text=HOSTILE),
    "one-context": Kind(
        "one context", {"warmup": [50], "max_grad_norm": [1.0], "precision": ["fp32"]}, confirms=True
    ),
    "sixty-contexts": Kind("sixty contexts", SIXTY, confirms=True),
    "unconfirmed": Kind("fresh seeds that break at times"),
    "missing-artifacts": Kind("bundles that somebody has cleared away", keeps_bundles=False),
}
