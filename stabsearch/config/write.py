"""The resolved sweep as a file, and what makes it the same sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from stabsearch.config.document import PLAIN_SCALARS
from stabsearch.errors import KeyPath, dotted
from stabsearch.version import __version__

if TYPE_CHECKING:
    from stabsearch.config.model import Sweep

NOT_IDENTITY: tuple[KeyPath, ...] = (
    ("output_dir",),
    ("search", "tolerance"),
    ("budget", "trials"),
    ("budget", "wall_clock"),
    ("budget", "disk_gib"),
    ("budget", "concurrency"),
    ("budget", "trial_timeout"),
    ("budget", "trial_attempts"),
    ("budget", "bridge_trials"),
    ("risk", "max_rounds"),
    ("bad_batches", "max_gib"),
    ("resources", "packing"),
    ("resources", "cpus_per_trial"),
    ("resources", "gpus_per_trial"),
    ("resources", "address"),
    ("resources", "driver"),
    ("tracking",),
)
"""What may change between two runs of the same sweep: where and how much, never what is measured."""
_UNPACKED = re.compile(r"^.*/_ray_pkg_[0-9a-f]+(?=/|$)")


def resolved_text(sweep: Sweep) -> str:
    """Return the sweep as YAML with every default written out; loading it gives an equal sweep."""
    header = (
        f"# The sweep as stabsearch {__version__} ran it: every default written out, input paths absolute.\n"
        "# A record, not an input: change the sweep it was made from.\n"
    )
    return header + data_text(sweep.model_dump())


def data_text(data: Any) -> str:
    """Return the data of a sweep as YAML."""
    return yaml.dump(_plain(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31)


def identity(sweep: Sweep) -> dict[str, Any]:
    """Return everything that decides what a sweep measures; two sweeps that share it are one."""
    data = _plain(sweep.model_dump())
    for *above, last in NOT_IDENTITY:
        part = data
        for name in above:
            part = part[name]
        del part[last]
    # however many GPUs there are: more processes make a larger batch
    data["resources"]["processes_per_trial"] = sweep.resources.num_processes
    return {name: _without_place(part) for name, part in data.items()}


def _without_place(value: Any) -> Any:
    """Return data without the folder that Ray unpacked a job's files into, another one for every job."""
    if isinstance(value, dict):
        return {name: _without_place(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_place(item) for item in value]
    return _UNPACKED.sub("<package>", value) if isinstance(value, str) else value


def difference(old: Sweep, new: Sweep) -> list[str]:
    """Return what makes ``new`` another sweep than ``old``: ``search.sampler: tpe -> random``.

    Empty when one may go on where the other stopped.
    """
    return _differences(identity(old), identity(new), ())


def _differences(old: Any, new: Any, key: KeyPath) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = dict.fromkeys([*old, *new])
        parts = (_differences(old.get(name, _ABSENT), new.get(name, _ABSENT), (*key, name)) for name in names)
        return [line for part in parts for line in part]
    is_same = old == new or in_yaml(old) == in_yaml(new)  # NaN differs from itself
    return [] if is_same else [f"{dotted(key)}: {in_yaml(old)} -> {in_yaml(new)}"]


_ABSENT = object()


def in_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    if value is _ABSENT:
        return "not set"
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=2**31
    )
    return " ".join(text.removesuffix("...\n").split())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what YAML 1.1 or 1.2 would read as something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # PyYAML writes U+0085, U+2028 and U+2029 as they are and reads them as line breaks
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)
for _tag, _pattern in PLAIN_SCALARS.items():
    _Dumper.add_implicit_resolver(_tag, _pattern, None)
