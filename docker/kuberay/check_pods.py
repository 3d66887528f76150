"""Check the pod templates inside KubeRay's resources against Kubernetes' own schema.

    python check_pods.py MANIFEST...

KubeRay's schema in schema/ leaves them open, and Kubernetes' validators know no RayJob.
"""

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import yaml


def pod_templates(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every pod template of a RayJob or RayCluster, with the path to it."""
    spec = resource["spec"]
    if resource["kind"] == "RayJob":
        if "submitterPodTemplate" in spec:
            yield "spec.submitterPodTemplate", spec["submitterPodTemplate"]
        spec = spec["rayClusterSpec"]
    yield "headGroupSpec.template", spec["headGroupSpec"]["template"]
    for group in spec["workerGroupSpecs"]:
        yield f"workerGroupSpecs[{group['groupName']}].template", group["template"]


def problems(resource: dict[str, Any]) -> Iterator[str]:
    """Yield a line for every pod template that Kubernetes would refuse."""
    version = kubernetes_validate.latest_version()
    for path, template in pod_templates(resource):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": template}
        try:
            kubernetes_validate.validate(pod, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{path} {list(error.path)}: {error.message}"


def main() -> None:
    """Print all problems of all manifests; exit 1 if there are any."""
    found = [
        f"{name}: {problem}"
        for name in sys.argv[1:]
        for resource in yaml.safe_load_all(pathlib.Path(name).read_text())
        for problem in problems(resource)
    ]
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main()
