"""The server's metrics. No label has a value that a client can choose: unknown paths are one series.

BentoML's own request metrics are off, because they have a series for every path that anyone ever asked for.
"""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

REQUESTS = Counter("penstock_requests", "Requests answered", ["route", "status"])
SECONDS = Histogram("penstock_request_seconds", "From the request's head to the answer", ["route"], buckets=BUCKETS)
ROWS = Counter("penstock_rows", "Rows answered")
REFUSED = Counter("penstock_refused_requests", "Requests refused", ["reason"])
UNKNOWN = Counter("penstock_unknown_categories", "Values that training never saw, taken as missing", ["field"])
NOT_FINITE = Counter("penstock_scores_not_finite", "Requests for which the model gave no number")
FAILED = Counter("penstock_failed_requests", "Requests that failed for a reason of the server's")
LOG_DROPPED = Counter("penstock_log_dropped", "Requests that the prediction log could not take")

_requests: dict[tuple[str, int], Counter] = {}
_seconds: dict[str, Histogram] = {}


def answered(route: str, status: int, seconds: float) -> None:
    """Count a request. ``route`` is one of the service's own names, never what a client sent."""
    key = (route, status)
    counter = _requests.get(key)
    if counter is None:  # `labels` costs more than counting
        counter = _requests[key] = REQUESTS.labels(route, status)
        _seconds.setdefault(route, SECONDS.labels(route))
    counter.inc()
    _seconds[route].observe(seconds)


def page() -> tuple[bytes, str]:
    """(text, content type) of all metrics: those of every process that shares PROMETHEUS_MULTIPROC_DIR."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST
