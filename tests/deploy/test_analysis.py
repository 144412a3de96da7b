"""The AnalysisTemplates' queries, asked of a real Prometheus that holds series as the service exports them.

The series are made by the service's own `bentos/metrics.py`, and written into Prometheus's storage by `promtool`. What
Argo Rollouts makes of an answer is its rule, written here once more (`phase`): failure condition, success condition, or
else inconclusive. Argo Rollouts itself does not run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tasks.platform import ports
from tests.manifests import DEPLOY
from tests.prometheus_server import Asked, needs_prometheus

pytestmark = needs_prometheus
TEMPLATES = {
    each["metadata"]["name"]: each["spec"]
    for each in yaml.safe_load_all((DEPLOY / "model" / "analysis.yaml").read_text())
}
MINUTES = 20  # of history, at a sample each 15 s
SERVICE = """
import json, sys
from bentos import metrics
for status, seconds, count in json.loads(sys.argv[1])["requests"]:
    for _ in range(count):
        metrics.answered("predict", status, seconds)
        metrics.ROWS.inc()
told = json.loads(sys.argv[1])
for _ in range(told.get("unknown", 0)): metrics.UNKNOWN.labels("carrier").inc()
for _ in range(told.get("refused", 0)): metrics.REFUSED.labels("schema").inc()
for _ in range(told.get("not_finite", 0)): metrics.NOT_FINITE.inc()
print(metrics.page()[0].decode())
"""
# (status, seconds, how many); what each release of these answered
ARMS = {
    "stable": {"requests": [(200, 0.008, 1990), (500, 0.008, 10)], "unknown": 20, "refused": 20},
    "good": {"requests": [(200, 0.009, 996), (500, 0.009, 4)], "unknown": 10, "refused": 8},
    "failing": {"requests": [(200, 0.009, 900), (500, 0.009, 100)], "refused": 10},
    "few": {"requests": [(200, 0.009, 40)]},
    "unsure": {"requests": [(200, 0.009, 145), (500, 0.009, 5)], "refused": 1},
    "slow": {"requests": [(200, 0.009, 500), (200, 0.7, 500)], "refused": 5},
    "refusing": {"requests": [(200, 0.009, 500), (422, 0.009, 500)], "refused": 500},
    "strange": {"requests": [(200, 0.009, 1000)], "unknown": 300},
    "infinite": {"requests": [(200, 0.009, 970), (500, 0.009, 30)], "not_finite": 30},
}


def exported(told: dict) -> str:
    command = [sys.executable, "-c", SERVICE, json.dumps(told)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def history(pages: dict[str, str], end: int) -> str:
    """OpenMetrics: every counter grows evenly to what its page says. A label of the series begins to be there once it
    counts, as the service's do: the first sample of an error is not 0."""
    lines: dict[str, list[str]] = {}
    for name, page in pages.items():
        for family in text_string_to_metric_families(page):
            if family.type not in ("counter", "histogram") or not family.name.startswith("penstock_"):
                continue
            found = lines.setdefault(family.name, [f"# TYPE {family.name} {family.type}"])
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                labels = ",".join(
                    f'{key}="{value}"' for key, value in {**sample.labels, "rollouts_pod_template_hash": name}.items()
                )
                for number in range(1, 4 * MINUTES + 1):
                    value = int(sample.value * number / (4 * MINUTES))
                    if value or not sample.labels.get("status", "200").startswith("5"):
                        found.append(f"{sample.name}{{{labels}}} {value} {end - 15 * (4 * MINUTES - number)}")
    return "\n".join("\n".join(each) for each in lines.values()) + "\n# EOF\n"


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("analysis")
    end = int(time.time()) - 30
    (folder / "series").write_text(history({name: exported(told) for name, told in ARMS.items()}, end))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "series"), str(folder / "data")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    (folder / "prometheus.yml").write_text("global: {}\n")
    port = ports.free(0)
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield Asked(f"http://127.0.0.1:{port}"), end
    finally:
        process.terminate()
        process.wait(30)


def phases(asked, template: str, canary: str, stable: str = "stable") -> dict[str, str]:
    """{metric: what Argo Rollouts would call the measurement}."""
    prometheus, end = asked
    spec = TEMPLATES[template]
    values = {each["name"]: each.get("value") for each in spec["args"]} | {"canary": canary, "stable": stable}
    text = re.sub(
        r"\{\{args\.([\w-]+)\}\}", lambda found: values[found[1]].replace('"', r"\""), json.dumps(spec["metrics"])
    )
    found = {}
    for metric in json.loads(text):
        query = metric["provider"]["prometheus"]["query"]
        answer = prometheus.get("query", query=query, time=str(end))["result"]
        found[metric["name"]] = phase(metric, [float(each["value"][1]) for each in answer])
    return found


def phase(metric: dict, result: list[float]) -> str:
    """Argo Rollouts' rule (`utils/evaluate`): failure goes first, and with both conditions neither is inconclusive."""

    def holds(name: str) -> bool | None:
        text = metric.get(name)
        if text is None:
            return None
        text = text.replace("&&", " and ").replace("false", "False")
        return bool(eval(text, {"__builtins__": {}, "len": len}, {"result": result}))

    success, failure = holds("successCondition"), holds("failureCondition")
    if failure:
        return "Failed"
    if success is None:
        return "Successful"
    return "Successful" if success else "Inconclusive"


def ends(found: dict[str, str]) -> dict[str, str]:
    """What is not well."""
    return {name: end for name, end in found.items() if end != "Successful"}


def test_a_release_like_the_old_one_passes_everything(asked):
    for template in TEMPLATES:
        found = phases(asked, template, "good")
        assert set(found.values()) == {"Successful"}, (template, found)


def test_one_that_fails_requests_is_failed_and_one_that_is_slow(asked):
    assert phases(asked, "watch", "failing") == {"errors": "Failed", "slow": "Successful"}
    assert phases(asked, "watch", "slow") == {"errors": "Successful", "slow": "Failed"}


def test_what_may_be_chance_is_held_not_failed(asked):
    """Five of 150, where 2 % are allowed: beyond the limit as measured, and not beyond doubt."""
    assert set(phases(asked, "watch", "unsure").values()) == {"Successful"}
    assert ends(phases(asked, "gate", "unsure")) == {"errors": "Inconclusive"}
    assert ends(phases(asked, "healthy", "unsure")) == {"errors-excluded": "Inconclusive"}


def test_errors_that_the_old_release_has_as_well_do_not_fail_the_new_one(asked):
    assert phases(asked, "watch", "failing", stable="failing")["errors"] == "Successful"
    assert ends(phases(asked, "gate", "failing", stable="failing"))["errors"] == "Inconclusive"


def test_too_few_requests_are_held(asked):
    assert ends(phases(asked, "gate", "few")) == {"requests": "Inconclusive"}
    assert ends(phases(asked, "healthy", "few")) == {"errors-excluded": "Inconclusive"}
    assert ends(phases(asked, "gate", "good", stable="few")) == {"champion-requests": "Inconclusive"}


def test_no_data_are_held_everywhere_and_never_a_pass(asked):
    for template in ("gate", "gate-alone", "healthy"):
        found = phases(asked, template, "nobody", stable="no one")
        assert set(found.values()) == {"Inconclusive"}, found
    assert phases(asked, "gate", "good", stable="nobody")["champion-requests"] == "Inconclusive"
    assert phases(asked, "gate", "good", stable="nobody")["slow"] == "Inconclusive"
    assert set(phases(asked, "watch", "nobody").values()) == {"Successful"}  # the gates demand data, this ends early


def test_what_only_the_service_can_tell_is_held(asked):
    assert ends(phases(asked, "gate", "refusing")) == {"refused": "Inconclusive"}
    assert ends(phases(asked, "gate", "strange")) == {"unknown": "Inconclusive"}
    assert ends(phases(asked, "gate-alone", "infinite")) == {"errors": "Inconclusive", "not-finite": "Inconclusive"}


def test_every_series_that_is_asked_for_is_one_that_the_service_exports():
    page = exported(ARMS["infinite"] | {"unknown": 1, "refused": 1})
    known = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    asked_for = set(re.findall(r"\bpenstock_\w+", json.dumps(TEMPLATES)))
    assert asked_for - known == set()
    assert len(asked_for) >= 6
