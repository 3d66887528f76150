"""``stabsearch compare`` as a user types it, on sweeps whose boundary is known."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from compare_samples import SEARCH, played
from matplotlib.image import imread
from rich.console import Console

from stabsearch.report.comparison_text import print_comparison
from stabsearch.sweep.comparing import compare_sweeps

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e$x_{$"


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sweeps by name; all but base differ from base in one thing."""
    home = tmp_path_factory.mktemp("sweeps")
    wider = {**SEARCH, "precision": ["bf16", "fp16"]}
    return {
        "base": played(home, "base", 0.03),
        "lower": played(home, "lower", 0.003, task={"type": "quickstart", "hidden_size": 128}),
        "same": played(home, "same", 0.03, seed=5, versions={"torch": "2.14.0"}),
        "mixed": played(home, "mixed", lambda context: 0.03 if context.precision == "bf16" else 0.0004),
        "longer": played(home, "longer", 0.03, budget={"trials": 40, "horizon": 60}),
        "wider": played(home, "wider", 0.003, search=wider, resources={"allow_fp16_on_cpu": True}),
        "long warmup": played(home, "warmer", 0.03, search={**SEARCH, "warmup": [5]}),
        "unfinished": played(home, "unfinished", 0.03, most=15),
        "zero": played(home, "zero", most=0),
        "one": played(home, "one", most=1),
        "only failed": played(home, "failed", 0.0),
        "above": played(home, "above", 10.0),
    }


def found(said: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(said.out)
    return data


def moved(data: dict[str, Any], other: int = 1) -> list[dict[str, Any]]:
    return [context["sweeps"][other]["moved"] for context in data["contexts"]]


def test_a_frontier_that_moved_down_is_said_first(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """Which sweeps, what changed, and how far; then each context with its intervals."""
    said = stabsearch("compare", sweeps["base"], sweeps["lower"])
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert re.fullmatch(
        r"From base to lower \(task.hidden_size: \d+ → 128\) the frontier moved down "
        r"[\d.]+x \([\d.]+ to [\d.]+\); the same in each of 2 shared contexts\.",
        lines[0],
    )
    assert "Not a sound comparison" not in said.out
    place = lines.index("fp32 · warmup 0 · clip 1")
    assert re.fullmatch(r"  base +\de-\d|  base +[\d.]+e-2 \([\d.]+e-\d to [\d.]+e-\d\)", lines[place + 1])
    assert re.fullmatch(
        r"  lower +[\d.]+e-3 \(\S+ to \S+\) +moved down [\d.]+x \(\S+ to \S+\), probability (above )?9\d %",
        lines[place + 2],
    )


def test_json_holds_the_same_numbers(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """The ratio is that of the two safe rates, its interval around it, and the rates are the sweeps' own."""
    said = stabsearch("compare", sweeps["base"], sweeps["lower"], "--json")
    data = found(said)
    assert (said.code, data["exit_code"], data["warnings"]) == (0, 0, [])
    assert [sweep["sweep"] for sweep in data["sweeps"]] == ["base", "lower"]
    alone = found(stabsearch("status", sweeps["lower"], "--json"))["frontier"]
    for context, row in zip(data["contexts"], alone, strict=True):
        first, other = context["sweeps"]
        assert other["lr_safe"] == pytest.approx(row["lr_safe"])
        assert first["moved"] is None
        shift = other["moved"]
        assert shift["movement"] == "down"
        assert shift["ratio"] == pytest.approx(other["lr_safe"] / first["lr_safe"], rel=0.3)
        assert shift["ratio_low"] < 0.1 < shift["ratio_high"] < 1
        assert shift["probability_down"] > 0.95
        assert shift["probability_up"] == pytest.approx(1 - shift["probability_down"])


def test_other_directions(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """Up, no difference, and both at once."""
    up = found(stabsearch("compare", sweeps["lower"], sweeps["base"], "--json"))
    assert {shift["movement"] for shift in moved(up)} == {"up"}
    assert "the frontier moved up" in up["answer"][0]
    same = found(stabsearch("compare", sweeps["base"], sweeps["same"], "--json"))
    assert {shift["movement"] for shift in moved(same)} == {"unclear"}
    assert same["sweeps"][1]["changes"] == ["seed: 0 → 5", "version of torch: 2.13.0 → 2.14.0"]
    assert "no difference of the frontier can be seen overall" in same["answer"][0]
    assert re.match(r"no difference can be seen \(0\.\d+ to [\d.]+\)", moved(same)[0]["words"])
    mixed = found(stabsearch("compare", sweeps["lower"], sweeps["mixed"], "--json"))
    assert [shift["movement"] for shift in moved(mixed)] == ["down", "up"]
    assert "moved up in some contexts and down in others" in mixed["answer"][0]


def test_a_move_out_of_the_range_is_a_bound(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """Stable to the top: at least so far."""
    said = stabsearch("compare", sweeps["base"], sweeps["above"])
    assert "stable to the top" in said.out
    assert re.search(r"moved up at least [\d.]+x", said.out)
    assert "≥ 1.0e0" in said.out


def test_three_sweeps_are_compared_with_the_first(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """One answer each, in the order they were given; what only some searched is listed."""
    data = found(stabsearch("compare", sweeps["base"], sweeps["wider"], sweeps["lower"], "--json"))
    assert [answer.split(" (")[0] for answer in data["answer"]] == [
        "From base to wider",
        "From base to lower",
    ]
    assert [context["precision"] for context in data["contexts"]] == ["fp32", "bf16"]
    assert [shift and shift["movement"] for shift in moved(data, 1)] == [None, "down"]
    assert [shift and shift["movement"] for shift in moved(data, 2)] == ["down", "down"]
    (lonely,) = data["not_compared"]
    assert (lonely["only_in"], lonely["precision"]) == ("wider", "fp16")
    said = stabsearch("compare", sweeps["base"], sweeps["wider"], sweeps["lower"]).out
    assert "Only in wider: fp16 · warmup 0 · clip 1" in said
    assert "not searched" in said


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"budget": {"trials": 3, "horizon": 60}},
            "the horizon differs: 30 steps in base, 60 steps in other",
        ),
        (
            {
                "training": {
                    "max_steps": 400,
                    "per_device_train_batch_size": 4,
                    "gradient_accumulation_steps": 4,
                }
            },
            "the batch differs: 4 rows per step in base, 16 rows per step in other",
        ),
        (
            {"training": {"max_steps": 400, "per_device_train_batch_size": 4, "optim": "adafactor"}},
            "the optimizer differs: adamw_torch_fused, b1 0.9, b2 0.999, eps 1e-8 in base, adafactor",
        ),
        (
            {"budget": {"trials": 3, "horizon": 30, "schedule": "exact"}},
            "the schedule differs: hold in base, exact (linear over 400 steps) in other",
        ),
        (
            {"outcomes": {"divergence_ratio": 3.0}},
            "what counts as a failure differs: the usual thresholds in base, divergence_ratio 3 in",
        ),
        (
            {"risk": {"max_failure_probability": 0.02, "confirmation_trials": 0}},
            "the risk differs: 2 % and 10 % (all are read at 10 % here",
        ),
        (
            {"search": {**SEARCH, "prior": {"earlier": "frontier.json"}}},
            "other began with an earlier frontier as its prior",
        ),
    ],
    ids=["horizon", "batch", "optimizer", "schedule", "outcomes", "risk", "prior"],
)
def test_what_makes_rates_incomparable_is_said_before_anything_else(
    stabsearch: Any, sweeps: dict[str, Path], tmp_path: Path, parts: dict[str, Any], words: str
) -> None:
    """Named with both values; the answer still comes."""
    other = played(tmp_path, "other", 0.003, **{"budget": {"trials": 40, "horizon": 30}, **parts})
    said = stabsearch("compare", sweeps["base"], other)
    assert said.out.startswith("Not a sound comparison: ")
    assert words in said.out.splitlines()[0]
    assert said.out.splitlines()[1].startswith("From base to other")
    assert said.code in {0, 2}
    assert found(stabsearch("compare", sweeps["base"], other, "--json"))["warnings"]


def test_an_unsound_comparison_is_still_an_answer(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """Exit code 0."""
    assert stabsearch("compare", sweeps["base"], sweeps["longer"]).code == 0


def test_all_are_read_at_one_risk(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """The first's, or what was asked; a stricter one is lower in both."""
    usual = found(stabsearch("compare", sweeps["base"], sweeps["lower"], "--json"))
    strict = found(stabsearch("compare", sweeps["base"], sweeps["lower"], "--json", "--max-risk", "0.02"))
    assert (usual["max_failure_probability"], strict["max_failure_probability"]) == (0.1, 0.02)
    for place in (0, 1):
        rates = [data["contexts"][0]["sweeps"][place]["lr_low"] for data in (usual, strict)]
        assert rates[1] < rates[0]


def test_a_batch_that_one_searched_and_the_other_fixed_is_the_same_context(
    stabsearch: Any, sweeps: dict[str, Path], tmp_path: Path
) -> None:
    """4 rows in the section training of base, and among the batches of the other."""
    search = {**SEARCH, "per_device_train_batch_size": [4, 8]}
    other = played(tmp_path, "batches", 0.003, search=search, training={"max_steps": 400},
                   budget={"trials": 60, "horizon": 30})  # fmt: skip
    data = found(stabsearch("compare", sweeps["base"], other, "--json"))
    assert {context["per_device_train_batch_size"] for context in data["contexts"]} == {4}
    assert {each["per_device_train_batch_size"] for each in data["not_compared"]} == {8}
    assert not [text for text in data["warnings"] if "batch" in text]


def test_an_unfinished_sweep_is_compared_as_it_stands(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """15 of its 40 trials."""
    data = found(stabsearch("compare", sweeps["base"], sweeps["unfinished"], "--json"))
    assert data["sweeps"][1]["trials"] == 15
    assert "unfinished: 15 of 40 trials, " in stabsearch("compare", sweeps["base"], sweeps["unfinished"]).out
    assert len(data["contexts"]) == 2


@pytest.mark.parametrize("name", ["zero", "one", "only failed"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_sweep_that_shows_nothing_is_not_enough_evidence(
    stabsearch: Any, sweeps: dict[str, Path], tmp_path: Path, name: str, is_first: bool
) -> None:
    """Said in words, in the picture too; exit code 2, as everywhere."""
    both = [sweeps["base"], sweeps[name]]
    for out in ("a.png", "a.html"):
        said = stabsearch("compare", *(both[::-1] if is_first else both), "--out", tmp_path / out)
        assert said.code == 2
        assert "there is not enough evidence to say whether the frontier moved" in said.out
        assert "Traceback" not in said.err
        assert (tmp_path / out).stat().st_size > 1000


def refusal(said: Any) -> str:
    assert said.code == 2
    assert said.out == ""
    assert len(said.error_lines) == 2, said.err
    first: str = said.error_lines[0]
    return first


def test_what_cannot_be_compared_is_refused(stabsearch: Any, sweeps: dict[str, Path], tmp_path: Path) -> None:
    """Two lines each, and nothing on stdout."""
    base = sweeps["base"]
    assert "one sweep only" in refusal(stabsearch("compare", base))
    twice = tmp_path / "link"
    twice.symlink_to(base)
    assert "given twice" in refusal(stabsearch("compare", base, twice))
    assert "given twice" in refusal(stabsearch("compare", base, f"{base}/../{base.name}"))
    assert "holds no sweep" in refusal(stabsearch("compare", base, tmp_path))
    assert "holds no sweep" in refusal(stabsearch("compare", tmp_path / "nowhere", base))
    message = refusal(stabsearch("compare", base, sweeps["long warmup"]))
    assert message.startswith("no context of base (fp32 · warmup 0 · clip 1 and 1 more)")
    assert "a picture is a .png or a .html" in refusal(
        stabsearch("compare", base, sweeps["lower"], "--out", tmp_path / "x.svg")
    )
    assert "No such file" in refusal(
        stabsearch("compare", base, sweeps["lower"], "--out", tmp_path / "no" / "x.png")
    )
    assert "above 0 and below 0.5" in refusal(
        stabsearch("compare", base, sweeps["lower"], "--max-risk", "0.7")
    )


def test_damage(stabsearch: Any, sweeps: dict[str, Path], tmp_path: Path) -> None:
    """The study is what is read: a damaged frontier.json changes nothing, a damaged study is named."""
    other = tmp_path / "lower"
    shutil.copytree(sweeps["lower"], other)
    (other / "frontier.json").write_text("{")
    assert stabsearch("compare", sweeps["base"], other).code == 0
    journal = other / "study.journal"
    lines = journal.read_text(encoding="utf-8").splitlines()
    journal.write_text("\n".join([*lines[:30], "{ damaged", *lines[31:], ""]))
    assert "study.journal" in refusal(stabsearch("compare", sweeps["base"], other))


def test_comparing_writes_nothing_into_the_sweeps(stabsearch: Any, sweeps: dict[str, Path]) -> None:
    """It only reads."""
    before = {path: path.stat().st_mtime_ns for path in sweeps["base"].parent.rglob("*") if path.is_file()}
    stabsearch("compare", sweeps["base"], sweeps["lower"])
    assert before == {
        path: path.stat().st_mtime_ns for path in sweeps["base"].parent.rglob("*") if path.is_file()
    }


def test_many_contexts_are_said_to_move_by_chance(stabsearch: Any, tmp_path: Path) -> None:
    """From ten on; and the picture has a row for each."""
    search = {**SEARCH, "warmup": [0, 2, 4, 6, 8], "max_grad_norm": [0, 1.0]}
    sweeps = [
        played(tmp_path, name, 0.03, search=search, seed=seed, budget={"trials": 60, "horizon": 30})
        for seed, name in enumerate(["a", "b"])
    ]
    said = stabsearch("compare", *sweeps, "--out", tmp_path / "many.html")
    assert "Of 20 contexts about 2 may seem to have moved although nothing did (90 % intervals" in said.out
    page = Page((tmp_path / "many.html").read_text(encoding="utf-8"))
    assert sum(title.startswith(("a: ", "b: ")) for title in page.titles) == 40


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.titles: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.titles.append(data)


def test_the_page_says_every_mark_in_words(stabsearch: Any, sweeps: dict[str, Path], tmp_path: Path) -> None:
    """One figure per precision, a text per interval, nothing loaded, no script."""
    out = tmp_path / "moved.html"
    said = stabsearch("compare", sweeps["base"], sweeps["lower"], sweeps["longer"], "--out", out)
    assert (said.code, said.err) == (0, f"drawn: {out}\n")
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("figure") == 2
    assert "script" not in page.tags
    assert page.links == []
    assert sum(title.startswith(("base: ", "lower: ", "longer: ")) for title in page.titles) == 6
    assert any(re.match(r"lower: \S+ \(\S+ to \S+\), moved down \S+x", title) for title in page.titles)
    assert text.index("Not a sound comparison") < text.index("From base to lower")


def test_the_picture_is_a_png(stabsearch: Any, sweeps: dict[str, Path], tmp_path: Path) -> None:
    """With the colours of both sweeps in it."""
    out = tmp_path / "moved.PNG"
    assert stabsearch("compare", sweeps["base"], sweeps["lower"], "--out", out).code == 0
    pixels = (imread(out, format="png")[:, :, :3] * 255).round().astype(int).reshape(-1, 3)
    for color in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (pixels == color).all(1).sum() > 500


def test_hostile_names_and_settings_are_inert(
    stabsearch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the terminal, in lines, in the page and in the picture."""
    training = {"max_steps": 400, "per_device_train_batch_size": 4}
    hostile = HOSTILE.replace("/", "_")
    first = played(tmp_path / f"1{hostile}", "alike", 0.03, training={**training, "optim": HOSTILE})
    other = played(tmp_path / f"2{hostile}", "alike", 0.003, training={**training, "optim": f"x{HOSTILE}"})
    out = tmp_path / "hostile.html"
    said = stabsearch("compare", first, other, "--out", out)
    assert said.code == 0
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    assert "script" not in Page(out.read_text(encoding="utf-8")).tags
    assert "\x1b" not in out.read_text(encoding="utf-8")
    assert stabsearch("compare", first, other, "--out", tmp_path / "hostile.png").code == 0
    assert "\x1b" not in stabsearch("compare", first, other, "--json").out
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    print_comparison(compare_sweeps([first, other]), stream)
    assert "\u202e" not in stream.getvalue()
    steered = re.findall(r"</script>(\x1b\[31m)", stream.getvalue())
    assert steered == []


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_of_80_columns_is_enough(sweeps: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer, and the factors are there."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    print_comparison(compare_sweeps([sweeps["base"], sweeps["lower"]]), stream)
    plain = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())
    assert max(map(len, plain.splitlines())) <= 80
    assert "moved down" in plain
    assert Console(file=stream).is_terminal
    assert os.environ["COLUMNS"] == "80"
