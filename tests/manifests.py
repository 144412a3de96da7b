"""Renders the manifests with `kubectl kustomize`, and holds what comes out to the official schemas.

Core kinds: the package kubernetes-validate, strictly. Custom resources: the schemas in `tests/schemas`, whose objects
are closed here: a misspelt key is an error, where an API server would drop it.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"
SCHEMAS = Path(__file__).resolve().parent / "schemas"
CUSTOM = {"argoproj.io/v1alpha1", "monitoring.coreos.com/v1"}
KUBERNETES = "1.32"
needs_kubectl = pytest.mark.skipif(
    not shutil.which("kubectl"), reason="skipped: no `kubectl` here, which renders the kustomize folders"
)


def render(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def complaints(found: dict[str, Any]) -> list[str]:
    """What its official schema says against an object."""
    import kubernetes_validate

    if found["apiVersion"] not in CUSTOM:
        try:
            kubernetes_validate.validate(found, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            return [f"{error.path}: {error.message}"]
        return []
    said = [
        f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator(found["kind"]).iter_errors(found)
    ]
    if found["kind"] == "Rollout":  # its pods are pods: as strictly as those of a Deployment
        spec = {key: found["spec"][key] for key in ("selector", "template")}
        said += complaints({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec})
    return said


@functools.cache
def validator(kind: str) -> Any:
    from jsonschema import Draft7Validator

    return Draft7Validator(_closed(json.loads((SCHEMAS / f"{kind.lower()}.json").read_text())))


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:  # of metadata, which is the API's own
        return {"type": "object"}
    found = {key: _closed(value) if key != "required" else value for key, value in schema.items()}
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not keeps:
        found["additionalProperties"] = False
    return found


def pods(found: dict[str, Any]) -> dict[str, Any] | None:
    """The pod spec of whatever makes pods."""
    template = found.get("spec", {}).get("template")
    return template["spec"] if isinstance(template, dict) and "containers" in template.get("spec", {}) else None


def loose(pod: dict[str, Any]) -> list[str]:
    """What a pod's containers may do that they should not, or lack."""
    said, whole = [], pod.get("securityContext", {})
    if not whole.get("runAsNonRoot") or not whole.get("runAsUser"):
        said.append("may run as root")
    if whole.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        said.append("has no seccomp profile")
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        said += [name] if pod.get(name) else []
    said += ["mounts the host"] if any("hostPath" in each for each in pod.get("volumes", [])) else []
    for one in [*pod["containers"], *pod.get("initContainers", [])]:
        own, resources = one.get("securityContext", {}), one.get("resources", {})
        checks = {
            "writes its root": own.get("readOnlyRootFilesystem") is True,
            "may gain privileges": own.get("allowPrivilegeEscalation") is False,
            "keeps capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "overrides the user": not {"runAsUser", "runAsNonRoot", "privileged"} & own.keys(),
            "has no limits": {"cpu", "memory"} <= resources.get("limits", {}).keys(),
            "has no requests": {"cpu", "memory"} <= resources.get("requests", {}).keys(),
            "has no tag or digest": _pinned(one["image"]),
        }
        said += [f"{one['name']} {what}" for what, well in checks.items() if not well]
    return said


def _pinned(image: str) -> bool:
    name = image.rpartition("/")[2]
    return "@sha256:" in image or (":" in name and not name.endswith(":latest"))
