"""Serves the metrics of this machine at one loopback port: `-m tasks.monitoring.metrics_server`, kept alive by
supervisord.

    /metrics                       what the platform knows: `tasks/monitoring/exposed.py`
    /gateway/<number>/metrics      one of the two Envoys, each with counters of its own
    /releases/<version>/metrics    a release's servers, all its processes together
    /targets/gateway, /targets/releases    where Prometheus finds these: HTTP service discovery

Releases and Envoys listen on Unix sockets, so this is the only way to their metrics. It answers GET and changes
nothing. A scrape reads what is stored; files that have not changed are not read again. Idle it costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from penstock.errors import PenstockError
from tasks.data.project import project_names
from tasks.machine.settings import settings
from tasks.monitoring.exposed import Sample, families
from tasks.monitoring.exposed_project import events_of, ledgers, windows
from tasks.monitoring.exposed_quality import quality
from tasks.monitoring.exposed_serving import machine, releases
from tasks.serving import envoy, release_server, serving

JSON = "application/json"

logger = logging.getLogger("penstock.metrics")


class Platform(Collector):
    """What the platform knows, read when it is asked. What cannot be read is left out, and said once in the log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._complaints: dict[str, str] = {}

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            samples = [*self._part("machine", machine()), *self._part("releases", releases())]
            for name in project_names():
                if (settings().ledger / name).is_dir():
                    samples += self._project(name)
            return list(families(samples))

    def _project(self, project: str) -> Iterator[Sample]:
        parts = {"ledger": ledgers(project), "windows": windows(project), "quality": _quality(project)}
        for name, part in parts.items():
            yield from self._part(f"{project}: {name}", part)
        readable = not any(f"{project}: {name}" in self._complaints for name in parts)
        yield Sample("penstock_project_readable", (project,), readable)

    def _part(self, name: str, part: Iterator[Sample]) -> Iterator[Sample]:
        try:
            yield from part
            self._complaints.pop(name, None)
        except (PenstockError, OSError) as error:
            text = error.text() if isinstance(error, PenstockError) else str(error)
            if self._complaints.get(name) != text:
                logger.error("%s: %s", name, text)
            self._complaints[name] = text


def _quality(project: str) -> Iterator[Sample]:
    yield from quality(project, events_of(project))


class Handler(BaseHTTPRequestHandler):
    """GET of the paths above. ``registry``: what `/metrics` writes."""

    registry: CollectorRegistry
    timeout = 30

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        try:
            status, kind, content = self._answer(path)
        except (*envoy.SILENT, PenstockError) as error:
            status, kind, content = 503, "text/plain; charset=utf-8", f"{error}\n".encode()
        with contextlib.suppress(ConnectionError, TimeoutError):  # who asked has gone
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: a line for each scrape would say nothing."""

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        text = CONTENT_TYPE_PLAIN_0_0_4
        if path == "/metrics":
            return 200, text, generate_latest(self.registry)
        if path in ("/targets/gateway", "/targets/releases"):
            found = gateways() if path.endswith("gateway") else served()
            own = f"127.0.0.1:{serving.read().ports.metrics}"
            return 200, JSON, json.dumps([{"targets": [own], "labels": labels} for labels in found]).encode()
        if (gateway := re.fullmatch(r"/gateway/(\d)/metrics", path)) and int(gateway[1]) < envoy.COUNT:
            return 200, text, envoy.ask(int(gateway[1]), "/stats/prometheus").encode()
        release = re.fullmatch(r"/releases/([^/]+)/metrics", path)
        if release and release[1] in serving.read().servers:
            status, said = release_server.get(release[1], "/metrics", timeout=5)
            return status, text, said
        return 404, JSON, json.dumps({"error": "no such path", "allowed": paths()}).encode()


def gateways() -> list[dict[str, str]]:
    """The labels by which Prometheus finds and names each Envoy; none before anything serves."""
    if not serving.read().servers:
        return []
    return [{"gateway": str(number), "__metrics_path__": f"/gateway/{number}/metrics"} for number in range(envoy.COUNT)]


def served() -> list[dict[str, str]]:
    """The same of each release whose servers are to run. Not their roles: with those, their counters would change."""
    return [
        {
            "project": server.project,
            "version": version,
            "__metrics_path__": f"/releases/{version}/metrics",
        }
        for version, server in sorted(serving.read().servers.items())
    ]


def paths() -> list[str]:
    found = [labels["__metrics_path__"] for labels in (*gateways(), *served())]
    return ["/metrics", *found, "/targets/gateway", "/targets/releases"]


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    port = serving.read().ports.metrics
    if not port:
        raise SystemExit("No port is chosen for metrics yet: penstock up")
    registry = CollectorRegistry()
    registry.register(Platform())
    ProcessCollector(registry=registry)
    Handler.registry = registry
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:  # supervisord tries again, and `ports.chosen` looks for another
        raise SystemExit(f"127.0.0.1:{port}: {error}") from None
    server.daemon_threads = True
    server.serve_forever(poll_interval=3600)  # it only polls to see whether it is to end, and nobody says so


if __name__ == "__main__":
    main()
