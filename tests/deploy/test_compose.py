"""compose.yaml: reachable from this machine only, whole after any start order, no secret in it."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from command_lines import unknown_options
from deploy_files import DOCKER, documents, interpolated, text

from stabsearch.config.load import load_sweep

[COMPOSE] = documents("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = {name: service for name, service in SERVICES.items() if "profiles" not in service}
SECRETS = {"POSTGRES_PASSWORD", "MLFLOW_PASSWORD", "STUDY_PASSWORD", "RAY_AUTH_TOKEN"}
SWEEP = DOCKER / "sweep" / "sweep.yaml"


def test_the_stack_is_what_a_sweep_needs() -> None:
    assert set(LASTING) == {"postgres", "mlflow", "ray-head", "ray-worker"}
    assert set(SERVICES) - set(LASTING) == {"sweep"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port
    assert "network_mode" not in SERVICES[name]


@pytest.mark.parametrize("name", LASTING)
def test_a_service_that_fails_is_started_again(name: str) -> None:
    """That is what makes every start order a good one, so nobody waits for anybody."""
    assert LASTING[name]["restart"] == "on-failure"
    assert "depends_on" not in LASTING[name]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_can_be_asked_whether_it_is_well(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert check["test"][1] == ("pg_isready" if name == "postgres" else "healthy")
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_postgres_is_asked_over_tcp() -> None:
    """While it makes the databases, it listens on its socket already, and stops once more."""
    assert "--host" in SERVICES["postgres"]["healthcheck"]["test"]


def test_a_sweep_is_sent_to_a_stack_that_is_well() -> None:
    waits = SERVICES["sweep"]["depends_on"]
    assert waits == {name: {"condition": "service_healthy"} for name in ("ray-head", "mlflow", "postgres")}
    assert SERVICES["sweep"]["restart"] == "no"


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "postgres"])
def test_own_containers_can_do_no_more_than_they_need(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[name]["init"] is True
    assert "privileged" not in SERVICES[name]
    assert "user" not in SERVICES[name]


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "postgres"])
def test_commands_and_options_exist_in_what_is_installed(name: str) -> None:
    assert unknown_options([interpolated(word, {}) for word in SERVICES[name]["command"]]) == set()


def test_an_option_that_does_not_exist_would_be_found() -> None:
    """The check of the test above can fail."""
    assert unknown_options(["ray", "start", "--head", "--dashbord-host=0.0.0.0"]) == {"--dashbord-host"}
    assert unknown_options(["stabsearch", "submit", "x.yaml", "--adress", "y"]) == {"--adress"}
    with pytest.raises(KeyError):
        unknown_options(["stabsearch", "summit"])


def test_every_secret_is_required_and_none_is_written_down() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?missing, run docker/new_secrets.sh\}", text("compose.yaml")))
    assert asked == SECRETS
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN", variable):
                assert value.startswith("${"), variable


def test_a_worker_is_given_no_password() -> None:
    """Trials run other people's code; the study and the tracker are the driver's."""
    assert set(SERVICES["ray-worker"]["environment"]) == {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}


@pytest.mark.parametrize("name", ["ray-head", "ray-worker", "sweep"])
def test_ray_lets_nobody_in_without_the_token(name: str) -> None:
    assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"


def test_the_example_names_every_variable() -> None:
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", text(".env.example"), flags=re.MULTILINE))
    used = set(re.findall(r"\$\{([A-Z_]+)", text("compose.yaml")))
    assert named == used


def test_the_example_states_the_defaults_of_the_compose_file() -> None:
    stated = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", text(".env.example"), flags=re.MULTILINE))
    real = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text("compose.yaml")))
    assert stated == real


def test_secrets_are_random_unreadable_for_others_and_made_once(tmp_path: Path) -> None:
    script = shutil.copy(DOCKER / "new_secrets.sh", tmp_path)
    subprocess.run(["sh", script], check=True, capture_output=True)
    target = tmp_path / ".env"
    first = dict(line.split("=") for line in target.read_text().splitlines())
    assert set(first) == SECRETS
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in first.values())
    assert len(set(first.values())) == len(SECRETS)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert dict(line.split("=") for line in target.read_text().splitlines()) == first


def test_git_and_the_builder_are_kept_from_the_secrets() -> None:
    assert ".env" in text(".gitignore").splitlines()
    ignored = (DOCKER.parent / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not any(line.startswith("!docker/.env") or line == "!docker" for line in ignored)


def test_mlflow_can_be_called_by_the_name_that_drivers_use() -> None:
    """It answers 403 to every other."""
    [hosts] = [w.split("=")[1] for w in SERVICES["mlflow"]["command"] if w.startswith("--allowed-hosts")]
    for name in ("ray-head", "sweep"):
        assert urlsplit(SERVICES[name]["environment"]["MLFLOW_TRACKING_URI"]).netloc in hosts.split(",")
    assert {"localhost:*", "127.0.0.1:*"} <= set(hosts.split(","))


def test_the_sweep_is_valid_and_finds_the_services() -> None:
    sweep = load_sweep(SWEEP).sweep
    assert sweep.tracking.uri == SERVICES["ray-head"]["environment"]["MLFLOW_TRACKING_URI"]
    study = urlsplit(sweep.study.storage or "")
    assert (study.username, study.password, study.hostname, study.path) == (
        "study",
        None,
        "postgres",
        "/study",
    )
    assert "CREATE DATABASE study OWNER study;" in text("postgres/databases.sh")
    assert any(volume == f"sweeps:{sweep.output_dir}" for volume in SERVICES["ray-worker"]["volumes"])


def test_the_object_store_fits_into_shared_memory() -> None:
    """What does not is put on the disk."""
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text("compose.yaml")))
    assert defaults["RAY_SHM_SIZE"] == "1gb"
    assert 78_643_200 <= int(defaults["RAY_OBJECT_STORE_BYTES"]) <= 2**30  # Ray's least, and all there is


def test_the_head_runs_drivers_and_no_trials() -> None:
    assert "--num-cpus=0" in SERVICES["ray-head"]["command"]


def test_nodes_get_the_time_to_end_their_trials() -> None:
    """Ray lets them run on for 30 s."""
    for name in ("ray-head", "ray-worker"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > 30


def test_with_a_gpu_only_the_workers_change() -> None:
    [gpu] = documents("compose.gpu.yaml")
    assert set(gpu["services"]) == {"ray-worker"}
    assert "whl/cpu" not in gpu["services"]["ray-worker"]["build"]["args"]["TORCH_INDEX_URL"]
