"""The metrics of a checkout that serves: what is at which path, what a damaged file takes away, and what is kept."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.tiny import serves
from penstock.desired import Route
from penstock.label_config import LabelsConfig
from penstock.label_coverage import Coverage
from penstock.live_metrics import WindowScore
from tasks.data.project import load_project
from tasks.monitoring import score_store
from tasks.monitoring.exposed import METRICS, Sample, families
from tasks.monitoring.exposed_quality import latest, overdue
from tasks.monitoring.exposed_serving import state_of
from tasks.platform import ports, supervision
from tasks.serving import envoy, serving
from tasks.store.kept import kept
from tests.waiting import PATIENCE, until


def get(path: str) -> str:
    url = f"http://127.0.0.1:{serving.read().ports.metrics}{path}"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def status(path: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(path)
    return caught.value.code


def samples(path: str = "/metrics") -> dict[tuple[str, ...], float]:
    """By name and label values, the latter in the order of their names."""
    found = {}
    for family in text_string_to_metric_families(get(path)):
        for one in family.samples:
            found[one.name, *(value for _, value in sorted(one.labels.items()))] = one.value
    return found


@pytest.fixture(scope="module")
def served(tiny):
    serves("tiny-v1")
    until(lambda: ports.listening(serving.read().ports.metrics))
    return tiny


def test_every_path_that_prometheus_is_told_of_answers(served):
    targets = [one for kind in ("gateway", "releases") for one in json.loads(get(f"/targets/{kind}"))]
    assert [one["labels"].get("version", one["labels"].get("gateway")) for one in targets] == ["0", "1", "tiny-v1"]
    for target in targets:
        assert target["targets"] == [f"127.0.0.1:{serving.read().ports.metrics}"]
        assert len(samples(target["labels"]["__metrics_path__"])) > 3
    for path in ("/", "/quitquitquit", "/gateway/2/metrics", "/releases/tiny-v2/metrics", "/releases/..%2f/metrics"):
        assert status(path) == 404


def test_an_envoy_that_is_gone_takes_nothing_else_away(served):
    gone = envoy.admin_socket(1)
    away = gone.with_suffix(".away")
    gone.rename(away)
    try:
        assert status("/gateway/1/metrics") == 503
        found = samples()
        assert ("penstock_release_attempts_total", "0", "tiny", "tiny-v1") in found
        assert ("penstock_release_attempts_total", "1", "tiny", "tiny-v1") not in found
    finally:
        away.rename(gone)


def test_a_damaged_file_is_a_metric_and_the_rest_is_still_told(served):
    assert samples()["penstock_project_readable", "tiny"] == 1
    path = max((served.home / "ledger" / "tiny").glob("*.json"))
    content = path.read_bytes()
    path.write_bytes(content[:20])
    os.utime(path.parent)  # a file that is damaged in place changes no folder
    try:
        found = samples()
        assert found["penstock_project_readable", "tiny"] == 0
        assert ("penstock_retrain_stopped", "tiny") not in found
        assert found["penstock_release_info", "tiny", "champion", "tiny-v1"] == 1
        assert "cannot be read" in (served.home / "logs" / "metrics.log").read_text()
    finally:
        path.write_bytes(content)
        os.utime(path.parent)
    assert samples()["penstock_project_readable", "tiny"] == 1


def test_what_is_new_in_the_ledger_is_in_the_next_scrape(served):
    from tasks.registry.releases import tell

    event = ("penstock_ledger_events_total", "held", "tiny")
    before = samples()[event]
    tell("tiny", "held", "tiny-v1", "for the test")
    assert samples()[event] == before + 1


def test_one_that_is_killed_comes_back_at_its_port(served):
    port, pid = serving.read().ports.metrics, supervision.processes()["metrics"]["pid"]
    os.kill(pid, 9)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if supervision.processes()["metrics"]["pid"] not in (0, pid) and ports.listening(port):
            break
        time.sleep(0.1)
    assert samples()["penstock_program_running", "metrics"] == 1
    serving.converge()
    assert serving.read().ports.metrics == port


def test_live_quality_that_cannot_be_read_leaves_the_ledger(served):
    path = score_store.folder(load_project("tiny")) / "2025-W01.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    try:
        found = samples()
        assert (found["penstock_project_readable", "tiny"], found["penstock_retrain_stopped", "tiny"]) == (0, 0)
    finally:
        path.unlink()


def score(model: str, month: int, share: float, mature: bool) -> WindowScore:
    begins, ends = (datetime(2025, month + more, 1, tzinfo=UTC).isoformat() for more in (0, 1))
    period = Coverage(
        period=f"2025-{month:02}", begins=begins, ends=ends, served=100, labelled=int(100 * share), arrived=1,
        waits_for="" if mature else "needs 90 %",
    )  # fmt: skip
    return WindowScore(model=model, coverage=period, rows=0, positives=0, metrics={}, slices=())


def test_the_latest_period_is_shown_and_of_two_releases_in_it_the_champion():
    found = [score("v1", 1, 1, True), score("v1", 2, 1, True), score("v2", 2, 1, True), score("v1", 3, 0, False)]
    assert latest(found, True, "v1") == found[1]
    assert latest(found, True, "v2") == found[2]
    assert latest(found, False, "v2") == found[3]
    assert latest(found[:3], False, "v2") is None


def test_periods_are_overdue_when_they_are_old_enough_and_too_few_labels_came():
    config = LabelsConfig(mature_hours=24, min_coverage=0.9)
    found = [score("v1", 1, 0.1, False), score("v1", 2, 1, True), score("v1", 3, 0.5, False), score("v2", 3, 0, False)]
    april = datetime(2025, 4, 1, tzinfo=UTC).timestamp()
    assert overdue(found, config, april + 23 * 3600) == 0
    assert overdue(found, config, april + 25 * 3600) == 1  # March; January is behind what is final
    assert overdue([score("v1", 3, 0.95, False)], config, april + 25 * 3600) == 0


def test_a_value_is_made_again_when_a_file_of_it_changed_and_only_then(tmp_path):
    made = []

    def make() -> int:
        made.append(len(list(tmp_path.iterdir())))
        return made[-1]

    for _ in range(3):
        assert kept(("test", str(tmp_path)), (tmp_path, tmp_path / "none"), make) == 0
    (tmp_path / "one").write_text("1")
    for _ in range(3):
        assert kept(("test", str(tmp_path)), (tmp_path, tmp_path / "none"), make) == 1
    assert made == [0, 1]


def test_a_metric_stands_once_with_all_its_samples_and_histograms_add_up():
    given = [
        Sample("penstock_alarm", ("a", "drift"), 1),
        Sample("penstock_release_latency_seconds", ("a", "a-v1", "0"), ((0.1, 2), (1.0, 3), (float("inf"), 1))),
        Sample("penstock_alarm", ("b", "drift"), 0),
    ]
    found = {family.name: family.samples for family in families(given)}
    assert [one.labels["project"] for one in found["penstock_alarm"]] == ["a", "b"]
    counts = {one.labels["le"]: one.value for one in found["penstock_release_latency_seconds"] if "le" in one.labels}
    assert counts == {"0.1": 2, "1": 5, "+Inf": 6}


def test_names_and_units_are_as_prometheus_has_them():
    for name, about in METRICS.items():
        assert name.startswith("penstock_")
        assert name.endswith("_total") == (about.kind == "counter"), name
        assert not {"milliseconds", "ms", "percent", "megabytes"} & set(name.split("_")), name
        assert about.text[0].isupper() or about.text[0].isdigit()


def test_the_docs_list_every_metric_and_every_alert():
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "metrics.md").read_text()
    rows = [
        f"| `{name}` | {', '.join(f'`{label}`' for label in one.labels)} | {one.text} |"
        for name, one in METRICS.items()
    ]
    assert re.findall(r"^\| `penstock_.*$", page, re.MULTILINE) == rows
    rules = (root / "deploy" / "prometheus" / "rules.yml").read_text()
    assert re.findall(r"^\| `(Penstock\w+)` \| (\w+) ", page, re.MULTILINE) == re.findall(
        r"- alert: (\w+).*?severity: (\w+)", rules, re.DOTALL
    )


def test_no_two_panels_of_the_dashboard_overlap():
    root = Path(__file__).resolve().parents[2]
    panels = json.loads((root / "deploy" / "grafana" / "dashboards" / "penstock.json").read_text())["panels"]
    taken = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel["description"]] == []


def test_a_release_is_what_the_routes_say():
    from penstock.desired import Desired
    from tests.penstock.test_gateway import desired

    route = Route(champion="p-v2", challenger="p-v3", fallback="p-v1")
    found: Desired = desired(route)
    states = {version: state_of(found, server) for version, server in found.servers.items()}
    assert states == {"p-v2": "champion", "p-v3": "challenger", "p-v1": "fallback"}
    alone = found.model_copy(update={"production": {}})
    assert state_of(alone, found.servers["p-v1"]) == "idle"
    staged = alone.model_copy(update={"staging": {"p": Route(champion="p-v1")}})
    assert state_of(staged, found.servers["p-v1"]) == "staging"
