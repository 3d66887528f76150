"""A training script as it is, up to ``Trainer.train()``."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.utils
import pytest
import torch
import transformers
from own_code_samples import MAIN, arguments, script
from transformers import TrainingArguments

from stabsearch.config import ScriptTask
from stabsearch.errors import UserError
from stabsearch.records import Cause, Outcome, Stage, TrialPlan
from stabsearch.task.script import build
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup

PLAN = TrialPlan(0, Stage.SEARCH, 1e-3, 2, 0.5, "fp32", 3, 5, 6)
SETUP = TrialSetup(max_steps=40, training={"per_device_train_batch_size": 4, "weight_decay": 0.25})


def task(folder: Path, before: str = "", code: str = MAIN, **args: Any) -> ScriptTask:
    """Return a task on a script written into a folder."""
    path = script(folder, before, code)
    return ScriptTask(type="script", path=str(path), args=args, folder=str(folder))


def test_a_trial_of_a_script_is_a_measurement(tmp_path: Path) -> None:
    """Its Trainer is guarded, gets the arguments of the plan and stops at the horizon."""
    record = run_trial(PLAN, build(task(tmp_path)), SETUP)
    assert (record.outcome, record.steps) == (Outcome.STABLE, 6), record.message
    effective = record.effective
    assert effective is not None
    assert (effective.peak_learning_rate, effective.max_grad_norm) == (pytest.approx(1e-3), 0.5)
    assert (effective.batch_rows, effective.weight_decay) == (4, 0.25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.py"]


def test_its_own_arguments_reach_it(tmp_path: Path) -> None:
    """Texts and lists, as on a command line."""
    workload = build(task(tmp_path, kind="other", sizes=[3, 4]))
    own = workload.trainer(arguments(tmp_path), 0).own  # type: ignore[attr-defined]
    assert (own.kind, own.sizes) == ("other", [3, 4])


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    """Every run of the script starts from the trial's seed."""
    workload = build(task(tmp_path))
    first = workload.trainer(arguments(tmp_path), 3).model.state_dict()
    again = workload.model(3).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert workload.num_rows == 48


SWALLOWS = {
    "except Exception": "    try:\n        trainer.train()\n    except Exception:\n        pass",
    "bare except": "    try:\n        trainer.train()\n    except:\n        pass",
}


@pytest.mark.parametrize("way", SWALLOWS)
def test_a_script_that_catches_everything_is_handed_over_too(tmp_path: Path, way: str) -> None:
    """What the script does after its first train() does not matter; nearly always it does nothing."""
    code = MAIN.replace("    trainer.train()", SWALLOWS[way])
    trainer = build(task(tmp_path, code=code)).trainer(arguments(tmp_path), 0)
    assert isinstance(trainer, transformers.Trainer)
    assert trainer.train.__func__ is transformers.Trainer.train
    assert (tmp_path / "trained.txt").exists() == (way == "bare except")


FAULTS = {
    "never trains": ("return", r"train\.py ended without a call of train\(\)", ("task", "path")),
    "exits": ("sys.exit('no data')", r"exited with 'no data' before train\(\): no data", ("task", "path")),
    "exits with a code": (
        "print('bye'); sys.exit(3)",
        r"exited with 3 before train\(\): bye",
        ("task", "path"),
    ),
    "exits well": ("sys.exit(0)", r"ended without a call of train\(\)", ("task", "path")),
    "raises": (
        "raise KeyError('text')",
        r"raised KeyError: 'text' before train\(\) \(line \d+\)",
        ("task", "path"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_script_that_does_not_train(tmp_path: Path, fault: str) -> None:
    """Two lines: what it did instead, and what it has to do."""
    before, message, key = FAULTS[fault]
    workload = build(task(tmp_path, before, "import sys\n" + MAIN))
    with pytest.raises(UserError, match=message) as raised:
        workload.trainer(arguments(tmp_path), 0)
    assert raised.value.key == key
    assert raised.value.hint


def test_a_package_that_it_lacks(tmp_path: Path) -> None:
    """Nothing in the script is to be mended."""
    workload = build(task(tmp_path, code="import not_installed.metrics\n" + MAIN))
    with pytest.raises(
        UserError, match="raised ModuleNotFoundError: No module named 'not_installed'"
    ) as raised:
        workload.trainer(arguments(tmp_path), 0)
    assert raised.value.hint.startswith("pip install not_installed, where stabsearch runs")


@pytest.mark.parametrize("way", ["train.py", "../{name}/train.py", "linked.py"])
def test_the_line_is_the_scripts_own(tmp_path: Path, way: str) -> None:
    """However its path is written, and although the error comes from a library."""
    (tmp_path / "train.py").write_text("\n\nimport json\njson.loads('{')")
    (tmp_path / "linked.py").symlink_to("train.py")
    path = tmp_path / way.format(name=tmp_path.name)
    workload = build(ScriptTask(type="script", path=str(path), folder=str(tmp_path)))
    with pytest.raises(UserError, match=r"raised JSONDecodeError: .* before train\(\) \(line 4\)"):
        workload.trainer(arguments(tmp_path), 0)


def test_a_module_beside_it_that_is_no_python(tmp_path: Path) -> None:
    """The line named is where the script imports it, not one of the other file."""
    (tmp_path / "users_torn.py").write_text("\n" * 40 + "def main(:")
    (tmp_path / "train.py").write_text("import sys\nimport users_torn\n")
    workload = build(ScriptTask(type="script", path=str(tmp_path / "train.py"), folder=str(tmp_path)))
    with pytest.raises(UserError, match=r"users_torn\.py, line 41\) before train\(\) \(line 2\)"):
        workload.trainer(arguments(tmp_path), 0)


def test_an_argument_that_it_does_not_know(tmp_path: Path) -> None:
    """What its parser says is what the user reads."""
    workload = build(task(tmp_path, knd="other"))
    with pytest.raises(UserError, match="knd") as raised:
        workload.trainer(arguments(tmp_path), 0)
    assert raised.value.key == ("task", "args")


def test_a_script_that_takes_no_training_arguments(tmp_path: Path) -> None:
    """One that parses by hand cannot be told the searched learning rate."""
    code = "import argparse\nargparse.ArgumentParser().parse_args()\n" + MAIN
    with pytest.raises(UserError, match="does not take its arguments: unrecognized arguments") as raised:
        build(task(tmp_path, code=code)).trainer(arguments(tmp_path), 0)
    assert "HfArgumentParser" in raised.value.hint


def test_an_argument_that_the_sweep_sets_is_refused(tmp_path: Path) -> None:
    """Otherwise the last one on the command line would win, silently."""
    with pytest.raises(UserError, match="learning_rate is one of TrainingArguments") as raised:
        build(task(tmp_path, learning_rate=0.1))
    assert raised.value.key == ("task", "args", "learning_rate")


def test_a_script_that_overrides_an_argument(tmp_path: Path) -> None:
    """The trial is no measurement, and says which argument it was."""
    record = run_trial(PLAN, build(task(tmp_path, "trainer.args.learning_rate = 7.0")), SETUP)
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert "learning_rate: planned 0.001, effective 7.0" in record.message


ITS_OWN_DEFAULTS = MAIN.replace(
    "def main():",
    """
@dataclass
class Mine(TrainingArguments):
    learning_rate: float = 7.0
    bf16: bool = True
    save_strategy: str = "epoch"
    weight_decay: float = 0.5
    adam_epsilon: float = 1e-6

def main():""",
).replace("Own, TrainingArguments", "Own, Mine")


def test_defaults_of_its_own_give_way_to_the_sweep(tmp_path: Path) -> None:
    """Also where a trial's value is what Transformers would take anyway; TRL has such arguments."""
    plan = replace(PLAN, learning_rate=TrainingArguments(str(tmp_path)).learning_rate)
    setup = replace(SETUP, training={**SETUP.training, "adam_epsilon": 1e-8})
    record = run_trial(plan, build(task(tmp_path, code=ITS_OWN_DEFAULTS)), setup)
    assert record.outcome is Outcome.STABLE, record.message
    effective = record.effective
    assert effective is not None
    assert (effective.peak_learning_rate, effective.autocast_dtype) == (pytest.approx(5e-5), "float32")
    assert (effective.weight_decay, effective.adam_epsilon) == (0.25, 1e-8)


def test_a_default_of_its_own_that_the_sweep_is_silent_about(tmp_path: Path) -> None:
    """The full run would have it, so it belongs into the sweep: nothing else is measured instead."""
    record = run_trial(PLAN, build(task(tmp_path, code=ITS_OWN_DEFAULTS)), SETUP)
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert "adam_epsilon: planned 1e-08, effective 1e-06" in record.message


AT_WORK = """
import os
SCALE = torch.tensor(1.0)
os.environ["OF_THE_SCRIPT"] = "1"
class Mine(Trainer):
    def compute_loss(self, *given, **named):
        from users_beside_script import same
        open("rows.txt").read(), os.environ["OF_THE_SCRIPT"]
        print("a loss")
        return same(super().compute_loss(*given, **named)) * SCALE
"""


def test_all_that_it_made_is_there_for_the_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its names, its folder, its modules and variables; what it prints stays out of the results."""
    (tmp_path / "users_beside_script.py").write_text("def same(loss):\n    return loss\n")
    (tmp_path / "rows.txt").touch()
    code = AT_WORK + MAIN.replace("trainer = Trainer(", "trainer = Mine(")
    record = run_trial(PLAN, build(task(tmp_path, code=code)), SETUP)
    assert record.outcome is Outcome.STABLE, record.message
    assert "OF_THE_SCRIPT" not in os.environ
    out, err = capfd.readouterr()
    assert "a loss" not in out
    assert "a loss" in err


NAMED = """
class Net(BertForSequenceClassification):
    pass
class Mine(Trainer):
    pass
model = lambda: Net(BertConfig(vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2))
"""


@pytest.mark.parametrize(
    ("last", "module"), [('if __name__ == "__main__":', "train"), ("if True:", "__main__")]
)
def test_its_classes_are_named_as_in_an_import(tmp_path: Path, last: str, module: str) -> None:
    """A replay finds them there; but importing a script that asks nothing would train."""
    code = NAMED + MAIN.replace("Trainer(model", "Mine(model").replace('if __name__ == "__main__":', last)
    trainer = build(task(tmp_path, code=code)).trainer(arguments(tmp_path), 0)
    assert {type(trainer).__module__, type(trainer.model).__module__} == {module}


REGISTERS = """
from transformers import AutoConfig, AutoModelForSequenceClassification
class MineConfig(BertConfig):
    model_type = "users-bert"
class Mine(BertForSequenceClassification):
    config_class = MineConfig
AutoConfig.register("users-bert", MineConfig)
AutoModelForSequenceClassification.register(MineConfig, Mine)
def model():
    config = AutoConfig.for_model("users-bert", vocab_size=16, hidden_size=8, num_hidden_layers=1,
                                  num_attention_heads=2)
    return AutoModelForSequenceClassification.from_config(config)
"""


def test_a_model_type_that_it_registers(tmp_path: Path) -> None:
    """It is there in every run, and what an earlier one registered is let go."""
    workload = build(task(tmp_path, code=REGISTERS + MAIN))
    names = [type(workload.trainer(arguments(tmp_path), seed).model).__name__ for seed in (0, 1)]
    assert names == ["Mine", "Mine"]
    known = transformers.AutoModelForSequenceClassification._model_mapping._extra_content
    assert [config.__name__ for config in known] == ["MineConfig"]


def test_it_is_handed_over_at_its_first_train(tmp_path: Path) -> None:
    """Whatever is given to it, and whatever would come after."""
    code = MAIN.replace(
        "    trainer.train()", "    trainer.train(resume_from_checkpoint=None)\n    trainer.train()"
    )
    trainer = build(task(tmp_path, code=code)).trainer(arguments(tmp_path), 0)
    assert trainer.state.global_step == 0
    assert not (tmp_path / "trained.txt").exists()


def test_memory_that_runs_out_keeps_its_name(tmp_path: Path) -> None:
    """A model that does not fit is no bug of the script's."""
    record = run_trial(PLAN, build(task(tmp_path, "raise RuntimeError('CUDA out of memory')")), SETUP)
    assert record.outcome is Outcome.OOM


def test_a_script_that_another_machine_has(tmp_path: Path) -> None:
    """A worker on a cluster says what it misses."""
    away = ScriptTask(type="script", path=str(tmp_path / "away.py"), folder=str(tmp_path))
    with pytest.raises(UserError, match=r"no script .*away\.py on this machine") as raised:
        build(away)
    assert raised.value.key == ("task", "path")


def test_a_script_that_is_no_python(tmp_path: Path) -> None:
    """The line is in the error."""
    workload = build(task(tmp_path, code="def main(:"))
    with pytest.raises(UserError, match=r"train\.py raised SyntaxError: .* \(line \d+\)"):
        workload.trainer(arguments(tmp_path), 0)


def test_a_script_that_saves_anyway_leaves_nothing(tmp_path: Path) -> None:
    """Checkpoints go to the trial's own folder, which is removed."""
    saves = "transformers.trainer_utils.SaveStrategy.STEPS"
    before = f"trainer.args.save_strategy = {saves}; trainer.args.save_steps = 2"
    code = MAIN.replace(
        "from transformers import HfArg", "import transformers\nfrom transformers import HfArg"
    )
    record = run_trial(PLAN, build(task(tmp_path, before, code)), SETUP)
    assert record.outcome is Outcome.STABLE, record.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.py"]


CHANGES = """
import logging, os, sys
logging.basicConfig(level=logging.DEBUG); logging.getLogger().setLevel(logging.DEBUG)
library = logging.getLogger("transformers")
library.setLevel(1); library.addHandler(logging.NullHandler())
os.environ["LEFT_BEHIND"] = "1"; sys.path.append("/left/behind"); os.chdir("/")
torch.set_default_dtype(torch.float64); torch.use_deterministic_algorithms(True)
torch.set_grad_enabled(False)
"""


def test_the_process_is_as_it_was(tmp_path: Path) -> None:
    """The next trial in this worker finds nothing of the script."""
    main = sys.modules["__main__"]
    loggers = [logging.getLogger(), logging.getLogger("transformers")]
    said = [(logger.level, list(logger.handlers)) for logger in loggers]
    argv, path, folder = list(sys.argv), list(sys.path), Path.cwd()
    with pytest.raises(UserError):
        build(task(tmp_path, code=CHANGES)).trainer(arguments(tmp_path), 0)
    assert (sys.argv, sys.path, Path.cwd()) == (argv, path, folder)
    assert [(logger.level, logger.handlers) for logger in loggers] == said
    assert logging.getLogger().isEnabledFor(logging.WARNING)
    assert "LEFT_BEHIND" not in os.environ
    assert sys.modules["__main__"] is main
    assert torch.get_default_dtype() is torch.float32
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.is_grad_enabled()


SHARED = """
import os
torch.set_num_threads(torch.get_num_threads() + 1)
del os.environ["USERS_GIVEN"]; os.environ["USERS_OTHER"] = "changed"
import logging
library = logging.getLogger("transformers")
library.propagate, library.disabled = not library.propagate, True
for handler in library.handlers:
    handler.setFormatter(logging.Formatter("mine %(message)s"))
"""


def test_what_it_takes_away_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that it deletes or changes, threads, and the way that libraries log."""
    monkeypatch.setenv("USERS_GIVEN", "1")
    monkeypatch.setenv("USERS_OTHER", "2")
    library, threads = logging.getLogger("transformers"), torch.get_num_threads()

    def logs() -> list[Any]:
        return [library.propagate, library.disabled, [handler.formatter for handler in library.handlers]]

    assert library.handlers
    before = logs()
    build(task(tmp_path, code=SHARED + MAIN)).trainer(arguments(tmp_path), 0)
    assert (os.environ.get("USERS_GIVEN"), os.environ["USERS_OTHER"]) == ("1", "2")
    assert torch.get_num_threads() == threads
    assert logs() == before


BARS = """
import huggingface_hub.utils as hub
from transformers.utils import logging
SEEN = [hub.are_progress_bars_disabled(), not logging.is_progress_bar_enabled()]
"""


@pytest.mark.parametrize("are_shown", [True, False])
def test_progress_bars_are_hidden_for_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, are_shown: bool
) -> None:
    """Those of the Hub too where Transformers shows none; afterwards all is as it was."""
    hub, own = huggingface_hub.utils, transformers.utils.logging
    monkeypatch.setattr(own, "_tqdm_active", are_shown)
    hub.enable_progress_bars()
    trainer = build(task(tmp_path, "trainer.seen = SEEN", BARS + MAIN)).trainer(arguments(tmp_path), 0)
    assert trainer.seen == [True, True]  # type: ignore[attr-defined]
    assert (hub.are_progress_bars_disabled(), own.is_progress_bar_enabled()) == (False, are_shown)


def test_a_script_that_exits_without_a_word(tmp_path: Path) -> None:
    """Nothing is made up for it."""
    with pytest.raises(UserError) as raised:
        build(task(tmp_path, "import sys; sys.exit(3)")).trainer(arguments(tmp_path), 0)
    assert raised.value.message == "train.py exited with 3 before train()"


def test_what_it_prints_stays_out_of_the_results(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """stdout belongs to the program that runs it."""
    build(task(tmp_path, "print('noise')")).trainer(arguments(tmp_path), 0)
    assert "noise" not in capfd.readouterr().out
