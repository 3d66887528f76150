"""Make this folder's schemas from KubeRay's own definitions of its resources.

    python derive.py CRD.yaml OUTPUT.json

CRD.yaml is helm-chart/kuberay-operator/crds/ray.io_{rayjobs,rayclusters}.yaml of ray-project/kuberay. Pod
templates, nine tenths of it, are left out: they are Kubernetes' own, and checked against Kubernetes' schema.
"""

import json
import pathlib
import sys
from typing import Any

import yaml

SOURCE = "Derived from ray-project/kuberay v1.7.0, Copyright The KubeRay Authors, Apache-2.0; see README.md"
POD_TEMPLATES = {"template", "submitterPodTemplate"}
KEPT_OPEN = {"metadata"}  # Kubernetes' own too


def closed(schema: Any, name: str = "") -> Any:
    """Return a schema that refuses unknown keys, as the API server does, with pod templates left open."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if name in POD_TEMPLATES | KEPT_OPEN and schema.get("type") == "object":
        return {"type": "object"}
    kept = {key: closed(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if "properties" in schema:
        kept["properties"] = {key: closed(value, key) for key, value in schema["properties"].items()}
        kept.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        kept["type"] = ["integer", "string"]
    return kept


def main() -> None:
    """Write the schema of version v1."""
    source, target = map(pathlib.Path, sys.argv[1:])
    definition = yaml.safe_load(source.read_text())["spec"]
    [schema] = [v["schema"]["openAPIV3Schema"] for v in definition["versions"] if v["name"] == "v1"]
    found = closed(schema)
    found["properties"]["apiVersion"] = {"const": "ray.io/v1"}
    found["properties"]["kind"] = {"const": definition["names"]["kind"]}
    found["required"] = ["apiVersion", "kind", "metadata", "spec"]
    found["properties"].pop("status")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": SOURCE}
    target.write_text(json.dumps(head | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
