"""What an Envoy of the gateway starts with: its listeners, limits and statistics, and where clusters and routes are.

`per_connection_buffer_limit_bytes` has to hold a whole body: a larger one is neither retried nor mirrored whole.
Latency histograms are merged only when statistics are flushed, every second here instead of every five.
"""

from __future__ import annotations

from typing import Any

from penstock.desired import Ports
from penstock.gateway import TYPES

# ms, a quarter apart: with wider ones, the bound of what is slow is rounded up past what it is to catch
BUCKETS = tuple(step * ten for ten in (1, 10, 100, 1000) for step in (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8))
BUFFER_BYTES = 64 * 2**20


def bootstrap(ports: Ports, folder: str, errors: str) -> dict[str, Any]:
    """What every Envoy starts with. ``folder``: where clusters and routes are; ``errors``: the access log."""
    listeners = [
        _listener("production", ports.production, folder, errors),
        _listener("staging", ports.staging, folder, errors),
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
    """What one Envoy has for itself, to be merged into `bootstrap()`: the admin socket. It can also stop Envoy, so
    its metrics are read by way of `tasks/monitoring/metrics_server.py`."""
    return {"admin": {"address": {"pipe": {"path": path, "mode": 0o600}}}}


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
