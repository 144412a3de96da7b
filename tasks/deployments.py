"""Puts the deployments of `prefect.yaml` onto the server: those that are there, and no others.

`prefect deploy` updates what the file has, but leaves behind deployments and schedules that were taken out of it, and
their runs go on. So what an earlier version of the file put there is removed here.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from penstock.errors import ConfigError, PlatformError
from tasks import locks
from tasks.settings import settings
from tasks.source import CODE
from tasks.store import write_atomic


def ensure_deployments() -> list[str]:
    """Deploy if `prefect.yaml` or the flows changed since the last time; returns what was deployed, by name.

    Raises ConfigError when the file is wrong, PlatformError with Prefect's words when it refuses.
    """
    path = settings().root / "prefect.yaml"
    wanted = _wanted(path)
    stamp = _stamp(path)
    with locks.exclusive("deployments"):
        before = _deployed()
        if before.get("stamp") == stamp:
            return []
        _ensure_pool()
        if wanted:
            _deploy()
        _remove_others(wanted, before.get("names", []))
        write_atomic(_record(), json.dumps({"stamp": stamp, "names": sorted(wanted)}).encode())
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
    """Changes when the file, the flows' parameters or the server do."""
    parts = [path.read_bytes(), *(flow.read_bytes() for flow in sorted((CODE / "flows").glob("*.py")))]
    return hashlib.sha256(b"\0".join([*parts, os.environ.get("PREFECT_API_URL", "").encode()])).hexdigest()


def _deployed() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_record().read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _record() -> Path:
    return settings().prefect_home / "deployed.json"


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
        raise PlatformError(
            "Prefect refused the deployments.",
            where=str(settings().root / "prefect.yaml"),
            found=" ".join((said.stderr or said.stdout).split())[-400:],
            next_step="correct prefect.yaml, then: penstock up",
        )


def _remove_others(wanted: dict[str, set[str]], before: list[str]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        for name in sorted(set(before) - set(wanted)):
            try:
                client.delete_deployment(client.read_deployment_by_name(name).id)
            except ObjectNotFound:
                continue
        for name, slugs in wanted.items():
            deployment = client.read_deployment_by_name(name)
            for schedule in deployment.schedules:
                if schedule.slug not in slugs:
                    client.delete_deployment_schedule(deployment.id, schedule.id)
