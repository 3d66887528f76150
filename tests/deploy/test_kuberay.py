"""The Kubernetes manifests: what KubeRay's operator asks for, and what ties them together."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_lines import unknown_options
from deploy_files import DOCKER, documents, text
from packaging.version import Version

from stabsearch.config import Sweep
from stabsearch.config.document import parse

CORE = {(doc["kind"], doc["metadata"]["name"]): doc for doc in documents("kuberay/core.yaml")}
[JOB], [CLUSTER] = documents("kuberay/rayjob.yaml"), documents("kuberay/raycluster.yaml")
CLUSTERS = {"rayjob": JOB["spec"]["rayClusterSpec"], "raycluster": CLUSTER["spec"]}
SCRIPTS = CORE["ConfigMap", "stabsearch-sweep"]["data"]


def _pods() -> dict[str, dict[str, Any]]:
    """Return the specification of every pod."""
    found = {"submitter": JOB["spec"]["submitterPodTemplate"]["spec"]}
    for name, cluster in CLUSTERS.items():
        found[f"{name} head"] = cluster["headGroupSpec"]["template"]["spec"]
        for group in cluster["workerGroupSpecs"]:
            found[f"{name} {group['groupName']}"] = group["template"]["spec"]
    for kind, name in [("StatefulSet", "postgres"), ("Deployment", "mlflow")]:
        found[name] = CORE[kind, name]["spec"]["template"]["spec"]
    return found


PODS = _pods()


def _schema(name: str) -> dict[str, Any]:
    return json.loads(text(f"kuberay/schema/{name}.json"))


@pytest.mark.parametrize("name", ["rayjob", "raycluster"])
def test_kuberay_knows_every_field(name: str) -> None:
    [document] = documents(f"kuberay/{name}.yaml")
    jsonschema.validate(document, _schema(name))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "backoffLimits"], 3),
        (["spec", "rayClusterSpec", "authOptions", "mode"], "tokens"),
        (["spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"], "many"),
        (["kind"], "RayCluster"),
    ],
)
def test_a_slip_would_be_found(path: list[Any], value: object) -> None:
    """The schema that the manifests are checked with is no rubber stamp."""
    [document] = documents("kuberay/rayjob.yaml")
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, _schema("rayjob"))


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_is_the_version_in_the_image(name: str) -> None:
    """KubeRay chooses health checks and start options by it."""
    assert f"ray=={CLUSTERS[name]['rayVersion']}" in text("lock.txt").splitlines()


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_operator_accepts_the_cluster(name: str) -> None:
    """What it checks beyond the schema (KubeRay 1.7, controllers/ray/utils/validation.go)."""
    cluster = CLUSTERS[name]
    assert cluster["authOptions"]["mode"] == "token"
    assert Version(cluster["rayVersion"]) >= Version("2.52.0")
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["headGroupSpec"]["template"]["spec"]["restartPolicy"] == "Never"
    for group in cluster["workerGroupSpecs"]:
        assert group["template"]["spec"]["restartPolicy"] == "Never"
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_operator_accepts_the_job() -> None:
    spec = JOB["spec"]
    assert spec["ttlSecondsAfterFinished"] >= 0
    assert spec["shutdownAfterJobFinishes"] is True  # without it no time to live is allowed
    assert spec["backoffLimit"] > 0
    assert spec["activeDeadlineSeconds"] > 0
    assert "clusterSelector" not in spec  # does not go with a backoffLimit
    assert spec["submissionMode"] == "K8sJobMode"  # the one that allows a submitterPodTemplate
    for document in (JOB, CLUSTER):
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,46}", document["metadata"]["name"])


def test_the_entry_point_survives_two_shells() -> None:
    """KubeRay puts it unquoted into a script, whose words Ray joins into another."""
    assert re.fullmatch(r"[\w./ -]+", JOB["spec"]["entrypoint"])
    mounts = PODS["rayjob head"]["containers"][0]["volumeMounts"]
    [folder] = [mount["mountPath"] for mount in mounts if mount["name"] == "sweep"]
    assert shlex.split(JOB["spec"]["entrypoint"]) == ["sh", f"{folder}/run.sh"]
    assert set(SCRIPTS) == {"run.sh", "sweep.yaml"}


@pytest.mark.parametrize(("code", "told"), [(0, 0), (1, 0), (2, 2), (130, 130), (137, 137)])
def test_a_verdict_is_no_failed_job(code: int, told: int, tmp_path: Path) -> None:
    """Exit code 1 is an answer; a job that fails is run again on a new cluster."""
    program = tmp_path / "stabsearch"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {code}\n')
    program.chmod(0o755)
    script = tmp_path / "run.sh"
    script.write_text(SCRIPTS["run.sh"])
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(["sh", script], env=environment, check=False).returncode == told
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["run", "/etc/stabsearch/sweep.yaml", "--address", "auto"]
    assert unknown_options(["stabsearch", *asked]) == set()


def test_the_sweep_is_valid_and_finds_the_services() -> None:
    sweep = Sweep.model_validate(parse(SCRIPTS["sweep.yaml"]).data)
    assert sweep.tracking.uri == "http://mlflow:5000"
    assert sweep.study.storage == "postgresql+psycopg2://study@postgres/study"
    assert ("Service", "mlflow") in CORE
    assert ("Service", "postgres") in CORE
    for name in ("rayjob head", "rayjob spot"):
        mounts = {mount["mountPath"] for mount in PODS[name]["containers"][0]["volumeMounts"]}
        assert sweep.output_dir in mounts


def test_databases_are_made_as_in_the_compose_file() -> None:
    assert CORE["ConfigMap", "stabsearch-databases"]["data"]["databases.sh"] == text("postgres/databases.sh")


def test_mlflow_is_started_as_in_the_compose_file() -> None:
    [container] = PODS["mlflow"]["containers"]
    assert container["command"] == documents("compose.yaml")[0]["services"]["mlflow"]["command"]


@pytest.mark.parametrize("name", PODS)
def test_no_pod_is_root_or_can_become_it(name: str) -> None:
    """The restricted profile of Kubernetes' pod security standards."""
    context = PODS[name]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["fsGroup"] == (999 if name == "postgres" else 1000)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in PODS[name]["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", PODS)
def test_every_pod_says_what_it_needs(name: str) -> None:
    for container in PODS[name]["containers"]:
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", PODS)
def test_claims_config_maps_and_secrets_are_those_of_the_core(name: str) -> None:
    made = set(re.findall(r"--from-literal=([\w-]+)=", text("kuberay/core.yaml")))
    for volume in PODS[name].get("volumes", []):
        if "persistentVolumeClaim" in volume:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in CORE
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in CORE
    for container in PODS[name]["containers"]:
        for variable in container.get("env", []):
            if re.search("PASSWORD|TOKEN", variable["name"]):
                source = variable["valueFrom"]["secretKeyRef"]
                assert source["name"] == "stabsearch-passwords"
                assert source["key"] in made


@pytest.mark.parametrize("name", CLUSTERS)
def test_trials_run_on_spot_nodes_and_the_driver_does_not(name: str) -> None:
    label = "karpenter.sh/capacity-type"
    assert PODS[f"{name} head"]["nodeSelector"] == {label: "on-demand"}
    assert CLUSTERS[name]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    worker = PODS[f"{name} spot"]
    assert worker["nodeSelector"] == {label: "spot"}
    assert worker["tolerations"][0]["value"] == "spot"
    assert worker["terminationGracePeriodSeconds"] > 30
    assert not any(variable["name"] == "PGPASSWORD" for variable in worker["containers"][0].get("env", []))


@pytest.mark.parametrize("name", ["postgres", "mlflow"])
def test_servers_are_asked_whether_they_are_well(name: str) -> None:
    [container] = PODS[name]["containers"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][0] == ("pg_isready" if name == "postgres" else "healthy")


def test_services_find_their_pods() -> None:
    for name, kind in [("postgres", "StatefulSet"), ("mlflow", "Deployment")]:
        labels = CORE[kind, name]["spec"]["template"]["metadata"]["labels"]
        assert CORE["Service", name]["spec"]["selector"] == labels
        assert CORE[kind, name]["spec"]["selector"]["matchLabels"] == labels


def test_the_folder_of_sweeps_can_be_written_by_all_nodes() -> None:
    claim = CORE["PersistentVolumeClaim", "stabsearch-sweeps"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_schemas_say_where_they_come_from() -> None:
    readme = (DOCKER / "kuberay" / "schema" / "README.md").read_text(encoding="utf-8")
    for name in ("rayjob", "raycluster"):
        assert "ray-project/kuberay v1.7.0" in _schema(name)["$comment"]
        assert "Apache-2.0" in _schema(name)["$comment"]
    assert "tag v1.7.0" in readme
