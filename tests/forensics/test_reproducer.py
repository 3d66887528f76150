"""The script beside a bundle shows the failure with torch and Transformers alone, to the bit."""

import ast
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from fresh_process import HERE, environment
from replay_cases import CASES, Captured
from safetensors.torch import load_file, save_file

from stabsearch.capture.bundle import BATCH, Bundle, read_bundle
from stabsearch.capture.manifest import MANIFEST
from stabsearch.forensics.replay import Options, replay
from stabsearch.forensics.reproducer import reproducer

PROGRAM = """
import contextlib, io, json, runpy, sys
ran = []
for place, *options in json.load(sys.stdin):
    out, sys.argv = io.StringIO(), [place, *options]
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_path(place, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    ran.append([code, out.getvalue()])
json.dump(ran, sys.stdout)
"""


class Ran(NamedTuple):
    """What a script left behind."""

    code: int
    out: str

    @property
    def verdict(self) -> str:
        return self.out.rstrip("\n").rpartition("\n")[2]

    @property
    def loss_bits(self) -> list[str]:
        return [line.partition("(bits ")[2][:8] for line in self.out.split("\n") if line.startswith("loss ")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that makes sure that the scripts do not import us."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "stabsearch.py").write_text("raise ImportError('this script needs stabsearch')\n")
    return folder


EXTRA = {
    "initial": ("fp32", "--weights", "initial"),
    "bf16": ("fp16", "--precision", "bf16"),
    "pure in fp32": ("bf16-pure", "--precision", "fp32"),
    "initial in pure": ("llama", "--precision", "bf16-pure", "--weights", "initial"),
    "initial fp16": ("fp16", "--weights", "initial"),
    "data on initial weights": ("statistics", "--weights", "initial"),
}


def with_scale(bundle: Path, place: Path) -> Path:
    """Return a copy of a bundle in which the loss scale was beyond all reason."""
    folder = shutil.copytree(bundle, place)
    data = json.loads((folder / MANIFEST).read_text())
    data["numerics"]["loss_scale"] = 1e38
    (folder / MANIFEST).write_text(json.dumps(data))
    return folder


def with_statistics(bundle: Path, place: Path) -> Path:
    """Return a copy of a bundle with other running statistics before its first micro-batch."""
    folder = shutil.copytree(bundle, place)
    tensors = load_file(folder / BATCH)
    save_file({**tensors, "micro0.buffer.scale": tensors["micro0.buffer.scale"] * 2}, folder / BATCH)
    return folder


@pytest.fixture(scope="module")
def ran(captured: Captured, alone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Return what each script printed, in one process that knows the user's modules and not us."""
    scripts = {name: bundle / "reproduce.py" for name, bundle in captured.bundles.items()}
    commands = {name: [str(script)] for name, script in scripts.items()}
    commands |= {
        f"{name} changed": [str(scripts[case]), *options] for name, (case, *options) in EXTRA.items()
    }
    folder = tmp_path_factory.mktemp("changed")
    scaled = with_scale(captured.bundles["fp16"], folder / "scaled")
    moved = with_statistics(captured.bundles["statistics"], folder / "moved")
    commands["initial fp16 scaled"] = [str(scaled / "reproduce.py"), "--weights", "initial"]
    commands["statistics moved"] = [str(moved / "reproduce.py")]
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(list(commands.values())), capture_output=True, text=True, cwd="/",
        env=environment([alone, HERE]), check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return {name: Ran(*each) for name, each in zip(commands, json.loads(answer.stdout), strict=True)}


@pytest.mark.parametrize("name", list(CASES))
def test_the_failure_comes_back(captured: Captured, ran: dict[str, Ran], name: str) -> None:
    """Every loss in the same bits; an error as the same error."""
    manifest = read_bundle(captured.bundles[name]).manifest
    assert ran[name].code == 0, ran[name].out
    if manifest.bad.kind == "error":
        assert ran[name].verdict == "reproduced"
        assert manifest.bad.text.partition(" (")[0] in ran[name].out
    else:
        assert ran[name].verdict == "reproduced, every loss the same in all bits"
        assert ran[name].loss_bits == list(manifest.digest.loss_bits)


def test_one_thing_can_be_changed(ran: dict[str, Ran]) -> None:
    """Exit code 1 when the failure does not come back."""
    assert ran["initial changed"] == (1, ran["initial changed"].out)
    assert ran["initial changed"].verdict == "not reproduced"
    assert (ran["bf16 changed"].code, ran["bf16 changed"].verdict) == (1, "not reproduced")
    assert (ran["data on initial weights changed"].code, ran["data on initial weights changed"].verdict) == (
        0, "reproduced",
    )  # fmt: skip


def test_weights_are_in_the_dtype_that_a_precision_asks_for(captured: Captured, ran: dict[str, Ran]) -> None:
    """A pure half-precision step on float32 copies of its weights; and a float32 step in pure bfloat16,
    whose rotary frequencies stay in float32."""
    bits = list(read_bundle(captured.bundles["bf16-pure"]).manifest.digest.loss_bits)
    assert ran["pure in fp32 changed"].verdict.startswith("reproduced")
    assert ran["bf16-pure"].loss_bits == bits
    llama = read_bundle(captured.bundles["llama"])
    pure, mixed = (
        replay(llama, Options(precision=precision, weights="initial")).seen.digest.loss_bits
        for precision in ("bf16-pure", "bf16")
    )
    assert ran["initial in pure changed"].loss_bits == list(pure) != list(mixed)


def test_the_loss_scale_is_that_of_the_step(ran: dict[str, Ran]) -> None:
    """Gradients that are finite at one scale overflow at another."""
    assert (ran["initial fp16 changed"].code, ran["initial fp16 scaled"].code) == (1, 0)


def test_running_statistics_are_those_of_each_micro_batch(ran: dict[str, Ran]) -> None:
    """Stored for each of them: whatever changed them in between is part of the failure."""
    assert (ran["statistics moved"].code, ran["statistics moved"].verdict) == (0, "reproduced")


def test_it_can_stand_elsewhere(captured: Captured, alone: Path, tmp_path: Path) -> None:
    """Run as anybody would run it, from another folder: it finds the bundle."""
    place = tmp_path / "it's here" / "show.py"
    place.parent.mkdir()
    place.write_text(reproducer(read_bundle(captured.bundles["fp32"]), place))
    answer = subprocess.run(
        [sys.executable, place.name], cwd=place.parent, env=environment([alone]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith("reproduced, every loss the same in all bits\n")


def test_beside_the_bundle_it_can_be_moved_with_it(captured: Captured, tmp_path: Path) -> None:
    """A bundle is sent to somebody as a folder: no path of this machine is in its script."""
    folder = shutil.copytree(captured.bundles["fp32"], tmp_path / "copy")
    text = reproducer(read_bundle(folder), folder / "reproduce.py")
    assert str(tmp_path) not in text
    assert text == (captured.bundles["fp32"] / "reproduce.py").read_text()


@pytest.mark.parametrize("name", ["fp32", "statistics", "label out of range"])
def test_it_says_what_it_shows(captured: Captured, name: str) -> None:
    """In its first line: what, where, and in which rows."""
    bundle = read_bundle(captured.bundles[name])
    first = reproducer(bundle, bundle.folder / "reproduce.py").partition("\n")[0]
    assert first.startswith('"""Shows a training step that broke: ')
    assert f"at optimizer step {bundle.manifest.bad.step} (training rows " in first


PLANTED = 'nan"""\nimport os; os.mkdir("it_ran")\n"""\\'


@pytest.mark.parametrize(
    "change",
    [
        lambda m: {"bad": replace(m.bad, text=PLANTED)},
        lambda m: {"bad": replace(m.bad, kind="error", text=PLANTED)},
        lambda m: {"bad": replace(m.bad, kind=PLANTED)},
        lambda m: {"machine": {"torch": PLANTED, "transformers": PLANTED}},
        lambda m: {"trainer": replace(m.trainer, arguments={PLANTED: PLANTED})},
        lambda m: {"model": replace(m.model, attn_implementation=PLANTED)},
    ],
)  # type: ignore[misc]
def test_a_tampered_bundle_writes_no_code_into_it(captured: Captured, change) -> None:  # type: ignore[no-untyped-def]
    """Whatever the manifest says, the script's statements are ours."""
    bundle = read_bundle(captured.bundles["fp32"])
    clean = ast.parse(reproducer(bundle, bundle.folder / "reproduce.py"))
    tampered = Bundle(bundle.folder, replace(bundle.manifest, **change(bundle.manifest)))
    script = ast.parse(reproducer(tampered, bundle.folder / "reproduce.py"))
    assert [ast.dump(node) for node in script.body[1:]] == [ast.dump(node) for node in clean.body[1:]]


def test_it_needs_nothing_of_ours(captured: Captured) -> None:
    """It imports the standard library, torch, safetensors and Transformers."""
    for name in ("fp32", "statistics", "noisy embeddings"):
        tree = ast.parse((captured.bundles[name] / "reproduce.py").read_text())
        modules = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        packages = {module.partition(".")[0] for module in modules}
        assert packages - set(sys.stdlib_module_names) == {"torch", "safetensors", "transformers"}
