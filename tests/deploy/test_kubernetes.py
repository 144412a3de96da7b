"""The manifests as they are rendered: valid against the official schemas, tight, and with no secret in them."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path

import pytest

from penstock.kube_release import KubeRelease, folder_files, limits, read_release, release_files
from penstock.release_config import RolloutConfig
from tests.manifests import DEPLOY, complaints, loose, needs_kubectl, pods, render

pytestmark = needs_kubectl
RELEASE = KubeRelease(
    project="flight_delays",
    version="flight_delays-v2",
    identity="5" * 64,
    image="registry.example.com/team/flight_delays",
    digest="sha256:" + "7" * 64,
)
CONFIG = RolloutConfig(steps=(10, 50), step_seconds=90, bake_seconds=600, max_error_rate=0.01)
FOLDERS = ("overlays/dev", "overlays/staging", "overlays/production", "argocd", "staging", "production")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> dict[str, list[dict]]:
    """Every folder, and a release of a project in both environments as Penstock writes it."""
    root = tmp_path_factory.mktemp("manifests") / "kubernetes"
    shutil.copytree(DEPLOY, root)
    found = {}
    for name in FOLDERS:
        folder = root / name
        if "/" not in name and name != "argocd":
            folder = root / "releases" / name / RELEASE.project
            for path, text in {
                **release_files(RELEASE, CONFIG),
                **folder_files(RELEASE.project, name, "../../.."),
            }.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
        found[name] = render(folder)
    return found


def one(objects: list[dict], kind: str, name: str) -> dict:
    return next(each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_rendered_is_valid_against_the_official_schemas(rendered, folder):
    said = {f"{each['kind']} {each['metadata']['name']}": complaints(each) for each in rendered[folder]}
    assert {name: why for name, why in said.items() if why} == {}
    assert len(said) == len(rendered[folder]) > 1


def test_the_schemas_would_say_so(rendered):
    """Each with one wrong key, deep inside."""
    model = rendered["production"]
    wrong = copy.deepcopy(one(model, "Rollout", "model"))
    wrong["spec"]["strategy"]["canary"]["steps"][0]["setWheight"] = 5
    assert any("setWheight" in each for each in complaints(wrong))
    wrong = copy.deepcopy(one(model, "Rollout", "model"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    assert any("readynessProbe" in each for each in complaints(wrong))
    wrong = copy.deepcopy(one(model, "AnalysisTemplate", "gate"))
    wrong["spec"]["metrics"][0]["provider"]["prometheus"]["querry"] = "up"
    assert any("querry" in each for each in complaints(wrong))
    wrong = copy.deepcopy(one(model, "ServiceMonitor", "model"))
    wrong["spec"]["endpoints"][0]["interval"] = 15
    assert complaints(wrong)
    wrong = copy.deepcopy(rendered["argocd"][0])
    wrong["spec"]["syncPolicy"]["automated"]["prune"] = "yes"
    assert complaints(wrong)
    wrong = copy.deepcopy(one(model, "HorizontalPodAutoscaler", "model"))
    wrong["spec"]["minReplica"] = 1
    assert complaints(wrong)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_container_may_do_more_than_it_has_to(rendered, folder):
    makers = [each for each in rendered[folder] if pods(each)]
    assert bool(makers) == (folder != "argocd")
    for each in makers:
        assert loose(pods(each)) == [], each["metadata"]["name"]
        for container in pods(each)["containers"]:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), container["name"]


def test_the_policy_would_say_so(rendered):
    pod = copy.deepcopy(pods(one(rendered["production"], "Rollout", "model")))
    container = pod["containers"][0]
    pod["securityContext"]["runAsUser"] = 0
    container["securityContext"]["readOnlyRootFilesystem"] = False
    container["image"], container["resources"] = "registry.example.com:5000/model", {}
    assert len(loose(pod)) == 5


def test_flow_runs_are_as_tight_as_the_rest():
    """The job that the worker makes of a flow run is not among what is rendered."""
    template = json.loads((DEPLOY / "platform" / "base-job-template.json").read_text())
    job = template["job_configuration"]["job_manifest"]
    values = {name: each.get("default") for name, each in template["variables"]["properties"].items()}
    text = re.sub(r'"\{\{ (\w+) \}\}"', lambda found: json.dumps(values[found[1]]), json.dumps(job))
    job = json.loads(text.replace("PENSTOCK_IMAGE", "registry.example.com/penstock:0.1.0"))
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert loose(job["spec"]["template"]["spec"]) == []
    assert container["image"] == "registry.example.com/penstock:0.1.0"


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_secret_is_in_a_manifest(rendered, folder):
    assert not any(each["kind"] == "Secret" for each in rendered[folder])
    for each in rendered[folder]:
        for container in (pods(each) or {"containers": []})["containers"]:
            for variable in container.get("env", []):
                if re.search(r"KEY|PASSWORD|TOKEN|CONNECTION_URL|STORE_URI", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], variable["name"]
    assert not re.search(r"postgresql[+\w]*://\w+:\w+@", json.dumps(rendered[folder]))


def test_staging_and_production_have_no_database_of_their_own(rendered):
    kinds = {name: {each["kind"] for each in rendered[f"overlays/{name}"]} for name in ("dev", "staging", "production")}
    assert ["StatefulSet" in kinds[name] for name in ("dev", "staging", "production")] == [True, False, False]


def test_everything_that_serves_is_behind_a_network_policy(rendered):
    for folder in ("overlays/production", "production"):
        policies = [each["spec"]["podSelector"] for each in rendered[folder] if each["kind"] == "NetworkPolicy"]
        names = {each.get("matchLabels", {}).get("app.kubernetes.io/name") for each in policies}
        services = {
            each["spec"]["selector"]["app.kubernetes.io/name"] for each in rendered[folder] if each["kind"] == "Service"
        }
        assert services <= names


def test_a_release_is_in_the_rollout_by_digest_and_by_label_and_not_in_what_selects(rendered):
    rollout = one(rendered["production"], "Rollout", "model")
    container = pods(rollout)["containers"][0]
    assert container["image"] == f"{RELEASE.image}@{RELEASE.digest}"
    labels = rollout["spec"]["template"]["metadata"]["labels"]
    assert labels["penstock.dev/version"] == RELEASE.version
    assert labels["penstock.dev/project"] == RELEASE.project
    assert rollout["metadata"]["annotations"]["penstock.dev/identity"] == RELEASE.identity
    chosen = [rollout["spec"]["selector"]["matchLabels"]]
    chosen += [each["spec"]["selector"] for each in rendered["production"] if each["kind"] == "Service"]
    assert all(set(each) == {"app.kubernetes.io/name"} for each in chosen)
    assert {each["metadata"].get("namespace") for each in rendered["production"] if each["kind"] != "Namespace"} == {
        "flight-delays-production"
    }
    assert read_release((release_files(RELEASE, CONFIG))["release/kustomization.yaml"]) == RELEASE


def test_the_steps_are_the_project_s_and_each_ends_with_an_analysis(rendered):
    canary = one(rendered["production"], "Rollout", "model")["spec"]["strategy"]["canary"]
    weights = [step["setWeight"] for step in canary["steps"] if "setWeight" in step]
    pauses = [step["pause"]["duration"] for step in canary["steps"] if "pause" in step]
    asked = [
        [each["templateName"] for each in step["analysis"]["templates"]]
        for step in canary["steps"]
        if "analysis" in step
    ]
    assert (weights, pauses) == ([10, 50, 100], ["90s", "90s", "600s"])
    assert asked == [["gate"], ["gate"], ["gate-alone", "healthy"]]
    assert canary["maxSurge"] and canary["stableService"] == "model-stable"  # the base's, beside what Penstock writes
    given = {each["name"]: each.get("value") for each in canary["analysis"]["args"]}
    assert given["max-error-rate"] == "0.01" and given["max-errors-healthy"] == "0.02"


def test_the_templates_take_every_argument_and_default_to_the_config_s_defaults(rendered):
    templates = [each for each in rendered["production"] if each["kind"] == "AnalysisTemplate"]
    default = limits(RolloutConfig())
    assert len(templates) == 4
    for each in templates:
        known = {arg["name"]: arg.get("value") for arg in each["spec"]["args"]}
        given = {arg["name"] for arg in one(rendered["production"], "Rollout", "model")["spec"]["strategy"]["canary"][
            "analysis"]["args"]}  # fmt: skip
        assert given <= known.keys()
        assert {name: known[name] for name in default} == default
        used = set(re.findall(r"\{\{args\.([\w-]+)\}\}", json.dumps(each["spec"]["metrics"])))
        assert used <= known.keys()


def test_the_image_of_flow_runs_is_the_one_that_the_overlay_names(rendered):
    worker = pods(one(rendered["overlays/production"], "Deployment", "prefect-worker"))["containers"][0]
    server = pods(one(rendered["overlays/production"], "Deployment", "mlflow"))["containers"][0]
    assert next(each["value"] for each in worker["env"] if each["name"] == "IMAGE") == server["image"]
    assert Path(DEPLOY / "platform" / "base-job-template.json").read_text().count("PENSTOCK_IMAGE") == 1
