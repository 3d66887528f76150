"""Every bad sweep gives one error of two lines: where, what was seen, what is allowed, the way out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.config import Source, Sweep, load_sweep
from stabsearch.config.problems import ALSO_TRAINING_ARGUMENTS, misplaced_training_keys, problems_of
from stabsearch.config.schema import all_properties
from stabsearch.errors import ExitCode, UserError

START = "name: a\ntask: {type: quickstart}\ntraining: {max_steps: 400}\n"
TEXTS = "name: a\ntraining: {max_steps: 400}\ntask:\n  type: sequence-classification\n"
TOP_KEYS = (
    "accumulation, bad_batches, budget, name, outcomes, output_dir, peft, resources, risk, search, seed, "
    "study, task, tracking, training"
)
INIT = "`stabsearch init PATH` writes a commented sweep to start from"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def error_of(text: str, *overrides: str) -> UserError:
    """Return the error that a sweep of this text gives."""
    Path("sweep.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_sweep(Path("sweep.yaml"), overrides)
    return caught.value


TASKS = (
    "causal-lm, masked-lm, multi-label, quickstart, regression, script, seq2seq, sequence-classification, "
    "token-classification"
)
BAD = [
    pytest.param(
        START + "search:\n  precision:\n  - fp32\n  - bf16\n  - fp61\n",
        "sweep.yaml:8: search.precision[2]: unknown precision 'fp61' "
        "(known: bf16, bf16-pure, fp16, fp32, tf32)",
        "did you mean 'fp16'?",
        id="unknown precision",
    ),
    pytest.param(
        START + "search:\n  sampler: random_search\n",
        "sweep.yaml:5: search.sampler: unknown sampler 'random_search' "
        "(known: frontier, gp, grid, qmc, random, tpe)",
        "did you mean 'random'?",
        id="unknown sampler",
    ),
    pytest.param(
        "name: a\ntask:\n  type: sequence-clasification\ntraining: {max_steps: 400}\n",
        f"sweep.yaml:3: task.type: unknown task type 'sequence-clasification' (known: {TASKS}, trainer)",
        "did you mean 'sequence-classification'?",
        id="unknown task type",
    ),
    pytest.param(
        START + "budget:\n  trails: 10\n",
        "sweep.yaml:5: budget.trails: unknown key 'trails' "
        "(known: bridge_trials, concurrency, disk_gib, horizon, schedule, trial_attempts, trial_timeout, "
        "trials, wall_clock)",
        "did you mean 'trials'?",
        id="misspelt key",
    ),
    pytest.param(
        START + "\ntrials: 10\n",
        f"sweep.yaml:5: trials: unknown key 'trials' (known: {TOP_KEYS})",
        "it belongs at budget.trials",
        id="key of another part",
    ),
    pytest.param(
        START + "hidden_size: 8\n",
        f"sweep.yaml:4: hidden_size: unknown key 'hidden_size' (known: {TOP_KEYS})",
        "it belongs at task.hidden_size (task type quickstart)",
        id="key of a task type",
    ),
    pytest.param(
        START + "3: 4\n",
        f"sweep.yaml:4: 3: unknown key '3' (known: {TOP_KEYS})",
        "remove it; `stabsearch init` writes a sweep with every key explained",
        id="key that is no text",
    ),
    pytest.param(
        START.replace("max_steps: 400", "max_steps: 400, learning_rate: 1e-5"),
        "sweep.yaml:3: training.learning_rate: the sweep sets learning_rate itself",
        "remove it here; it belongs at search.learning_rate",
        id="training argument that is searched",
    ),
    pytest.param(
        START.replace("max_steps: 400", "max_steps: 400, precision: bf16"),
        "sweep.yaml:3: training.precision: precision is no field of TrainingArguments",
        "it belongs at search.precision",
        id="sweep key under training",
    ),
    pytest.param(
        START + "budget: {trials: many}\n",
        "sweep.yaml:4: budget.trials: must be a whole number above 0, got 'many'",
        "Trials in all: canary, search and confirmation.",
        id="wrong type",
    ),
    pytest.param(
        START + "resources: {gpus_per_trial: 1.5}\n",
        "sweep.yaml:4: resources.gpus_per_trial: a trial has a share of one GPU, or whole GPUs, got 1.5",
        "write 1 or 2",
        id="a GPU and a half",
    ),
    pytest.param(
        START + "resources: {gpus_per_trial: 2, processes_per_trial: 4}\n",
        "sweep.yaml:4: resources.processes_per_trial: each process has a GPU of its own: "
        "4 processes on 2 GPUs",
        "remove it, or set gpus_per_trial: 4",
        id="processes that share a GPU",
    ),
    pytest.param(
        START.replace("max_steps: 400", "max_steps: 400, fsdp: true"),
        "sweep.yaml:3: training.fsdp: fsdp shares the weights out over GPUs, and trials have 0",
        "set resources.gpus_per_trial: 2 or more, or remove it",
        id="FSDP on a CPU",
    ),
    pytest.param(
        START + "budget: {trials: '10'}\n",
        "sweep.yaml:4: budget.trials: must be a whole number above 0, got '10'",
        "write 10",
        id="number in quotes",
    ),
    pytest.param(
        START + "budget: {trials: 1e1}\n",
        "sweep.yaml:4: budget.trials: must be a whole number above 0, got 10.0",
        "write 10",
        id="float for an integer",
    ),
    pytest.param(
        START + "budget: {trials: true}\n",
        "sweep.yaml:4: budget.trials: must be a whole number above 0, got true",
        "Trials in all: canary, search and confirmation.",
        id="boolean for an integer",
    ),
    pytest.param(
        START + "budget: {trials: 0}\n",
        "sweep.yaml:4: budget.trials: must be a whole number above 0, got 0",
        "Trials in all: canary, search and confirmation.",
        id="number out of range",
    ),
    pytest.param(
        START + "budget: {horizon: autp}\n",
        "sweep.yaml:4: budget.horizon: must be a whole number above 0, or auto, got 'autp'",
        "did you mean 'auto'?",
        id="misspelt auto",
    ),
    pytest.param(
        START + "budget: {wall_clock: 20 minutes}\n",
        "sweep.yaml:4: budget.wall_clock: not a duration: '20 minutes'",
        "write seconds, or a number and its unit: 90s, 20m, 1.5h, 2d",
        id="not a duration",
    ),
    pytest.param(
        START + "resources: {allow_fp16_on_cpu: yes}\n",
        "sweep.yaml:4: resources.allow_fp16_on_cpu: must be true or false, got 'yes'",
        "write true",
        id="boolean of YAML 1.1",
    ),
    pytest.param(
        START + "search: {precision: bf16}\n",
        "sweep.yaml:4: search.precision: must be a list of bf16, bf16-pure, fp16, fp32 or tf32, got 'bf16'",
        "write precision: [bf16]",
        id="value for a list",
    ),
    pytest.param(
        START + "search: {warmup: []}\n",
        "sweep.yaml:4: search.warmup: must not be empty: a list of numbers, each 0 or more",
        "Linear warmup: 1 and above are optimizer steps, below 1 is a share of the full run.",
        id="empty list",
    ),
    pytest.param(
        START + "search:\n  warmup:\n  - 0\n  - 10\n  - 0.0\n",
        "sweep.yaml:8: search.warmup[2]: 0.0 is there already, as warmup[0]",
        "remove one of them",
        id="value given twice",
    ),
    pytest.param(
        START + "search:\n  learning_rate: {low: 1, high: 1e-3}\n",
        "sweep.yaml:5: search.learning_rate: low must be below high, got low=1, high=0.001",
        "swap them?",
        id="impossible range",
    ),
    pytest.param(
        START + "search:\n  learning_rate: {low: 0, high: 1e-3}\n",
        "sweep.yaml:5: search.learning_rate.low: must be a number above 0, got 0",
        "Smallest value tried, included.",
        id="rate of zero",
    ),
    pytest.param(
        START + "search:\n  learning_rate: {low: 1e-5, high: .inf}\n",
        "sweep.yaml:5: search.learning_rate.high: must be a number above 0, got inf",
        "Largest value tried, included.",
        id="infinite rate",
    ),
    pytest.param(
        START + "search:\n  learning_rate: 1e-3\n",
        "sweep.yaml:5: search.learning_rate: must be a mapping (keys: low, high), got 0.001",
        "Peak learning rate; the range should reach well into both sides of the boundary.",
        id="number for a mapping",
    ),
    pytest.param(
        START + "risk: {max_failure_probability: 5%}\n",
        "sweep.yaml:4: risk.max_failure_probability: must be a number above 0 and below 0.5, got '5%'",
        "write 0.05",
        id="percent",
    ),
    pytest.param(
        START + "risk:\n",
        "sweep.yaml:4: risk: must be a mapping "
        "(keys: max_failure_probability, confidence, confirmation_trials, confirmation, stress_margin, "
        "max_rounds), got nothing",
        "write its keys, or remove the line",
        id="section without keys",
    ),
    pytest.param(
        START + "budget: {bridge_trials: 2}\nrisk: {confirmation_trials: 0}\n",
        "sweep.yaml:4: budget.bridge_trials: bridge trials run on a confirmed configuration, and "
        "risk.confirmation_trials is 0",
        "set it to auto, or bridge_trials to 0",
        id="bridges without a confirmation",
    ),
    pytest.param(
        START + "outcomes:\n  smoothing: 1\n",
        "sweep.yaml:5: outcomes.smoothing: must be above 0 and below 1, got 1",
        "the default is 0.8",
        id="threshold out of range",
    ),
    pytest.param(
        START + "outcomes:\n  smoothing: '0.5'\n",
        "sweep.yaml:5: outcomes.smoothing: must be a number, got '0.5'",
        "the default is 0.8",
        id="threshold in quotes",
    ),
    pytest.param(
        START + "outcomes:\n  smothing: 0.5\n",
        "sweep.yaml:5: outcomes.smothing: unknown key 'smothing' (known: chance_share, clean_progress, "
        "collapse_progress, divergence_min_steps, divergence_ratio, divergence_share, learned_progress, "
        "max_skipped_share, min_loss_scale, rise_ratio, smoothing)",
        "did you mean 'smoothing'?",
        id="unknown threshold",
    ),
    pytest.param(
        "task: {type: quickstart}\ntraining: {max_steps: 3}\n",
        "sweep.yaml:1: name: missing, must be text",
        "add it: Names the sweep and its folder: letters, digits, ., _ and -.",
        id="missing name",
    ),
    pytest.param(
        START.replace("name: a", "name: 7"),
        "sweep.yaml:1: name: must be text, got 7",
        "put it in quotes: '7'",
        id="number for text",
    ),
    pytest.param(
        START.replace("name: a", "name: ../a"),
        "sweep.yaml:1: name: must be text, got '../a'",
        "Names the sweep and its folder: letters, digits, ., _ and -.",
        id="name that is no folder name",
    ),
    pytest.param(
        "name: a\ntask:\n  num_rows: 100\ntraining: {max_steps: 3}\n",
        f"sweep.yaml:2: task.type: missing, must be {TASKS} or trainer",
        "add it: The kind of task.",
        id="task without a type",
    ),
    pytest.param(
        "name: a\ntask: quickstart\ntraining: {max_steps: 3}\n",
        f"sweep.yaml:2: task: must be a mapping with a type ({TASKS} or trainer) "
        "and its keys, got 'quickstart'",
        "What is trained.",
        id="word for a task",
    ),
    pytest.param(
        "name: a\ntask: {type: quickstart}\ntraining: {gradient_accumulation_steps: 2}\n",
        "sweep.yaml:3: training: needs either max_steps or num_train_epochs, "
        "the length of the full run; got neither",
        "add one, for example max_steps: 2000",
        id="full run without a length",
    ),
    pytest.param(
        START.replace("max_steps: 400", "max_steps: 400, num_train_epochs: 3"),
        "sweep.yaml:3: training: needs either max_steps or num_train_epochs, "
        "the length of the full run; got both",
        "remove one; on the command line: --set training.max_steps=null",
        id="full run with two lengths",
    ),
    pytest.param(
        TEXTS + "  model: a/b\n  data: {trian: x.tsv}\n",
        "sweep.yaml:6: task.data.trian: unknown key 'trian' "
        "(known: eval, eval_rows, eval_split, name, path, revision, split, train)",
        "did you mean 'train'? (1 more problem)",
        id="misspelt data key",
    ),
    pytest.param(
        TEXTS + "  model: 5\n  data: {path: glue}\n",
        "sweep.yaml:5: task.model: must be text, or a mapping (keys: config), got 5",
        "put it in quotes: '5'",
        id="neither kind of model",
    ),
    pytest.param(
        TEXTS + "  model: a/b\n  data: {path: glue}\n  text: ''\n",
        "sweep.yaml:7: task.text: must not be empty: text",
        "Column that holds the text.",
        id="empty text",
    ),
    pytest.param(
        TEXTS + "  model: a/b\n  data: {path: glue}\n  num_rows: 100\n",
        "sweep.yaml:7: task.num_rows: unknown key 'num_rows' "
        "(known: data, label, max_length, model, text, text_pair, tokenizer, trust_remote_code, type)",
        "it belongs at task.num_rows (task type quickstart)",
        id="key of another task type",
    ),
    pytest.param("", "sweep.yaml: the file is empty", INIT, id="empty file"),
    pytest.param("# nothing\n", "sweep.yaml: the file is empty", INIT, id="only comments"),
    pytest.param("- a\n", "sweep.yaml:1: a sweep is a mapping of keys, got a list", INIT, id="a list"),
    pytest.param("hello\n", "sweep.yaml:1: a sweep is a mapping of keys, got a text", INIT, id="a text"),
    pytest.param(
        START + "search: {warmup: [1, 2}\n",
        "sweep.yaml:4:23: not YAML: expected ',' or ']', but got '}'",
        "check the indentation, brackets and quotes of this line and the one above",
        id="not YAML",
    ),
    pytest.param(
        START + "search:\n\tsampler: tpe\n",
        "sweep.yaml:5:1: not YAML: found character '\\t' that cannot start any token",
        "indent with spaces, not tabs",
        id="tabs",
    ),
    pytest.param(
        START + "seed: 1\nseed: 2\n",
        "sweep.yaml:5: key 'seed' is given twice, on lines 4 and 5",
        "YAML would silently take the last one: remove one of them",
        id="key given twice",
    ),
]


@pytest.mark.parametrize(("text", "message", "hint"), BAD)
def test_a_bad_sweep_gives_these_two_lines(text: str, message: str, hint: str) -> None:
    """The exact words that a user reads."""
    error = error_of(text)
    assert str(error) == f"{message}\n  {hint}"
    assert error.exit_code is ExitCode.CANNOT_JUDGE


def test_of_several_problems_the_first_by_line_is_told_and_the_others_counted() -> None:
    """One thing to fix at a time, in the order of the file, and how much there is left."""
    error = error_of(START + "search: {sampler: x}\nbudget: {trials: 0}\nrisk: {confidence: 2}\n")
    assert error.message.startswith("sweep.yaml:4: search.sampler: unknown sampler 'x'")
    assert error.hint.endswith("(2 more problems)")


def test_a_misspelt_key_is_told_before_the_one_that_is_therefore_missing() -> None:
    """The cause comes before its consequence."""
    error = error_of(START + "search:\n  learning_rate: {hihg: 1, low: 1e-5}\n")
    assert error.message.startswith("sweep.yaml:5: search.learning_rate.hihg: unknown key")
    assert error.hint == "did you mean 'high'? (1 more problem)"


def test_a_missing_file_names_the_nearest() -> None:
    """A typing error in the file name is the likely cause."""
    Path("sweep.yaml").write_text(START)
    with pytest.raises(UserError) as caught:
        load_sweep(Path("swep.yaml"))
    assert str(caught.value) == "swep.yaml: no such file\n  did you mean 'sweep.yaml'?"


def test_a_missing_file_without_a_near_one_names_init() -> None:
    """The way out for somebody who has no sweep yet."""
    with pytest.raises(UserError) as caught:
        load_sweep(Path("nowhere/sweep.yaml"))
    assert str(caught.value) == f"nowhere/sweep.yaml: no such file\n  {INIT}"


def test_a_folder_is_no_sweep_file() -> None:
    """The sweep inside it is offered."""
    Path("runs").mkdir()
    Path("runs/sweep.yaml").write_text(START)
    with pytest.raises(UserError) as caught:
        load_sweep(Path("runs"))
    assert str(caught.value) == "runs: is a folder, not a sweep file\n  did you mean 'runs/sweep.yaml'?"


def test_an_unreadable_file_says_why() -> None:
    """The operating system's reason, without a traceback."""
    Path("file").write_text("")
    with pytest.raises(UserError) as caught:
        load_sweep(Path("file/sweep.yaml"))
    message = "file/sweep.yaml: cannot be read: Not a directory"
    assert str(caught.value) == f"{message}\n  check the path and its rights"


def test_a_file_in_another_encoding_is_refused() -> None:
    """UTF-8 or nothing: guessing an encoding corrupts names silently."""
    Path("sweep.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(UserError) as caught:
        load_sweep(Path("sweep.yaml"))
    assert str(caught.value) == "sweep.yaml: not UTF-8 text (byte 6)\n  save the file as UTF-8"


def test_a_byte_order_mark_is_no_problem() -> None:
    """Windows editors write one."""
    Path("sweep.yaml").write_bytes(b"\xef\xbb\xbf" + START.encode())
    assert load_sweep(Path("sweep.yaml")).sweep.name == "a"


def test_numbers_may_be_written_as_people_write_them() -> None:
    """``1e-5`` has no dot, which YAML 1.1 would have read as text."""
    Path("sweep.yaml").write_text(
        START + "search: {learning_rate: {low: 1e-5, high: 1E0}, warmup: [.5, 1.]}\n"
    )
    search = load_sweep(Path("sweep.yaml")).sweep.search
    assert (search.learning_rate.low, search.learning_rate.high, search.warmup) == (1e-5, 1.0, (0.5, 1.0))


def test_a_name_that_both_know_is_left_to_transformers() -> None:
    """No TrainingArguments field is called misplaced because a sweep has a key of the same name."""
    from transformers import TrainingArguments

    fields = {field.name for field in dataclasses.fields(TrainingArguments)}
    problems = misplaced_training_keys({"training": dict.fromkeys(fields, 1)})
    assert problems == []
    assert fields >= ALSO_TRAINING_ARGUMENTS


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
all_keys = sorted({key for key, _ in all_properties()})


@given(st.sampled_from(all_keys), anything, st.sampled_from(["quickstart", "sequence-classification"]))
def test_whatever_stands_at_a_key_the_error_is_two_lines_with_a_key(
    key: tuple[str, ...], value: object, task_type: str
) -> None:
    """No value at any key leads to a traceback, an empty hint or an error without a place."""
    data: dict[str, object] = {"name": "a", "task": {"type": task_type}, "training": {"max_steps": 3}}
    part = data
    for name in key[:-1]:
        part = part.setdefault(name, {})  # type: ignore[assignment]
    part[key[-1]] = value
    for problem in _problems(data):
        assert problem.key
        assert problem.message
        assert problem.hint
        assert (problem.message + problem.hint + Source().place(problem.key)).isprintable()


def _problems(data: object) -> list[UserError]:
    from pydantic import ValidationError

    try:
        Sweep.model_validate(data)
    except ValidationError as error:
        return problems_of(error, data)
    return []
