"""What a key may hold, in words: for errors and for the table of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stabsearch.config.schema import Node, branches, property_at

if TYPE_CHECKING:
    from stabsearch.errors import KeyPath


def allowed(key: KeyPath, data: Any = None) -> str:
    """Return what may stand at a key: ``a whole number above 0, or auto``.

    >>> allowed(("budget", "horizon"))
    'a whole number above 0, or auto'
    >>> allowed(("search", "precision"))
    'a list of bf16, bf16-pure, fp16, fp32 or tf32'
    """
    if key == ("task",):
        return f"a mapping with a type ({_either(choices(('task', 'type')))}) and its keys"
    return _either(choices(key)) if key == ("task", "type") else in_words(property_at(key, data))


def choices(key: KeyPath, data: Any = None) -> list[str]:
    """Return the fixed words that may stand at a key, sorted; empty when there are none."""
    if key == ("task", "type"):
        kinds = branches(property_at(("task",)))
        return sorted(kind["properties"]["type"]["const"] for kind in kinds)
    found: list[str] = []
    for branch in branches(property_at(key, data)):
        found += branch.get("enum", [branch["const"]] if "const" in branch else [])
    return sorted(found)


def in_words(node: Node) -> str:
    """Return a part of the schema in words."""
    return ", or ".join(dict.fromkeys(_one_in_words(branch) for branch in branches(node)))


def _one_in_words(branch: Node) -> str:
    if "enum" in branch or "const" in branch:
        return _either(sorted(branch.get("enum", [branch.get("const")])))
    kind = branch.get("type")
    if kind in {"integer", "number"}:
        return ("a whole number" if kind == "integer" else "a number") + _range(branch)
    if kind == "array":
        return f"a list of {_plural(branch['items'])}"
    if kind == "object" and "properties" in branch:
        keys = [*branch["properties"]]
        return f"a mapping (keys: {', '.join(keys)})"
    return _SIMPLE.get(str(kind), "anything") + (
        f" like {branch['examples'][0]}" if "examples" in branch else ""
    )


_SIMPLE = {"string": "text", "boolean": "true or false", "null": "null", "object": "a mapping"}


def _plural(items: Node) -> str:
    words = in_words(items)
    for kind in ("whole number", "number"):
        words = words.replace(f"a {kind},", f"{kind}s, each", 1).replace(f"a {kind} ", f"{kind}s ", 1)
    return words


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _range(branch: Node) -> str:
    low, high = branch.get("minimum"), branch.get("maximum")
    above, below = branch.get("exclusiveMinimum"), branch.get("exclusiveMaximum")
    if low is not None and (high, below) == (None, None):
        text = f", {low:g} or more"
    else:
        ends = [
            f"from {low:g}" if low is not None else f"above {above:g}" if above is not None else "",
            f"to {high:g}" if high is not None else f"below {below:g}" if below is not None else "",
        ]
        text = "".join(f" {end}" for end in ends if end).replace(" below", " and below")
    return text + (f", a multiple of {branch['multipleOf']}" if "multipleOf" in branch else "")
