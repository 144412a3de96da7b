"""Envoy's configuration as a value: who is asked first, who again, and what does not change it."""

from __future__ import annotations

import json

from penstock import envoy_bootstrap, gateway
from penstock.desired import Desired, Ports, Route, Server, with_route, with_server
from penstock.refs import FileRef, Package
from penstock.release_config import LogConfig, ServeConfig

FILE = FileRef(name="x", sha256="0" * 64, size=1)
PACKAGE = Package(bento=FILE, tag="p:1", digest="1" * 64, schema_spec=FILE)


def desired(route: Route, **sizes: int) -> Desired:
    found = Desired()
    for version in route.versions:
        server = Server(
            version=version,
            project="p",
            package=PACKAGE,
            max_body_bytes=sizes.get(version.replace("-", "_"), 1000),
            log=LogConfig(),
            workers=2,
            memory_mb=512,
        )
        found = with_server(found, server)
    return with_route(found, "production", "p", route)


def predict(route: Route, **sizes: int) -> dict:
    document = gateway.routes(desired(route, **sizes), "production", "1")
    return next(found for found in document["virtual_hosts"][0]["routes"] if found.get("name") == "p predict")


def groups(route: Route) -> list[list[tuple[str, int]]]:
    extension = predict(route)["route"]["inline_cluster_specifier_plugin"]["extension"]
    return [
        [(cluster["cluster_name"], cluster["weight"]) for cluster in group["clusters"]]
        for group in extension["typed_config"]["priority_groups"]
    ]


def test_a_champion_alone_is_asked_again_when_it_fails():
    assert groups(Route(champion="p-v1")) == [[("p-v1", 100)]] * (1 + gateway.RETRIES)


def test_what_a_challenger_fails_the_champion_answers():
    first, *again = groups(Route(champion="p-v1", challenger="p-v2", weight=25))
    assert first == [("p-v2", 25), ("p-v1", 75)]  # the challenger first: who is in 5 % is in 25 % too
    assert again == [[("p-v1", 100)], [("p-v2", 100)]] * (gateway.RETRIES // 2)  # who has no process left, has neither
    assert groups(Route(champion="p-v1", challenger="p-v2", weight=100))[0] == [("p-v2", 100)]


def test_what_a_new_champion_fails_the_one_before_answers():
    first, *again = groups(Route(champion="p-v2", fallback="p-v1"))
    assert (first, again) == ([("p-v2", 100)], [[("p-v1", 100)], [("p-v2", 100)]] * (gateway.RETRIES // 2))


def test_a_challenger_that_answers_nobody_yet_stands_in_for_nobody():
    _, *again = groups(Route(champion="p-v1", challenger="p-v2", mirror=True))
    assert again == [[("p-v1", 100)]] * gateway.RETRIES


def test_who_serves_is_never_asked_of_a_challenger():
    document = gateway.routes(desired(Route(champion="p-v1", challenger="p-v2", weight=25)), "production", "1")
    found = next(route for route in document["virtual_hosts"][0]["routes"] if route.get("name") == "p v1/model")
    assert "p-v2" not in json.dumps(found)


def test_a_mirror_is_marked_and_takes_no_share():
    route = Route(champion="p-v1", challenger="p-v2", mirror=True)
    (mirror,) = predict(route)["route"]["request_mirror_policies"]
    assert mirror["cluster"] == "p-v2"
    assert mirror["request_headers_mutations"][0]["append"]["header"] == {"key": gateway.SHADOW, "value": "1"}
    assert groups(route)[0] == [("p-v1", 100)]
    assert "request_mirror_policies" not in predict(Route(champion="p-v1"))["route"]


def test_every_rollout_draws_its_own_clients():
    def salt(rollout: str) -> dict:
        (policy,) = predict(Route(champion="p-v1", rollout=rollout))["route"]["hash_policy"]
        return policy["header"].get("regex_rewrite", {})

    assert salt("a") != salt("b")
    assert salt("") == {}


def test_the_largest_body_that_any_of_them_takes_is_let_through():
    found = predict(Route(champion="p-v1", challenger="p-v2"), p_v1=1000, p_v2=5000)
    buffer = found["typed_per_filter_config"]["envoy.filters.http.buffer"]["buffer"]
    assert buffer["max_request_bytes"] == 5000


def test_the_same_number_is_the_same_text_wherever_it_came_from():
    """A default is an int, what was read from desired.json a float; another text would be another configuration."""
    default = desired(Route(champion="p-v1", serve=ServeConfig()))
    read = Desired.model_validate_json(default.model_dump_json())
    assert gateway.routes(default, "production", "1") == gateway.routes(read, "production", "1")
    short = Route(champion="p-v1", serve=ServeConfig(timeout_seconds=2.5, try_timeout_seconds=0.25))
    assert predict(short)["route"]["timeout"] == "2.5s"
    assert predict(short)["route"]["retry_policy"]["per_try_timeout"] == "0.25s"


def test_clusters_say_where_each_version_is():
    sockets = {"p-v2": "/s/p-v2.sock", "p-v1": "/s/p-v1.sock"}
    found = gateway.clusters(sockets)
    assert [cluster["name"] for cluster in found] == ["p-v1", "p-v2"]
    assert gateway.sockets_of(found) == sockets


def test_an_unknown_path_is_told_what_there_is():
    document = gateway.routes(desired(Route(champion="p-v1")), "production", "1")
    answer = document["virtual_hosts"][0]["routes"][-1]["direct_response"]
    assert answer["status"] == 404
    assert "/p/v1/predict" in json.loads(answer["body"]["inline_string"])["allowed"]


def test_only_loopback_is_listened_on_and_only_the_admin_socket_can_stop_envoy():
    document = envoy_bootstrap.bootstrap(Ports(production=1, staging=2, metrics=3), "/f", "/log")
    listeners = document["static_resources"]["listeners"]
    assert {found["address"]["socket_address"]["address"] for found in listeners} == {"127.0.0.1"}
    assert "admin" not in document
    assert envoy_bootstrap.administration("/a.sock")["admin"]["address"]["pipe"] == {"path": "/a.sock", "mode": 0o600}
