"""The image: what goes in, in which version, and as whom it runs."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from deploy_files import DOCKER, ROOT, defaults, documents, stages, text
from packaging.requirements import Requirement
from packaging.version import Version

from stabsearch.version import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILES = ["Dockerfile", "Dockerfile.launcher"]


def _pins(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    pins = [line.split("==") for line in lines]
    assert len(pins) == len({name for name, _ in pins})
    return dict(pins)


LOCK, CONSTRAINTS = _pins(DOCKER / "lock.txt"), _pins(ROOT / "constraints.txt")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_whatever_runs_in_it_is_not_root(name: str) -> None:
    """By number: Kubernetes' `runAsNonRoot` refuses a user that it knows by name only."""
    user = stages(name)[-1].all("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_it_can_be_asked_whether_it_is_well() -> None:
    """Each container has a health check, also where no compose file gives one."""
    [check] = stages("Dockerfile")[-1].all("HEALTHCHECK")
    assert check.endswith('CMD ["healthy"]')
    assert any(copy.endswith("/usr/local/bin/healthy") for copy in stages("Dockerfile")[-1].all("COPY"))


def test_every_file_that_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    """.dockerignore lets nothing through by itself."""
    arguments = {**defaults("Dockerfile"), "LOCK": "docker/lock.txt"}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for copy in (copy for stage in stages("Dockerfile") for copy in stage.all("COPY")):
        if copy.startswith("--from"):
            continue
        copied |= {re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], source) for source in copy.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    assert copied == sent


def test_stages_copy_from_stages_that_there_are() -> None:
    """A stage that was renamed would otherwise be pulled as an image."""
    names = [stage.name for stage in stages("Dockerfile")]
    for i, stage in enumerate(stages("Dockerfile")):
        for copy in stage.all("COPY"):
            if copy.startswith("--from="):
                assert copy.split()[0].removeprefix("--from=") in names[:i]


def test_no_build_tool_and_no_package_manager_is_used_in_the_last_stage() -> None:
    """The last stage takes what the others made."""
    commands = " ".join(stages("Dockerfile")[-1].all("RUN"))
    assert not re.search(r"apt|pip install|gcc|git", commands)


@pytest.mark.parametrize("extra", [None, "cluster", "hub", "peft"])
def test_every_dependency_has_one_version_that_the_project_allows(extra: str | None) -> None:
    """And torch has its own in constraints.txt, the one that `make install` takes."""
    given = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, given):
        pins = CONSTRAINTS if requirement.name == "torch" else LOCK
        assert pins[requirement.name] in requirement.specifier, requirement
    assert "torch" not in LOCK


@pytest.mark.parametrize("name", ["ray", "optuna", "mlflow", "transformers", "pydantic"])
def test_the_image_is_not_a_major_version_behind_what_the_tests_run_with(name: str) -> None:
    """The tests run with the newest releases, which come without our doing; the image is pinned."""
    assert Version(LOCK[name]).major == Version(version(name)).major


def test_base_images_are_pinned_to_a_release() -> None:
    """Never `latest`, never a moving minor version."""
    compose = re.findall(r"POSTGRES_IMAGE:-([^}]+)", text("compose.yaml"))
    core = [
        line.split("image: ")[1]
        for line in text("kuberay/core.yaml").splitlines()
        if "image: postgres" in line
    ]
    for image in [defaults("Dockerfile")["PYTHON_IMAGE"], *compose, *core]:
        assert re.search(r":\d+\.\d+(\.\d+)?-\w+", image), image
    assert compose == core
    assert all(stage.base == "${PYTHON_IMAGE}" for stage in stages("Dockerfile"))


def test_its_python_is_one_that_the_project_is_tested_with() -> None:
    """A driver outside of the cluster has to have the same minor version."""
    [minor] = re.findall(r"^python:(\d+\.\d+)\.", defaults("Dockerfile")["PYTHON_IMAGE"])
    assert f"Programming Language :: Python :: {minor}" in PROJECT["classifiers"]


def test_it_is_called_by_the_version_of_stabsearch() -> None:
    """Everywhere the same tag."""
    files = [path for path in DOCKER.rglob("*") if path.is_file()] + [ROOT / "docs" / "containers.md"]
    tags = {
        tag
        for path in files
        for tag in re.findall(r"stabsearch:(\d[\w.]*)", path.read_text(encoding="utf-8"))
    }
    assert tags == {__version__}


def test_mount_points_belong_to_the_user_in_the_image() -> None:
    """Docker gives a fresh volume the owner of the folder below it; without one, it is root's."""
    [made] = [run for run in stages("Dockerfile")[-1].all("RUN") if "install -d" in run]
    [owned] = [set(command.split()[6:]) for command in made.split(" && ") if "install -d" in command]
    mounts: set[str] = set()
    for service in documents("compose.yaml")[0]["services"].values():
        if "postgres" not in service["image"].lower():
            named = [volume for volume in service["volumes"] if not volume.startswith("$")]
            mounts |= {volume.split(":")[1] for volume in named}
    assert mounts == owned


def test_login_shells_find_the_programs() -> None:
    """`ray up` starts everything in one, and /etc/profile forgets the image's PATH."""
    last = stages("Dockerfile")[-1]
    [path] = re.findall(r"PATH=(\S+?):\$PATH", " ".join(last.all("ENV")))
    assert f"echo 'PATH={path}:$PATH' > /etc/profile.d/venv.sh" in " ".join(last.all("RUN"))


def test_pruning_leaves_a_package_that_loads(tmp_path: Path) -> None:
    """Tests and headers go; what has `test` in its name, but is no test, stays."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    kept = ["torch/testing/__init__.py", "torch/bin/torch_shm_manager", "numpy/core.py", "ray/tune/tune.py"]
    gone = ["numpy/tests/test_core.py", "torch/test/data.py", "torch/include/a/b.h", "torch/bin/test_api",
            "torch/bin/protoc-3.13.0.0", "ray/jars/ray.jar", "torch/lib/libx.a"]  # fmt: skip
    for name in [*kept, *gone]:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).touch()
    subprocess.run(["sh", DOCKER / "prune.sh", tmp_path], check=True)
    assert {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()} == set(kept)
