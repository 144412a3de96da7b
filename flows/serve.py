"""serve: one release in a real server on this machine, in the foreground, until interrupted."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator

from penstock.refs import Value
from tasks.data.project import load_project, recorded_project
from tasks.packaging.model_server import Server, running_server, unpacked
from tasks.packaging.serving_env import serving_python
from tasks.registry.releases import packaged
from tasks.training.samples import example_row


class Serving(Value):
    """A release that is being served: where, and a command that calls it with a row of its own test split."""

    version: str
    bento: str
    address: str
    curl: str

    def __str__(self) -> str:
        head = f"{self.version} answers on {self.address} (Ctrl-C stops it). Call it with a row of its test split:"
        return f"{head}\n\n{self.curl}\n\nIt describes itself at {self.address}/v1/model."


@contextlib.contextmanager
def serving(config: str, version: str = "", port: int = 0) -> Iterator[tuple[Serving, Server]]:
    """Serve ``version`` of a project, or its newest release, on 127.0.0.1 while the block runs.

    Raises DataError when there is no such release, PlatformError when the port is taken.
    """
    release = packaged(load_project(config).name, version)
    candidate = release.candidate
    folder = unpacked(release.package)
    row = example_row(candidate.splits, recorded_project(candidate.lineage.config).features)
    with running_server(folder, serving_python(folder / "src" / "requirements.txt"), port) as server:
        body = shlex.quote(json.dumps(row))
        curl = f"curl -s {server.address}/v1/predict -H 'Content-Type: application/json' -d {body}"
        yield Serving(version=release.version, bento=release.package.tag, address=server.address, curl=curl), server
