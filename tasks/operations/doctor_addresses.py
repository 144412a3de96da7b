"""Doctor's checks of what is elsewhere: the DVC remote, MLflow, Prefect with its worker, and the channels of alerts."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from penstock.diagnosis import Finding, fail, ok, shortened, warn
from penstock.errors import PenstockError
from tasks.data.dvc_config import remote_url
from tasks.data.project import load_project, project_names
from tasks.machine.redaction import redacted
from tasks.machine.settings import settings
from tasks.operations.doctor_disk import dvc_files, existing
from tasks.operations.doctor_http import mlflow_address, prefect_address
from tasks.platform import alert_channels, prefect_names

REACH = "make it reachable, or correct"


def dvc_remote(write: bool) -> Iterator[Finding]:
    """Whether the remote that datasets are pushed to can be listed; with ``write``, written to as well."""
    url = remote_url()
    if not url and not (settings().root / ".dvc" / "config").is_file():
        yield ok("dvc remote", "not set up yet: the first ingest makes a folder of the home the remote")
    elif not url:
        yield fail("dvc remote", ".dvc/config names no remote", "dvc remote add -d NAME URL, or set PENSTOCK_REMOTE")
    elif "://" in url and not (settings().root / ".dvc" / "config").is_file():
        yield ok("dvc remote", f"{url}: not asked before the first ingest has set DVC up")
    elif "://" in url:
        yield _elsewhere(url, write)
    else:
        yield _folder(Path(url), write)


def _folder(path: Path, write: bool) -> Finding:
    mend = "mount it, or correct PENSTOCK_REMOTE or .dvc/config"
    if not path.is_dir():
        if path.exists() or dvc_files():
            return fail("dvc remote", f"{path} is not there", mend)
        if not path.is_relative_to(settings().root) and not path.is_relative_to(settings().home):
            return warn("dvc remote", f"{path} is not there; the first ingest makes it", mend)
        return ok("dvc remote", f"{path}: made by the first ingest")
    try:
        with os.scandir(path) as entries:
            next(entries, None)
        if write:
            probe = path / f".penstock-doctor-{secrets.token_hex(4)}"
            probe.write_bytes(b"")
            probe.unlink()
    except OSError as error:
        return fail("dvc remote", f"{path}: {error.strerror}", mend)
    if not os.access(path, os.W_OK):
        return fail("dvc remote", f"{path} can be read and not written", "mend its owner and mode")
    return ok("dvc remote", f"{path}: {'written to and ' if write else ''}listed")


def _elsewhere(url: str, write: bool) -> Finding:
    from tasks.data.data import repository

    try:
        with repository() as repo:
            remote = repo.cloud.get_remote_odb()
            with contextlib.suppress(FileNotFoundError):  # empty: nothing was pushed yet
                next(iter(remote.fs.ls(remote.path, detail=False)), None)
            if write:
                probe = remote.fs.join(remote.path, f".penstock-doctor-{secrets.token_hex(4)}")
                remote.fs.pipe_file(probe, b"")
                remote.fs.rm_file(probe)
    except Exception as error:  # noqa: BLE001  # DVC, fsspec and every remote's library have their own
        words = redacted(str(error).replace(settings().remote or url, url)).strip() or type(error).__name__
        return fail("dvc remote", f"{url}: {words.splitlines()[0]}", f"{REACH} PENSTOCK_REMOTE or .dvc/config")
    return ok("dvc remote", f"{url}: {'written to and ' if write else ''}listed")


def mlflow() -> Iterator[Finding]:
    """Whether the tracking server answers, or the database is there."""
    uri, address = settings().mlflow_uri, mlflow_address()
    if address is not None:
        reply = address.get("/health")
        if reply.refused:
            yield fail(
                "mlflow",
                f"{address.shown}: refused, {reply.words}",
                "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
            )
        elif reply.status != 200:
            yield fail(
                "mlflow",
                f"{address.shown}: {reply.words}",
                f"{REACH} PENSTOCK_MLFLOW_URI; releases are registered all the same",
            )
        else:
            yield ok("mlflow", f"{address.shown} answers")
        return
    if uri and not uri.startswith("sqlite:"):
        parts = urlsplit(uri)
        yield ok("mlflow", f"{parts.scheme or 'a folder'}: not asked; the next run does")
        return
    path = Path(uri.removeprefix("sqlite:///")) if uri else settings().home / "mlflow" / "mlflow.db"
    if not path.exists():
        there = existing(path)
        if uri and there != path.parent:
            yield fail("mlflow", f"{path.parent} is not there", "make the folder, or correct PENSTOCK_MLFLOW_URI")
        else:
            yield ok("mlflow", f"{path}: made by the first run")
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)) as database:
            runs = database.execute("SELECT count(*) FROM runs").fetchone()[0]
        yield ok("mlflow", f"{path}: {runs} runs")
    except sqlite3.Error as error:
        yield fail(
            "mlflow",
            f"{path}: {error}",
            "put it back from a backup, or remove it: the next run mirrors the ledger again",
        )


def prefect() -> Iterator[Finding]:
    """Whether the Prefect server answers, is of the client's version, and has a worker for what is deployed."""
    address = prefect_address()
    if address is None:
        yield ok("prefect", "the checkout's own server does not run; commands start it on demand")
        return
    reply = address.get("/health")
    mend = f"{REACH} PREFECT_API_URL" if os.environ.get("PREFECT_API_URL") else "penstock down, then penstock up"
    if reply.refused:
        yield fail(
            "prefect", f"{address.shown}: refused, {reply.words}", "set PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
        )
        return
    if reply.status != 200:
        yield fail("prefect", f"{address.shown}: {reply.words}", mend)
        return
    theirs, ours = str(address.get("/admin/version").body or "of an unknown version"), version("prefect")
    if theirs != ours:
        yield warn(
            "prefect",
            f"{address.shown} is {theirs}, the client here is {ours}",
            "have both the same: newer clients break older servers",
        )
    else:
        yield ok("prefect", f"{address.shown} answers, version {theirs}")
    pool = prefect_names.pool()
    of_pool = {"work_pools": {"name": {"any_": [pool]}}}
    deployed = address.post("/deployments/count", of_pool).body
    workers = address.post(f"/work_pools/{pool}/workers/filter", {}).body or []
    online = [str(worker["name"]) for worker in workers if worker.get("status") == "ONLINE"]
    if deployed and not online:
        yield fail(
            "worker",
            f"{deployed} deployments, and no worker of the pool `{pool}` is alive: schedules do nothing",
            "penstock up",
        )
    elif deployed:
        yield ok("worker", f"{deployed} deployments, {len(online)} worker{'s' * (len(online) != 1)} alive")
    else:
        yield ok("worker", "no deployments yet: penstock deploy-flows, or penstock up")


def alerts() -> Iterator[Finding]:
    """Whether each channel that a project names has an address: a variable here, or a block on the Prefect server."""
    channels: dict[str, list[str]] = {}
    for name in project_names():
        with contextlib.suppress(PenstockError, OSError, UnicodeDecodeError):
            for channel in load_project(name).alerts:
                channels.setdefault(channel, []).append(name)
    lost = 0
    for channel, projects in channels.items():
        name = alert_channels.variable(channel)
        if os.environ.get(name) or _is_saved(channel):
            continue
        lost += 1
        said = f"{channel}, of {shortened(projects)}, reaches nobody"
        if "/" in channel:
            yield warn(
                "alerts",
                f"{said}, as far as can be told: no such block was found",
                "penstock up, and save the block in Prefect",
            )
        else:
            yield warn(
                "alerts",
                f"{said}: {name} is not set, and no block was made of it",
                f"set {name}, then penstock deploy-flows",
            )
    if not lost:
        yield ok("alerts", f"{len(channels)} channels have an address" if channels else "no project names a channel")


def _is_saved(channel: str) -> bool:
    """Whether the Prefect server, if one answers, has the channel's block. Its content is not asked for."""
    address = prefect_address()
    if address is None:
        return False
    named = (
        [tuple(channel.split("/"))]
        if "/" in channel
        else [(kind, prefect_names.block(channel)) for kind in alert_channels.KINDS]
    )
    return any(
        address.get(f"/block_types/slug/{kind}/block_documents/name/{name}").status == 200 for kind, name in named
    )
