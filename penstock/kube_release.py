"""A release as the cluster is told of it: the files of a kustomize folder, as text. Pure.

A project's folder has a `kustomization.yaml` that is made once and is the team's from then on, and a folder
`release/`, a component that Penstock writes whole for each release: image by digest, labels, the steps of the rollout
and its limits.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from penstock.refs import Value
from penstock.release_config import RolloutConfig
from penstock.verdict import PARTS, tolerated

DOMAIN = "penstock.dev"
SCRAPE_SECONDS = 15  # model/monitor.yaml: at most one look a scrape is a new one
MINE = "# Written by Penstock for each release; what is changed here is lost.\n"
YOURS = "# {project} in {environment}. Yours to change; Penstock writes the folder release/ beside it.\n"
ARMS: list[dict[str, Any]] = [
    {"name": "canary", "valueFrom": {"podTemplateHashValue": "Latest"}},
    {"name": "stable", "valueFrom": {"podTemplateHashValue": "Stable"}},
]


class KubeRelease(Value):
    """What a folder names: ``image`` is a repository without tag, ``digest`` that of its manifest in the registry."""

    project: str
    version: str
    identity: str
    image: str
    digest: str


def release_files(release: KubeRelease, config: RolloutConfig) -> dict[str, str]:
    """{path below the project's folder: text} of what is written for each release."""
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "images": [{"name": "model", "newName": release.image, "digest": release.digest}],
        "labels": [
            {
                "pairs": {f"{DOMAIN}/project": release.project, f"{DOMAIN}/version": release.version},
                "fields": [{"path": "spec/template/metadata/labels", "kind": "Rollout", "create": True}],
            }
        ],
        # a label's value is shorter than an identity
        "commonAnnotations": {f"{DOMAIN}/identity": release.identity},
        "patches": [{"path": "rollout.yaml"}],
    }
    return {
        "release/kustomization.yaml": MINE + _yaml(component),
        "release/rollout.yaml": MINE + _yaml(_rollout(config)),
    }


def folder_files(project: str, environment: str, up: str) -> dict[str, str]:
    """{path: text} of what is made once. ``up``: the way from the folder to the one that has `model-<environment>`."""
    namespace = f"{project.replace('_', '-')}-{environment}"
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": ["namespace.yaml", f"{up}/model-{environment}"],
        "components": ["release"],
    }
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    head = YOURS.format(project=project, environment=environment)
    return {"kustomization.yaml": head + _yaml(kustomization), "namespace.yaml": head + _yaml(made)}


def read_release(text: str) -> KubeRelease | None:
    """The release of a `release/kustomization.yaml`; None if it is not one that Penstock wrote."""
    try:
        tree = yaml.safe_load(text)
        image, pairs = tree["images"][0], tree["labels"][0]["pairs"]
        return KubeRelease(
            project=pairs[f"{DOMAIN}/project"],
            version=pairs[f"{DOMAIN}/version"],
            identity=tree["commonAnnotations"][f"{DOMAIN}/identity"],
            image=image["newName"],
            digest=image["digest"],
        )
    except (yaml.YAMLError, LookupError, TypeError, ValueError):
        return None


def limits(config: RolloutConfig) -> dict[str, str]:
    """The arguments of the AnalysisTemplates (`deploy/kubernetes/model/analysis.yaml`) that a project's YAML decides.

    ``evidence`` is a union bound as in `penstock.verdict`: one of alpha's parts, over every look there can be;
    ``evidence-once`` is for what is looked at once.
    """
    seconds = config.step_seconds * len(config.steps) + config.bake_seconds
    window = math.ceil((2 * seconds + 600) / 60) * 60  # pods start, and a person may let a held rollout go on
    return {
        "window": f"{window // 60}m",
        "evidence": f"{math.log(PARTS * window / SCRAPE_SECONDS / config.alpha):.2f}",
        "evidence-once": f"{math.log(PARTS / config.alpha):.2f}",
        "min-requests": str(config.min_requests),
        "max-error-rate": f"{config.max_error_rate:g}",
        "max-errors-healthy": f"{tolerated(config):g}",
        "max-slow-share": f"{config.max_slow_share:g}",
        "latency-factor": f"{config.latency_factor:g}",
        "latency-slack-seconds": f"{config.latency_slack_ms / 1000:g}",
    }


def _rollout(config: RolloutConfig) -> dict[str, Any]:
    args = [*ARMS, *({"name": name, "value": value} for name, value in limits(config).items())]
    steps: list[dict[str, Any]] = []
    for weight in (*config.steps, 100):
        last = weight == 100
        seconds = math.ceil(config.bake_seconds if last else config.step_seconds)
        asked = ("gate-alone", "healthy") if last else ("gate",)
        steps += [
            {"setWeight": weight},
            {"pause": {"duration": f"{seconds}s"}},
            {"analysis": {"templates": [{"templateName": name} for name in asked], "args": args}},
        ]
    canary = {"analysis": {"templates": [{"templateName": "watch"}], "args": args}, "steps": steps}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "model"},
        "spec": {"strategy": {"canary": canary}},
    }


class _Plain(yaml.SafeDumper):
    """Without anchors: a person reads the diff."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(tree: dict[str, Any]) -> str:
    text: str = yaml.dump(tree, Dumper=_Plain, sort_keys=False, width=120)
    return text
