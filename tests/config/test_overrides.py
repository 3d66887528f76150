"""``--set a.b=c`` replaces one value of the file, and is named when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from stabsearch.config import load_sweep
from stabsearch.config.overrides import EXAMPLE, apply_overrides, parse_override
from stabsearch.errors import UserError

TEXT = """\
name: a
task: {type: quickstart}
training: {max_steps: 400}
search:
  warmup: [0, 10]
"""


@pytest.fixture(autouse=True)
def _sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(TEXT)


def test_values_are_yaml() -> None:
    """Numbers, words, lists and null mean what they mean in the file."""
    sweep = load_sweep(
        Path("sweep.yaml"),
        [
            "search.precision=[fp32]",
            "budget.trials=10",
            "search.warmup[1]=5",
            "search.learning_rate={low: 1e-5, high: 1}",
            "training.num_train_epochs=1.5",
            "training.max_steps=null",
            "budget.wall_clock=20m",
        ],
    ).sweep
    assert sweep.search.precision == ("fp32",)
    assert sweep.search.warmup == (0, 5)
    assert (sweep.search.learning_rate.low, sweep.search.learning_rate.high) == (1e-5, 1)
    assert (sweep.training.max_steps, sweep.training.num_train_epochs) == (None, 1.5)
    assert (sweep.budget.trials, sweep.budget.wall_clock) == (10, 1200)


def test_the_last_of_several_wins() -> None:
    """As every command line does it."""
    assert load_sweep(Path("sweep.yaml"), ["seed=1", "seed=2"]).sweep.seed == 2


def test_the_data_of_the_file_is_not_changed() -> None:
    """Overrides make a copy: an anchor used twice changes in one place only."""
    data = {"a": {"b": [1, 2]}}
    assert apply_overrides(data, [parse_override("a.b[0]=3")]) == {"a": {"b": [3, 2]}}
    assert data == {"a": {"b": [1, 2]}}


BAD = [
    ("budget.trials", "--set budget.trials: no '='", EXAMPLE),
    ("=3", "--set =3: '' is not a key", EXAMPLE),
    ("a..b=3", "--set a..b=3: 'a..b' is not a key", EXAMPLE),
    ("a[x]=3", "--set a[x]=3: 'a[x]' is not a key", EXAMPLE),
    (
        "search.precision=[fp32",
        "--set search.precision=[fp32: not YAML: expected ',' or ']', but got '<stream end>'",
        "put the value in quotes, as YAML needs it",
    ),
    (
        "budget.trails=3",
        "--set budget.trails=3: unknown key 'trails' (known: bridge_trials, concurrency, disk_gib, horizon, "
        "schedule, trial_attempts, trial_timeout, trials, wall_clock)",
        "did you mean 'trials'?",
    ),
    (
        "search.precision=[fp32, fp61]",
        "--set search.precision=[fp32, fp61]: search.precision[1]: unknown precision 'fp61' "
        "(known: bf16, bf16-pure, fp16, fp32, tf32)",
        "did you mean 'fp16'?",
    ),
    (
        "search.warmup[2]=5",
        "--set search.warmup[2]=5: search.warmup is [0, 10], which has [0] to [1]",
        "set the whole value: --set search.warmup=...",
    ),
    (
        "search.precision[0]=fp32",
        "--set search.precision[0]=fp32: search.precision is not in the file, so it has no numbered values",
        "set the whole value: --set search.precision=...",
    ),
    (
        "name.x=3",
        "--set name.x=3: name is 'a', so it has no keys",
        "set the whole value: --set name=...",
    ),
    (
        "training.num_train_epochs=3",
        "--set training.num_train_epochs=3: training: needs either max_steps or num_train_epochs, "
        "the length of the full run; got both",
        "remove one; on the command line: --set training.max_steps=null",
    ),
    (
        "search.learning_rate.low=1",
        "--set search.learning_rate.low=1: search.learning_rate.high: missing, must be a number above 0",
        "add it: Largest value tried, included.",
    ),
]


@pytest.mark.parametrize(("text", "message", "hint"), BAD)
def test_a_bad_override_is_named_as_it_was_written(text: str, message: str, hint: str) -> None:
    """The place is the command line, not a line of the file."""
    with pytest.raises(UserError) as caught:
        load_sweep(Path("sweep.yaml"), [text])
    assert str(caught.value) == f"{message}\n  {hint}"


def test_a_problem_of_the_file_keeps_its_line_beside_an_override() -> None:
    """Only what the override gave is blamed on it."""
    Path("sweep.yaml").write_text(TEXT + "  sampler: tpee\n")
    with pytest.raises(UserError) as caught:
        load_sweep(Path("sweep.yaml"), ["search.warmup[0]=1"])
    assert caught.value.message.startswith("sweep.yaml:6: search.sampler: unknown sampler 'tpee'")


def test_places_of_later_errors() -> None:
    """Whoever finds a problem later asks where the key stands."""
    source = load_sweep(Path("sweep.yaml"), ["budget.trials=10"]).source
    assert source.place(("search", "warmup", 1)) == "sweep.yaml:5: search.warmup[1]"
    assert source.place(("search", "sampler")) == "sweep.yaml:4: search.sampler"
    assert source.place(("risk", "confidence")) == "sweep.yaml:1: risk.confidence"
    assert source.place(("budget", "trials")) == "--set budget.trials=10"
    error = source.error(UserError("too short", "longer", key=("search", "warmup")))
    assert str(error) == "sweep.yaml:5: search.warmup: too short\n  longer"
    plain = UserError("no key", "none")
    assert source.error(plain) is plain
    assert source.error(error) is error
