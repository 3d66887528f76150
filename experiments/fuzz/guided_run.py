"""The coverage-guided fuzzer in a process of its own, and what came of it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from experiments.fuzz.seeds import as_yaml, seed_sweeps
from experiments.fuzz.tally import Tally

MODULE = "experiments.fuzz.guided"
FOUND = re.compile(r"Uncaught Python exception|ERROR: libFuzzer|ALARM: working on the last Unit")


def guided(num_runs: int, seed: int, home: Path) -> Tally:
    """Return how so many runs of Atheris ended; the extra ``test`` has it."""
    tally = Tally("loader, coverage-guided", seed)
    if importlib.util.find_spec("atheris") is None:
        tally.count("not run: atheris is not installed (it has no wheel for every platform)")
        return tally
    corpus = home / "corpus"
    corpus.mkdir()
    for kind, data in seed_sweeps(home).items():
        (corpus / f"{kind}.yaml").write_bytes(as_yaml(data, flow=False))
    (home / "words").write_text(_words())
    command = [
        sys.executable, "-m", MODULE, str(corpus), f"-runs={num_runs}", f"-seed={seed + 1}", "-max_len=4096",
        "-timeout=120", f"-dict={home / 'words'}", f"-artifact_prefix={home}/find-",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    done = re.findall(r"^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)", ended.stderr, re.MULTILINE)
    finds = [path.read_bytes() for path in sorted(home.glob("find-*"))]
    problem = f"{ended.stderr[-1500:]} on {finds[0][:500]!r}" if finds else ""
    if not done and not problem:
        problem = f"it ended with {ended.returncode}: {ended.stderr[-500:]}"
    runs, branches, features, texts = done[0] if done else ("0", "0", "0", "0")
    tally.ends[f"runs ({branches} branches, {features} features, {texts} texts kept)"] = int(runs)
    if problem:
        tally.count("", problem, MODULE)
    return tally


def _words() -> str:
    """Return the keys of a sweep and YAML's own signs as libFuzzer's dictionary."""
    from stabsearch.config.schema import all_properties

    keys = {str(part) for key, _ in all_properties() for part in key}
    signs = (
        "&a ",
        "*a",
        "<<: *a",
        "!!",
        "---",
        "- ",
        ": ",
        "|\\x0a",
        "? ",
        "[",
        "]",
        "{",
        "}",
        "\\x0a  ",
        "1e-5",
        ".nan",
    )
    return "".join(f'"{word}"\n' for word in [*sorted(keys), *signs])
