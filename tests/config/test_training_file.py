"""Training configurations in every form they are read in."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from stabsearch.config.training_file import read_training
from stabsearch.errors import UserError


def write(folder: Path, text: str, name: str = "config") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_what_training_arguments_save_is_read(tmp_path: Path) -> None:
    """``TrainingArguments.to_json_string()`` itself."""
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(tmp_path), learning_rate=2e-5, warmup_steps=100, use_cpu=True, report_to="none"
    )
    read = read_training([write(tmp_path, arguments.to_json_string(), "training_args.json")])
    assert read.styles == {"transformers"}
    assert read.arguments["learning_rate"] == 2e-5
    assert read.arguments["warmup_steps"] == 100
    assert read.arguments["optim"] == "adamw_torch_fused"
    assert read.arguments["max_grad_norm"] == 1.0


def test_json_with_tabs_and_yaml_numbers(tmp_path: Path) -> None:
    read = read_training([write(tmp_path, '{\n\t"learning_rate": 2e-5,\n\t"bf16": true\n}')])
    assert dict(read.arguments) == {"learning_rate": 2e-5, "bf16": True}
    assert read.where("bf16") == f"{tmp_path / 'config'}:3"
    read = read_training([write(tmp_path, "# mine\nlearning_rate: 2e-5\nwarmup_steps: 10\nfp16: null\n")])
    assert dict(read.arguments) == {"learning_rate": 2e-5, "warmup_steps": 10}
    assert read.lines["warmup_steps"][1] == 3


def test_axolotl_names_and_defaults(tmp_path: Path) -> None:
    text = (
        "base_model: x\nmicro_batch_size: 2\ngradient_accumulation_steps: 4\nnum_epochs: 3\n"
        "optimizer: adamw_torch\nlr_scheduler: linear\nlearning_rate: 2e-4\nbf16: auto\n"
    )
    read = read_training([write(tmp_path, text)])
    assert read.styles == {"axolotl"}
    assert read.arguments["per_device_train_batch_size"] == 2
    assert read.arguments["num_train_epochs"] == 3
    assert read.arguments["optim"] == "adamw_torch"
    assert read.arguments["lr_scheduler_type"] == "linear"
    assert read.arguments["bf16"] == "auto"
    assert read.where("per_device_train_batch_size").endswith(":2")
    bare = read_training([write(tmp_path, "base_model: x\nlearning_rate: 2e-4\n")])
    assert bare.arguments["lr_scheduler_type"] == "cosine"
    assert bare.arguments["per_device_train_batch_size"] == 1


def test_accelerate_beside_training_arguments(tmp_path: Path) -> None:
    accelerate = write(
        tmp_path,
        "compute_environment: LOCAL_MACHINE\nmixed_precision: 'bf16'\nnum_processes: 2\n"
        "deepspeed_config: {gradient_clipping: 0.5, gradient_accumulation_steps: auto}\n",
        "accelerate.yaml",
    )
    read = read_training([write(tmp_path, "learning_rate=2e-5"), accelerate])
    assert dict(read.arguments) == {
        "learning_rate": 2e-5, "mixed_precision": "bf16", "num_processes": 2, "max_grad_norm": 0.5,
    }  # fmt: skip
    assert read.where("mixed_precision") == f"{accelerate}:2"


@pytest.mark.parametrize(
    "text",
    [
        "--learning_rate 2e-5\n--bf16\n--warmup-steps=100\n",
        "--learning_rate 2e-5 --bf16 \\\n  --warmup_steps 100",
        "learning_rate=2e-5\nbf16 = True  # yes\nwarmup_steps = 100\n",
        "# all\n\n--learning_rate=2e-5\nbf16=true\n--warmup_steps '100'\n",
    ],
)
def test_lists_of_names_and_values(tmp_path: Path, text: str) -> None:
    read = read_training([write(tmp_path, text)])
    assert dict(read.arguments) == {"learning_rate": 2e-5, "bf16": True, "warmup_steps": 100}


def test_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a=1\nlearning_rate=3e-5\n")))
    read = read_training([Path("-")])
    assert read.arguments["learning_rate"] == 3e-5
    assert read.where("learning_rate") == "stdin:2"


def test_files_that_disagree_are_refused(tmp_path: Path) -> None:
    first, second = write(tmp_path, "max_grad_norm=1", "a"), write(tmp_path, "max_grad_norm=2", "b")
    with pytest.raises(UserError, match="max_grad_norm is 2 here and 1 in"):
        read_training([first, second])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"[1, 2]", "no settings in it"),
        (b"- 1\n- 2\n", "no settings in it"),
        (b"{'a': ", "not YAML"),
        (b"a: 1\na: 2\n", "given twice"),
        (b"a=1\na=2\n", "config:2: a is given twice, first on line 1"),
        (b"--a 1 b\n", "'b' belongs to no setting"),
        (b"--a 'x\n", "config:1: no closing quotation"),
        (b"a: !!python/object/apply:os.system ['true']\n", "not YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: " + b"[" * 100, "nested more than 32 levels"),
        (b"x" * (1 << 20) + b"y", "longer than 1 MiB"),
        (b"base_model: x\nnum_epochs: 1\nnum_train_epochs: 2\n", "both num_epochs and num_train_epochs"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    with pytest.raises(UserError, match=problem) as caught:
        read_training([path])
    assert str(path) in caught.value.message


def test_a_missing_file_a_folder_and_a_name_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path, Path("a\0b"), Path("x" * 5000)):
        with pytest.raises(UserError):
            read_training([path])


def test_unhashable_values_are_only_values(tmp_path: Path) -> None:
    data = {"mixed_precision": "no", "deepspeed_config": {"gradient_clipping": [1], "x": {}}}
    read = read_training([write(tmp_path, json.dumps(data))])
    assert read.arguments["max_grad_norm"] == [1]
