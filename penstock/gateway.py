"""Envoy's configuration, derived from what is desired: bootstrap, clusters and routes as plain documents.

Tried with Envoy 1.40. The parts that are not obvious, and why:

* A request is tried by the split (champion and challenger by weight), and each retry by the champion, or while that
  one is new by the champion of before: a new release that fails costs no client anything, and its failures still
  stand in its own counters.
* `per_connection_buffer_limit_bytes` has to hold a whole body: a larger one is neither retried nor mirrored whole.
* Latency histograms are merged only when statistics are flushed, every second here instead of every five.
* A route that names an unknown cluster is refused (`validate_clusters`), and the old routes stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.desired import Desired, Environment, Ports, Route

TYPES = "type.googleapis.com/envoy."
# ms, a quarter apart: with wider ones, the bound of what is slow is rounded up past what it is to catch
BUCKETS = tuple(step * ten for ten in (1, 10, 100, 1000) for step in (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8))
BUFFER_BYTES = 64 * 2**20
RETRIES = 4
POSTED = ("predict", "explain")
READ = ("model", "openapi.json", "docs")
SHADOW, ENVIRONMENT = "x-penstock-shadow", "x-penstock-environment"


def bootstrap(ports: Ports, folder: str, errors: str) -> dict[str, Any]:
    """What every Envoy starts with. ``folder``: where clusters and routes are; ``errors``: the access log."""
    listeners = [
        _listener("production", ports.production, folder, errors),
        _listener("staging", ports.staging, folder, errors),
        _metrics_listener(ports.metrics),
    ]
    source = {"resource_api_version": "V3", "path_config_source": _watched(folder, "clusters")}
    connections = TYPES + "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "node": {"id": "penstock", "cluster": "penstock"},
        "dynamic_resources": {"cds_config": source},
        "stats_flush_interval": "1s",
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"suffix": "upstream_rq_time"}, "buckets": list(BUCKETS)}]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {"@type": connections, "max_active_downstream_connections": 10_000},
                }
            ]
        },
        "static_resources": {"listeners": listeners},
    }


def administration(path: str) -> dict[str, Any]:
    """What one Envoy has for itself, to be merged into `bootstrap()`: the admin socket, and metrics by way of it."""
    cluster = {"name": "admin", "connect_timeout": "1s", "load_assignment": _endpoint("admin", path)}
    return {
        "admin": {"address": {"pipe": {"path": path, "mode": 0o600}}},
        "static_resources": {"clusters": [cluster]},
    }


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
            "load_assignment": _endpoint(version, path),
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
                    {"match": {"path": "/healthz"}, "direct_response": _json(200, '{"gateway":"ok"}')},
                    *found,
                    {"match": {"prefix": "/"}, "direct_response": _json(404, _nothing_here(allowed))},
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
    champion = {"timeout": "5s", **_specifier([{"cluster_name": route.champion, "weight": 100}], route), **_retry("2s")}
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
        **_specifier(split, route),
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


def _specifier(split: list[dict[str, Any]], route: Route) -> dict[str, Any]:
    again = [
        {"name": f"again {number}", "clusters": [{"cluster_name": route.fallback or route.champion, "weight": 100}]}
        for number in range(1, RETRIES + 1)
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


def _listener(name: str, port: int, folder: str, errors: str) -> dict[str, Any]:
    manager = {
        "stat_prefix": name,
        "use_remote_address": True,
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": {
                "@type": TYPES + "extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
            }
        },
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "request_timeout": "30s",
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "60s",
        "drain_timeout": "5s",
        "rds": {
            "route_config_name": name,
            "config_source": {
                "resource_api_version": "V3",
                "initial_fetch_timeout": "5s",
                "path_config_source": _watched(folder, name),
            },
        },
        "access_log": [_error_log(errors)],
        "http_filters": [
            _filter("buffer", "extensions.filters.http.buffer.v3.Buffer", max_request_bytes=BUFFER_BYTES),
            _filter("router", "extensions.filters.http.router.v3.Router"),
        ],
    }
    return _http_listener(name, port, manager) | {"per_connection_buffer_limit_bytes": BUFFER_BYTES}


def _metrics_listener(port: int) -> dict[str, Any]:
    """Only what Prometheus reads of the admin interface, which can also stop Envoy."""
    paths = {"/metrics": "/stats/prometheus", "/ready": "/ready"}
    found = [
        {"match": {"path": path}, "route": {"cluster": "admin", "prefix_rewrite": real}} for path, real in paths.items()
    ]
    manager = {
        "stat_prefix": "metrics",
        "route_config": {"virtual_hosts": [{"name": "metrics", "domains": ["*"], "routes": found}]},
        "http_filters": [_filter("router", "extensions.filters.http.router.v3.Router")],
    }
    return _http_listener("metrics", port, manager)


def _http_listener(name: str, port: int, manager: dict[str, Any]) -> dict[str, Any]:
    kind = TYPES + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    chain = {"name": "envoy.filters.network.http_connection_manager", "typed_config": {"@type": kind, **manager}}
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [chain]}],
    }


def _error_log(path: str) -> dict[str, Any]:
    """One line for each request that failed, and for nothing else: no line holds a body."""
    status = {"comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "penstock.log"}}}
    return {
        "name": "envoy.access_loggers.file",
        "filter": {"or_filter": {"filters": [{"status_code_filter": status}, {"response_flag_filter": {}}]}},
        "typed_config": {
            "@type": TYPES + "extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {
                "json_format": {
                    "time": "%START_TIME%",
                    "id": "%REQ(X-REQUEST-ID)%",
                    "status": "%RESPONSE_CODE%",
                    "flags": "%RESPONSE_FLAGS%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "ms": "%DURATION%",
                    "release": "%UPSTREAM_CLUSTER%",
                    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                }
            },
        },
    }


def _filter(name: str, kind: str, **options: Any) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": TYPES + kind, **options}}


def _watched(folder: str, name: str) -> dict[str, Any]:
    return {"path": f"{folder}/{name}.yaml", "watched_directory": {"path": folder}}


def _endpoint(name: str, path: str) -> dict[str, Any]:
    address = {"endpoint": {"address": {"pipe": {"path": path}}}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [address]}]}


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _json(status: int, body: str) -> dict[str, Any]:
    return {"status": status, "body": {"inline_string": body + "\n"}}


def _nothing_here(allowed: list[str]) -> str:
    import json

    return json.dumps({"error": "no such path", "allowed": allowed})
