"""Every query of the dashboard and every alert, asked of a real Prometheus that scraped what really serves."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml

from benchmarks.tiny import bodies, serves
from penstock.desired import Route, with_route
from penstock.errors import ConfigError
from tasks.data.project import load_project
from tasks.monitoring.collected_store import read_windows
from tasks.monitoring.exposed import METRICS
from tasks.monitoring.served_store import read_served
from tasks.platform import supervision
from tasks.registry.releases import packaged, server_of, tell
from tasks.rollout.rollout import deploying
from tasks.rollout.traffic import Sender, at_random, sending
from tasks.serving import prometheus as program
from tasks.serving import release_server, serving
from tests.prometheus_server import needs_prometheus, prometheus
from tests.waiting import until

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "penstock.json").read_text())
VARIABLES = {"$project": ".+", "$metric": "auc", "$__rate_interval": "30s"}
MONTHS = ("2024-05-10T00:00:00", "2024-06-10T00:00:00")
MONITOR = "from flows.monitor import monitor; print(monitor.fn('tiny', close=True))"  # without Prefect
pytestmark = needs_prometheus


def configure(tiny) -> None:
    path = tiny.root / "configs" / "tiny.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["serve"] = {"log": {"segment_seconds": 0.5}}
    tree["monitor"] = {"min_rows": 50, "alarm_windows": 1}
    tree["labels"] = {"time": "at", "period": "month", "mature_hours": 0}
    tree["retrain"] = {"enabled": True, "min_new_labels": 0}
    path.write_text(yaml.safe_dump(tree, sort_keys=False))


def canary(project: str, champion: str, challenger: str):
    """The challenger answers a quarter, and gets a copy of everything."""
    serve = load_project(project).serve
    serving.start(server_of(packaged(project, challenger), serve))
    assert release_server.becomes_ready(challenger)
    route = Route(champion=champion, challenger=challenger, weight=25, mirror=True, rollout="1", serve=serve)
    serving.change(lambda desired: with_route(desired, "production", project, route))
    tell(project, "shadow", challenger, "a rollout began")


def send(rows: list[dict], seconds: float = 1.5) -> None:
    content = [json.dumps(row).encode() for row in rows]
    with sending(Sender(serving.address(), "tiny", at_random(content, "x-user-id"), 200, mark=False)) as sent:
        time.sleep(seconds)
    assert sent.failed < sent.sent


def label(tiny) -> None:
    """All of May, a third of June, and nothing of the rest: May is final."""
    served = read_served(read_windows("tiny"), ("at",)).with_row_index("n")
    late = pl.col("at").cast(pl.String).str.starts_with("2024-05") | (pl.col("n") % 3 == 0)
    labels = served.filter(late).select("request_id", "row", late=(pl.col("n") % 2 == 0))
    labels.unique(["request_id", "row"]).write_csv(tiny.root / "labels.csv")
    tiny.python("-c", "from flows.label import label; label.fn('tiny', file='labels.csv')")


@pytest.fixture(scope="module")
def asked(tiny, tmp_path_factory):
    """A champion and a challenger, traffic that has drifted, labels, a bad request; and a Prometheus that saw it."""
    configure(tiny)
    serves("tiny-v1")
    with deploying("tiny"), serving.kept("tiny-v2"):
        canary("tiny", "tiny-v1", "tiny-v2")
        with prometheus(tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{serving.read().ports.metrics}") as found:
            assert found.becomes('up{job="penstock-releases"} == 1 and on () up{job="penstock-gateway"} == 1')
            rows = [json.loads(body) for body in bodies()]
            drifted = [row | {"size": row["size"] * 0.2, "at": MONTHS[n % 2]} for n, row in enumerate(rows)]
            send([*drifted, {"size": "no row"}])
            time.sleep(1.5)  # a segment is closed
            assert "value drift" in tiny.python("-c", MONITOR)
            label(tiny)
            tiny.python("-c", MONITOR)  # measures what was labelled
            send(rows)  # waits for monitoring
            yield found


def queries() -> list[tuple[str, str]]:
    """(panel, query) of the whole dashboard, its annotations and variables included."""
    found = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    found += [(each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]]
    for each in DASHBOARD["templating"]["list"]:
        if each["type"] == "query":
            metric, name = re.fullmatch(r"label_values\((\w+(?:{.+})?), (\w+)\)", each["query"]["query"]).groups()
            found.append((each["name"], f"count by ({name}) ({metric})"))
    return found


def plain(query: str) -> str:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def test_every_query_of_the_dashboard_returns_data(asked):
    empty = {}
    for panel, query in queries():
        if not asked.becomes(plain(query)):
            empty[panel] = plain(query)
    assert empty == {}
    assert len(queries()) > 50


def test_every_metric_of_ours_is_scraped_and_none_besides(asked):
    assert asked.becomes('penstock_log_pending_since_timestamp_seconds{project="tiny"}')
    names = {found["metric"]["__name__"] for found in asked.query('{__name__=~"penstock_.+",job="penstock"}')}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in names} == METRICS.keys()


def test_both_gateways_together_have_sent_what_the_releases_answered(asked):
    def agree() -> bool:
        sent = asked.query("sum by (version) (penstock_release_attempts_total)")
        answered = asked.query('sum by (version) (penstock_requests_total{route="predict"})')
        counts = [{one["metric"]["version"]: float(one["value"][1]) for one in found} for found in (sent, answered)]
        return counts[0] == counts[1] and counts[0].keys() == {"tiny-v1", "tiny-v2"}

    until(agree)  # the two are scraped at different moments
    assert len(asked.query("sum by (gateway) (penstock_release_attempts_total) > 0")) == 2


def test_the_values_are_those_of_the_project(asked):
    def values(query: str, *labels: str) -> dict:
        return {tuple(one["metric"][name] for name in labels): float(one["value"][1]) for one in asked.query(query)}

    assert values("penstock_release_info", "version", "state") == {
        ("tiny-v1", "champion"): 1,
        ("tiny-v2", "challenger"): 1,
    }
    assert values("penstock_release_weight_ratio", "version") == {("tiny-v1",): 0.75, ("tiny-v2",): 0.25}
    raised = values("penstock_alarm", "cause")
    assert (raised["value drift",], raised["schema skew",]) == (1, 0)
    drifted = values("max by (column) (penstock_drift_distance / penstock_drift_limit) > 1", "column")
    assert ("size",) in drifted
    coverage = values("penstock_label_coverage_ratio", "state")
    assert coverage[("final",)] == 1 > coverage[("provisional",)] > 0.2
    low, value, high = (
        values(f'{name}{{state="final",metric="auc"}}', "metric")[("auc",)]
        for name in ("penstock_live_metric_low", "penstock_live_metric", "penstock_live_metric_high")
    )
    assert low < value < high
    asked_for = values('penstock_ledger_events_total{kind="retrain asked"}', "kind")
    assert asked_for == {("retrain asked",): 1}


def test_alerts_and_records_follow_from_what_was_scraped(asked):
    assert asked.becomes('ALERTS{alertname="PenstockDrift",alertstate="firing",project="tiny"}')
    assert asked.becomes('penstock:attempts:rate5m{version="tiny-v2"} > 0')
    assert asked.becomes('penstock:latency_seconds:p95_rate5m{version="tiny-v1"} > 0')
    assert asked.becomes("penstock:client_errors:ratio_rate5m == 0")
    groups = asked.get("rules")["groups"]
    assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []


def test_the_metrics_are_as_prometheus_wants_them(asked):
    with urllib.request.urlopen(f"http://127.0.0.1:{serving.read().ports.metrics}/metrics", timeout=10) as answer:
        page = answer.read()
    said = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (said.returncode, said.stderr) == (0, b"")


def test_an_alert_rises_when_no_process_of_the_champion_runs(asked):
    supervision._rpc().stopProcessGroup("tiny-v1")
    found = asked.becomes('ALERTS{alertname="PenstockNoChampion"}')
    assert found[0]["metric"]["version"] == "tiny-v1"
    supervision._rpc().startProcessGroup("tiny-v1")
    assert release_server.becomes_ready("tiny-v1")


def test_one_that_is_installed_runs_beside_what_serves_on_loopback(tiny, asked):
    address = program.ensure()
    pid = supervision.processes()["prometheus"]["pid"]
    with urllib.request.urlopen(f"{address}/api/v1/targets?state=any", timeout=10) as answer:
        assert json.load(answer)["status"] == "success"
    connections = psutil.Process(pid).net_connections("inet")
    assert {found.laddr.ip for found in connections if found.status == "LISTEN"} == {"127.0.0.1"}
    assert program.ensure() == address == program.address()  # what runs goes on
    assert supervision.processes()["prometheus"]["pid"] == pid
    assert f"Prometheus      {address}" in tiny.penstock("status")


def test_where_it_is_not_installed_the_error_says_how_to(tiny, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="not installed") as caught:
        program.ensure()
    assert "apt-get install prometheus" in caught.value.next_step


def test_the_config_and_the_rules_are_right_and_every_alert_is_tested():
    folder = DEPLOY / "prometheus"
    for arguments in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ):
        said = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr
    rules = [rule for group in yaml.safe_load((folder / "rules.yml").read_text())["groups"] for rule in group["rules"]]
    raised, quiet = set(), set()
    for test in yaml.safe_load((folder / "rules_test.yml").read_text())["tests"]:
        for one in test.get("alert_rule_test", []):
            (raised if one["exp_alerts"] else quiet).add(one["alertname"])
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    assert raised == alerts
    assert quiet <= alerts
    for rule in rules:
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
            assert re.match(r"(penstock|df|du) ", rule["annotations"]["runbook"]), rule["alert"]
