"""Puts the deployments of `prefect.yaml` onto the server: those that are there, and no others.

`prefect deploy` updates what the file has, but leaves behind deployments and schedules that were taken out of it, and
their runs go on. So what an earlier version of the file put there is removed here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from penstock.errors import ConfigError, PlatformError
from tasks import locks
from tasks.settings import settings
from tasks.source import CODE
from tasks.store import write_atomic


def ensure_deployments() -> list[str]:
    """Deploy what the server lacks, or all if `prefect.yaml` or the flows changed; returns what was deployed, by name.

    Raises ConfigError when the file is wrong, PlatformError with Prefect's words when it refuses.
    """
    path = settings().root / "prefect.yaml"
    wanted = _wanted(path)
    stamp = _stamp(path)
    with locks.exclusive("deployments"), _readable_errors():
        before = _deployed()
        if before.get("stamp") == stamp and not _missing(wanted):
            return []
        names = set(before.get("names", []))
        _record_deployed("", names | set(wanted))  # if this breaks off, what it did is known to be ours
        _ensure_pool()
        if wanted:
            _deploy()
            missing = _missing(wanted)
            if missing:
                raise _refused(f"{', '.join(missing)} is not there afterwards")
        _remove_others(wanted, names)
        _record_deployed(stamp, set(wanted))
    return sorted(wanted)


def _wanted(path: Path) -> dict[str, set[str]]:
    """``{"flow/deployment": slugs of its schedules}``. Every schedule needs a slug: without, Prefect cannot tell."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found = {}
        for deployment in tree.get("deployments") or []:
            flow = deployment["entrypoint"].rpartition(":")[2]
            slugs = [schedule.get("slug") for schedule in deployment.get("schedules") or []]
            if not all(slugs):
                raise ConfigError(
                    "A schedule has no slug.",
                    where=f"{path.name}, deployment {deployment['name']}",
                    next_step="give it one: without, a schedule that was taken out goes on",
                )
            found[f"{flow}/{deployment['name']}"] = set(slugs)
    except (yaml.YAMLError, KeyError, AttributeError, TypeError, OSError) as error:
        raise ConfigError("The deployments cannot be read.", where=path.name, found=f"{error!r}"[:200]) from None
    return found


def _stamp(path: Path) -> str:
    """Changes when the file, the flows' parameters or the checkout's place do."""
    parts = [os.fsencode(path), path.read_bytes()]
    parts += [flow.read_bytes() for flow in sorted((CODE / "flows").glob("*.py"))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _deployed() -> dict[str, Any]:
    """What this checkout has put onto the server: ``{"stamp": ..., "names": [...]}``."""
    try:
        found = json.loads(_record().read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _record_deployed(stamp: str, names: set[str]) -> None:
    write_atomic(_record(), json.dumps({"stamp": stamp, "names": sorted(names)}).encode())


def _record() -> Path:
    """One file for each server: what was deployed on one says nothing of another."""
    from tasks.platform import named_server

    server = named_server()
    name = "-" + hashlib.sha256(server.encode()).hexdigest()[:12] if server else ""
    return settings().prefect_home / f"deployed{name}.json"


def _missing(wanted: dict[str, set[str]]) -> list[str]:
    """Those that the server does not have: they never came, or somebody deleted them there."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    missing = []
    with get_client(sync_client=True) as client:
        for name in wanted:
            try:
                client.read_deployment_by_name(name)
            except ObjectNotFound:
                missing.append(name)
    return missing


def _ensure_pool() -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    from tasks.platform import POOL

    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        except ObjectAlreadyExists:
            return


def _deploy() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=settings().root,
        env={**os.environ, "PWD": str(settings().root), "PYTHONPATH": str(CODE), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    # a schedule with an unknown key skips its deployment and still says all is well
    if said.returncode or "skipping" in said.stdout.lower():
        raise _refused(" ".join((said.stderr or said.stdout).split())[-400:])


def _refused(found: str) -> PlatformError:
    return PlatformError(
        "Prefect refused the deployments.",
        where=str(settings().root / "prefect.yaml"),
        found=found,
        next_step="correct prefect.yaml, then: penstock up",
    )


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Turns what Prefect's client raises into PlatformError: no right to it, or a server that went away."""
    from httpx import HTTPError

    try:
        yield
    except HTTPError as error:
        raise PlatformError(
            "The Prefect server did not do what deploying needs.",
            where=os.environ.get("PREFECT_API_URL", ""),
            found=str(error).splitlines()[0][:300] if str(error) else type(error).__name__,
            next_step="penstock up, once it answers",
        ) from error


def _remove_others(wanted: dict[str, set[str]], before: set[str]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        for name in sorted(before - set(wanted)):
            try:
                client.delete_deployment(client.read_deployment_by_name(name).id)
            except ObjectNotFound:
                continue
        for name, slugs in wanted.items():
            deployment = client.read_deployment_by_name(name)
            for schedule in deployment.schedules:
                if schedule.slug not in slugs:
                    client.delete_deployment_schedule(deployment.id, schedule.id)
