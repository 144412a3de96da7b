"""The gateway's clusters and routes, derived from what is desired, as Envoy reads them (tried with 1.40).

A request is tried by the split (champion and challenger by weight), and then by the champion, or while that one is new
by the champion of before: a new release that fails costs no client anything, and its failures still stand in its own
counters. If that try fails too, it is the other one's turn: a challenger that answers is better than a champion that
has no process left. A route that names an unknown cluster is refused, and the old routes stay. What an Envoy starts
with is in `penstock/envoy_bootstrap.py`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from penstock.desired import Desired, Environment, Route

TYPES = "type.googleapis.com/envoy."
RETRIES = 4
POSTED = ("predict", "explain")
READ = ("model", "openapi.json", "docs")
SHADOW, ENVIRONMENT = "x-penstock-shadow", "x-penstock-environment"


def clusters(sockets: Mapping[str, str]) -> list[dict[str, Any]]:
    """A cluster for each version's socket: health checks, circuit breakers, and none of Envoy's own delays."""
    protocol = TYPES + "extensions.upstreams.http.v3.HttpProtocolOptions"
    budget = {"budget_percent": {"value": 100}, "min_retry_concurrency": 100}
    limits = {"max_connections": 1024, "max_pending_requests": 1024, "max_requests": 1024, "retry_budget": budget}
    check = {"timeout": "2s", "interval": "1s", "no_traffic_interval": "1s", "unhealthy_threshold": 3}
    return [
        {
            "@type": TYPES + "config.cluster.v3.Cluster",
            "name": version,
            "connect_timeout": "0.5s",
            "load_assignment": endpoint(version, path),
            "health_checks": [{**check, "healthy_threshold": 1, "http_health_check": {"path": "/readyz"}}],
            # one endpoint, two processes behind it: when health checks fail, trying is still better than refusing
            "common_lb_config": {"healthy_panic_threshold": {"value": 50}},
            "circuit_breakers": {"thresholds": [limits]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": protocol,
                    # less than the servers keep idle connections, so that none is written to as it closes
                    "common_http_protocol_options": {"idle_timeout": "30s"},
                    "explicit_http_config": {"http_protocol_options": {}},
                }
            },
        }
        for version, path in sorted(sockets.items())
    ]


def sockets_of(found: list[dict[str, Any]]) -> dict[str, str]:
    """The version and socket of each of these clusters."""
    return {
        cluster["name"]: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["pipe"][
            "path"
        ]
        for cluster in found
    }


def routes(desired: Desired, environment: Environment, revision: str) -> dict[str, Any]:
    """The routes of one environment. ``revision`` makes the document new even where nothing else is."""
    found = []
    for project, route in sorted(desired.routes(environment).items()):
        found += _project_routes(desired, project, route)
    allowed = [f"/{name}/v1/{verb}" for name in sorted(desired.routes(environment)) for verb in (*POSTED, *READ)]
    return {
        "@type": TYPES + "config.route.v3.RouteConfiguration",
        "name": environment,
        "validate_clusters": True,
        "virtual_hosts": [
            {
                "name": environment,
                "domains": ["*"],
                "metadata": {"filter_metadata": {"penstock": {"revision": revision}}},
                "request_headers_to_remove": [SHADOW],  # ours to say
                "request_headers_to_add": [_header(ENVIRONMENT, environment)],
                "routes": [
                    _said({"path": "/healthz"}, 200, {"gateway": "ok"}),
                    *found,
                    _said({"prefix": "/"}, 404, {"error": "no such path", "allowed": allowed}),
                ],
            }
        ],
    }


def _project_routes(desired: Desired, project: str, route: Route) -> list[dict[str, Any]]:
    limit = max(desired.servers[version].max_body_bytes for version in route.versions)
    too_large = {
        "envoy.filters.http.buffer": {
            "@type": TYPES + "extensions.filters.http.buffer.v3.BufferPerRoute",
            "buffer": {"max_request_bytes": limit},
        }
    }
    alone = [{"cluster_name": route.champion, "weight": 100}]
    champion = {"timeout": "5s", **_specifier(alone, route.fallback or route.champion), **_retry("2s")}
    found = [
        {
            "name": f"{project} {verb}",
            "match": {"path": f"/{project}/v1/{verb}"},
            "route": {"prefix_rewrite": f"/v1/{verb}", **_judged(route)},
            "typed_per_filter_config": too_large,
        }
        for verb in POSTED
    ]
    found += [
        {
            "name": f"{project} {path}",
            "match": {"path": f"/{project}/{path}"},
            "route": {"prefix_rewrite": f"/{path}", **champion},
        }
        for path in (*(f"v1/{verb}" for verb in READ), "readyz")
    ]
    return found


def _judged(route: Route) -> dict[str, Any]:
    """Where predictions are split, mirrored and, when the challenger fails, answered by the champion."""
    split = [{"cluster_name": route.champion, "weight": 100 - route.weight}]
    if route.challenger and route.weight:
        # first, so that those who are in 5 % are in 25 % too
        split = [{"cluster_name": route.challenger, "weight": route.weight}, *(split if route.weight < 100 else [])]
    action = {
        "timeout": _seconds(route.serve.timeout_seconds),
        "hash_policy": [{"header": {"header_name": route.serve.sticky_header, **_salt(route.rollout)}}],
        **_specifier(split, route.fallback or route.champion, route.challenger if route.weight else route.champion),
        **_retry(_seconds(route.serve.try_timeout_seconds)),
    }
    if route.challenger and route.mirror:
        action["request_mirror_policies"] = [
            {
                "cluster": route.challenger,
                "runtime_fraction": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
                "request_headers_mutations": [{"append": _header(SHADOW, "1")}],
            }
        ]
    return action


def _specifier(split: list[dict[str, Any]], *stand_ins: str) -> dict[str, Any]:
    """Tried by the split first, and then by the ``stand_ins`` in turn."""
    again = [
        {"name": f"again {number}", "clusters": [{"cluster_name": version, "weight": 100}]}
        for number, version in zip(range(1, RETRIES + 1), itertools.cycle(stand_ins), strict=False)
    ]
    kind = TYPES + "extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier"
    groups = [{"name": "split", "clusters": split}, *again]
    extension = {"name": "split", "typed_config": {"@type": kind, "use_hash_policy": True, "priority_groups": groups}}
    return {"inline_cluster_specifier_plugin": {"extension": extension}}


def _retry(each: str) -> dict[str, Any]:
    return {
        "retry_policy": {
            "retry_on": "5xx,reset,connect-failure,refused-stream,retriable-status-codes",
            "retriable_status_codes": [429],
            "num_retries": RETRIES,
            "per_try_timeout": each,
            "refresh_cluster_on_retry": True,
            "retry_back_off": {"base_interval": "0.05s", "max_interval": "1s"},
        }
    }


def _seconds(value: float) -> str:
    """The same text for 5 and 5.0: a default is the one, what was read from a file the other."""
    return f"{value:g}s"


def _salt(rollout: str) -> dict[str, Any]:
    """So that it is not the same clients who are in every canary."""
    if not rollout:
        return {}
    return {"regex_rewrite": {"pattern": {"regex": "^(.*)$"}, "substitution": f"{rollout}:\\1"}}


def endpoint(name: str, path: str) -> dict[str, Any]:
    address = {"endpoint": {"address": {"pipe": {"path": path}}}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [address]}]}


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _said(match: dict[str, str], status: int, content: dict[str, Any]) -> dict[str, Any]:
    """A route that Envoy answers itself."""
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps(content) + "\n"}},
        "response_headers_to_add": [_header("content-type", "application/json")],
    }
