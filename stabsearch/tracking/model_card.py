"""What a registered frontier may claim, as the description of its model and version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.tracking.layout import as_text, full_run_params
from stabsearch.tracking.markdown import inert, markdown_table
from stabsearch.tracking.registry import requirements
from stabsearch.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stabsearch.config import Sweep
    from stabsearch.frontier import Frontier
    from stabsearch.frontier.answer import Answer
    from stabsearch.records import TrialRecord

MAX_CHARACTERS = 5000  # what a description takes in every registry
_MAX_TEXT = 120  # chosen: a path or a name; configurations of models can be pages long

_USE = """```python
model = mlflow.pyfunc.load_model("models:/NAME/VERSION")
model.predict(configurations)  # failure_probability, probability_low, probability_high
```

Columns of a configuration: as in the signature; others are ignored. A missing column or value, a text for a
number, or settings that were not searched are refused with the reason; an empty table gives an empty one."""


def model_card(
    sweep: Sweep, answer: Answer | None, frontier: Frontier, records: Sequence[TrialRecord]
) -> str:
    """Return the card in Markdown; texts of the sweep are inert, sections that do not fit left out."""
    card = ""
    for section in _sections(sweep, answer, frontier, records):
        longer = f"{card}\n\n{section}" if card else section
        card = longer if len(longer) <= MAX_CHARACTERS else card
    return card


def _sections(
    sweep: Sweep, answer: Answer | None, frontier: Frontier, records: Sequence[TrialRecord]
) -> Iterator[str]:
    horizon = (
        max((record.plan.horizon for record in records), default=0) if answer is None else answer.horizon
    )
    yield (
        f"Predicts how likely a training run of the sweep **{inert(sweep.name)}** is to break within its "
        f"first **{horizon:,} optimizer steps**, from learning rate, precision, warmup, clip norm and what "
        "else was searched."
    )
    if answer is not None:
        yield f"**{answer.verdict.heading}.** {inert(answer.sentence)}"
    yield "### What it may claim\n\n" + markdown_table(("what", "value"), _claims(sweep, frontier, records))
    yield "### What it may not claim\n\n" + "\n".join(f"- {inert(each)}" for each in _limits(answer, horizon))
    yield "### Use\n\n" + _USE
    yield "### Contexts\n\n" + "\n".join(f"- {inert(each.context.label)}" for each in frontier.trials)


def _claims(sweep: Sweep, frontier: Frontier, records: Sequence[TrialRecord]) -> list[tuple[str, str]]:
    low, high = frontier.learning_rate_range
    evidence = sum(each.num_trials for each in frontier.trials)
    failed = sum(each.num_failed for each in frontier.trials)
    return [
        ("learning rates", f"{low:.3g} to {high:.3g}"),
        ("contexts", f"{len(frontier.trials):,}, listed below; no others"),
        ("evidence", f"{evidence:,} of {len(records):,} trials, {failed:,} of them failed"),
        ("interval", f"{frontier.confidence:.0%} credible"),
        ("risk at the frontier", f"{frontier.max_failure_probability:.3g}"),
        *_task(sweep),
        *_fixed(sweep),
        ("made with", f"stabsearch {__version__}, {', '.join(requirements())}"),
    ]


def _task(sweep: Sweep) -> list[tuple[str, str]]:
    task = sweep.task.model_dump(mode="json", exclude_none=True)
    named = ((key, task.get(key)) for key in ("type", "model", "data"))
    return [(f"task.{key}", as_text(value)[:_MAX_TEXT]) for key, value in named if value is not None]


def _fixed(sweep: Sweep) -> list[tuple[str, str]]:
    fixed = {k: v for k, v in full_run_params(sweep.training).items() if k not in sweep.search.further}
    return [(key, value[:_MAX_TEXT]) for key, value in fixed.items()]


def _limits(answer: Answer | None, horizon: int) -> list[str]:
    caveats = list(answer.caveats) if answer else []
    full = f" of {answer.max_steps:,}" if answer else ""
    return [
        f"Anything past step {horizon:,}{full}: nothing is extrapolated.",
        "Another model, other data, another batch size, optimizer or sequence length.",
        "A learning rate outside the range: there it is extrapolated.",
        "A configuration between two contexts, say a warmup in between: it is refused.",
        *caveats,
    ]
