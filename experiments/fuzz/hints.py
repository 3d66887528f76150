"""A damaged ``frontier.json`` of an earlier sweep, named as what is known beforehand."""

from __future__ import annotations

import json
import random
from pathlib import Path

from experiments.fuzz.mutations import JSON_LINES, byte_damage, value_damage
from experiments.fuzz.running import HangError, limited
from experiments.fuzz.studies import made
from experiments.fuzz.tally import Tally
from stabsearch.errors import UserError


def fuzz_hints(num_cases: int, seed: int, home: Path) -> Tally:
    """Return how reading so many damaged files ended."""
    tally = Tally("frontier.json of an earlier sweep", seed)
    path = made(home / "sweep") / "frontier.json"
    whole = path.read_bytes()
    for case in range(num_cases):
        rng = random.Random(f"{seed}/{case}")
        how = rng.randrange(8)
        if how == 0:
            path.write_bytes(rng.choice(JSON_LINES))
        elif how < 4:
            path.write_bytes(byte_damage(whole, rng))
        else:
            path.write_text(json.dumps(value_damage(json.loads(whole), rng)), errors="surrogatepass")
        tally.count(*_end(path), f"case {case}")
    return tally


def _end(path: Path) -> tuple[str, str]:
    """Return how reading a file ended, as hints and as its sweep's answer, and what is wrong with that."""
    from stabsearch.report.files import read_answer
    from stabsearch.sweep.beforehand import hints_of_earlier

    ends = []
    for read in (lambda: hints_of_earlier(str(path)), lambda: read_answer(path.parent)):
        try:
            with limited():
                read()
            ends.append("read")
        except UserError as error:
            if str(error).count("\n") != 1:
                return "", f"not two lines: {str(error)!r}"
            ends.append("refused")
        except HangError:
            return "", "no end"
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            return "", f"{type(error).__name__}: {error}"[:300]
    return "read" if "read" in ends else "refused", ""
