"""What is wrong with a sweep's data, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stabsearch.config.allowed import allowed, choices
from stabsearch.config.hints import description, did_you_mean, repair
from stabsearch.config.model import Training
from stabsearch.config.schema import known_keys, places_of
from stabsearch.config.search import SEARCHED_ARGUMENTS
from stabsearch.errors import KeyPath, UserError, dotted
from stabsearch.records.hyperparameters import FURTHER

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

ALSO_TRAINING_ARGUMENTS = frozenset({"output_dir"})
"""Keys of a sweep that TrainingArguments has too, with another meaning; a test holds it complete."""


def problems_of(error: ValidationError, data: Any) -> list[UserError]:
    """Return one error per key that is wrong, each with its key, message and hint.

    Missing keys come last: the one that seems missing is often there, misspelt.
    """
    found: dict[KeyPath, UserError] = {}
    for details in sorted(error.errors(), key=lambda details: details["type"] == "missing"):
        if not _is_aftermath(details):
            problem = _problem(details, data)
            found.setdefault(problem.key, problem)
    return list(found.values())


def misplaced_training_keys(data: Any) -> list[UserError]:
    """Return an error for each key under ``training`` that belongs to another part of the sweep.

    Every other unknown name may be a field of TrainingArguments, which only Transformers can tell.
    """
    training = data.get("training") if isinstance(data, Mapping) else None
    own = {*Training.model_fields, *SEARCHED_ARGUMENTS, *ALSO_TRAINING_ARGUMENTS}
    own |= {argument for row in FURTHER for argument in row.arguments}
    return [
        UserError(
            f"{name} is no field of TrainingArguments", f"it belongs at {place}", key=("training", name)
        )
        for name in (training if isinstance(training, Mapping) else ())
        if isinstance(name, str) and name not in own and (place := _elsewhere(name))
    ]


def _problem(details: ErrorDetails, data: Any) -> UserError:
    key, kind, value = _key(details["loc"], data), details["type"], details["input"]
    if kind == "sweep_error":
        context = details["ctx"]
        key = (*key, *context["key"])
        return UserError(context["message"], context["hint"] or description(key, data), key=key)
    if kind in {"extra_forbidden", "unexpected_keyword_argument", "invalid_key"}:
        return _unknown_key((*_key(details["loc"][:-1], data), str(details["loc"][-1])), data)
    if kind.startswith("union_tag") and key == ("task",) and isinstance(value, Mapping):
        return _wrong_type_of_task(value)
    if kind == "missing":
        return _missing(key, data)
    return _bad_value(key, value, data)


def _key(loc: Sequence[str | int], data: Any) -> KeyPath:
    """Return the key without the names that pydantic gives to the alternatives of a union."""
    key: KeyPath = ()
    here = data
    for part in loc:
        is_item = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if is_item or (isinstance(here, Mapping) and part in here):
            key, here = (*key, part), here[part]
        elif isinstance(here, Mapping) and part in known_keys(key, data):
            key, here = (*key, part), None
    return key


def _is_aftermath(details: ErrorDetails) -> bool:
    """True for a list that is called too short only because its first item was refused."""
    return details["type"] == "too_short" and len(details["input"]) > 0


def _unknown_key(key: KeyPath, data: Any) -> UserError:
    name = str(key[-1])
    known = known_keys(key[:-1], data)
    place = _elsewhere(name)
    hint = (
        (f"it belongs at {place}" if place else "")
        or did_you_mean(name, known)
        or "remove it; `stabsearch init` writes a sweep with every key explained"
    )
    return UserError(f"unknown key {name!r} (known: {', '.join(sorted(known))})", hint, key=key)


def _elsewhere(name: str) -> str:
    return " or ".join(dotted(key) + _task_type(key) for key in places_of(name))


def _task_type(key: KeyPath) -> str:
    if key[0] != "task" or key in {("task",), ("task", "type")}:
        return ""
    types = [name for name in choices(("task", "type")) if key[1] in known_keys(("task",), _task(name))]
    return f" (task type {' or '.join(types)})"


def _task(name: str) -> dict[str, Any]:
    return {"task": {"type": name}}


def _wrong_type_of_task(task: Mapping[str, Any]) -> UserError:
    key: KeyPath = ("task", "type")
    if "type" not in task:
        return _missing(key, {})
    words = choices(key)
    hint = did_you_mean(task["type"], words) or description(key, {})
    return UserError(f"unknown task type {shown(task['type'])} (known: {', '.join(words)})", hint, key=key)


def _missing(key: KeyPath, data: Any) -> UserError:
    return UserError(f"missing, must be {allowed(key, data)}", f"add it: {description(key, data)}", key=key)


def _bad_value(key: KeyPath, value: Any, data: Any) -> UserError:
    words, wanted = choices(key, data), allowed(key, data)
    hint = did_you_mean(value, words) or repair(key, value, wanted) or description(key, data)
    if "number" not in wanted and len(words) > 1 and value is not None:
        noun = next(str(part) for part in reversed(key) if isinstance(part, str))
        return UserError(f"unknown {noun} {shown(value)} (known: {', '.join(words)})", hint, key=key)
    if value in ("", []):
        return UserError(f"must not be empty: {wanted}", hint, key=key)
    return UserError(f"must be {wanted}, got {shown(value)}", hint, key=key)


def shown(value: Any) -> str:
    """Return a value as an error shows it, on one line, 60 characters at most."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping | list):
        return "a mapping" if isinstance(value, Mapping) else f"a list of {len(value)}"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
