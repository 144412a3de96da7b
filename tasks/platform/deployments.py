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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from penstock.errors import ConfigError, PlatformError
from penstock.refs import Value
from tasks.machine.environments import DEVELOPMENT
from tasks.machine.settings import settings
from tasks.platform import prefect_names, server_records
from tasks.platform.changes import Change, Done
from tasks.store import locks
from tasks.store.source import CODE
from tasks.store.store import write_atomic

RECORD = "deployed"
OWNED = "Runs the flows of Penstock's environment "  # a pool's description begins so, and goes on with its name


class Wanted(Value):
    """What `prefect.yaml` says of one deployment. ``project``: whom it works for; ``slugs``: of its schedules;
    ``stamp``: changes when what is deployed does."""

    project: str
    slugs: frozenset[str]
    stamp: str


class Deployments(Value):
    """What was done, and the ids of what is there: project -> `flow/deployment` -> id."""

    changes: tuple[Change, ...]
    ids: dict[str, dict[str, str]]


def ensure_deployments() -> Deployments:
    """The work pool, and what the server lacks of `prefect.yaml`, or has otherwise than that and the flows are now.

    Raises ConfigError when the file is wrong, PlatformError with Prefect's words when it refuses.
    """
    wanted = _wanted(settings().root / "prefect.yaml")
    with locks.exclusive("deployments"), readable_errors():
        pool = _ensure_pool()
        before = server_records.read(RECORD)
        names, stamps = set(before.get("names", [])), before.get("stamps", {})
        there = _there(wanted)
        stale = {name for name, want in wanted.items() if name not in there or stamps.get(name) != want.stamp}
        fresh = set(wanted) - stale
        changes = [pool, *_changes("kept", fresh)]
        if not stale and names == set(wanted):
            return _done(wanted, there, changes)
        _record(names | set(wanted), {})  # if this breaks off, what it did is known to be ours
        changes += [*_changes("updated", stale & set(there)), *_changes("created", stale - set(there))]
        if stale:
            _deploy(sorted(stale))
            there = _there(wanted)
            missing = sorted(set(wanted) - set(there))
            if missing:
                raise _refused(f"{', '.join(missing)} is not there afterwards")
        changes += _remove_others(wanted, stale, names)
        _record(set(wanted), {name: want.stamp for name, want in wanted.items()})
    return _done(wanted, there, changes)


def _changes(done: Done, names: Iterable[str]) -> list[Change]:
    return [Change(done=done, kind="deployment", name=name) for name in sorted(names)]


def _done(wanted: Mapping[str, Wanted], there: Mapping[str, str], changes: list[Change]) -> Deployments:
    ids: dict[str, dict[str, str]] = {}
    for name, found in there.items():
        ids.setdefault(wanted[name].project, {})[name] = found
    return Deployments(changes=tuple(changes), ids=ids)


def _wanted(path: Path) -> dict[str, Wanted]:
    """By `flow/deployment`. Every schedule needs a slug: without, Prefect cannot tell."""
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        tree = prefect_names.here(written)
        around = [str(path), _flows(), {key: value for key, value in tree.items() if key != "deployments"}]
        found = {}
        for deployment, own in zip(tree.get("deployments") or [], written.get("deployments") or [], strict=True):
            flow = deployment["entrypoint"].rpartition(":")[2]
            slugs = [schedule.get("slug") for schedule in deployment.get("schedules") or []]
            if not all(slugs):
                raise ConfigError(
                    "A schedule has no slug.",
                    where=f"{path.name}, deployment {deployment['name']}",
                    next_step="give it one: without, a schedule that was taken out goes on",
                )
            config = (deployment.get("parameters") or {}).get("config", own["name"])
            found[f"{flow}/{deployment['name']}"] = Wanted(
                project=Path(str(config)).stem,
                slugs=frozenset(slugs),
                stamp=hashlib.sha256(json.dumps([deployment, *around], default=str).encode()).hexdigest(),
            )
    except (yaml.YAMLError, KeyError, AttributeError, TypeError, ValidationError, OSError) as error:
        raise ConfigError("The deployments cannot be read.", where=path.name, found=f"{error!r}"[:200]) from None
    return found


def _flows() -> str:
    """Changes when a flow's parameters may have."""
    files = [flow.read_bytes() for flow in sorted((CODE / "flows").glob("*.py"))]
    return hashlib.sha256(b"\0".join(files)).hexdigest()


def _record(names: set[str], stamps: Mapping[str, str]) -> None:
    server_records.write(RECORD, {"names": sorted(names), "stamps": dict(stamps)})


def _there(names: Iterable[str]) -> dict[str, str]:
    """Ids of those that the server has. One that is missing never came, or somebody deleted it there."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    found = {}
    with get_client(sync_client=True) as client:
        for name in names:
            with contextlib.suppress(ObjectNotFound):
                found[name] = str(client.read_deployment_by_name(name).id)
    return found


def _ensure_pool() -> Change:
    """The environment's work pool. Raises PlatformError if it is another environment's."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    name = prefect_names.pool()
    done: Done = "kept"
    owned = OWNED + (settings().environment or DEVELOPMENT)
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(name)
        except ObjectNotFound:
            from prefect.workers.process import ProcessWorker

            template = ProcessWorker.get_default_base_job_template()
            wanted = WorkPoolCreate(name=name, type="process", base_job_template=template, description=owned)
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_work_pool(wanted)
                done = "created"
            found = client.read_work_pool(name)
        if not found.description:  # made by a worker, or before pools were told apart
            client.update_work_pool(name, WorkPoolUpdate(description=owned))
        elif found.description.startswith(OWNED) and found.description != owned:
            raise _of_another(name, found.description.removeprefix(OWNED))
    return Change(done=done, kind="work pool", name=name)


def _of_another(pool: str, environment: str) -> PlatformError:
    return PlatformError(
        f"The work pool `{pool}` is of another environment: each would run the other's flows.",
        where=os.environ.get("PREFECT_API_URL", ""),
        found=f"it is of {environment}",
        allowed="one work pool for each environment",
        next_step="give PENSTOCK_WORK_POOL another name, or take it out; if the pool has changed hands, "
        "clear its description in Prefect",
    )


def _deploy(names: list[str]) -> None:
    chosen = [word for name in names for word in ("--name", name)]
    if settings().environment or settings().work_pool:
        chosen += ["--prefect-file", str(_written_here())]
    said = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", *chosen],
        cwd=settings().root,
        env={**os.environ, "PWD": str(settings().root), "PYTHONPATH": str(CODE), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    # a schedule with an unknown key skips its deployment and still says all is well
    if said.returncode or "skipping" in said.stdout.lower():
        raise _refused(" ".join((said.stderr or said.stdout).split())[-400:])


def _written_here() -> Path:
    """`prefect.yaml` with this environment's names, in a file of its own."""
    path = settings().prefect_home / "prefect.yaml"
    tree = prefect_names.here(yaml.safe_load((settings().root / "prefect.yaml").read_text(encoding="utf-8")))
    write_atomic(path, yaml.safe_dump(tree, sort_keys=False).encode())
    return path


def _refused(found: str) -> PlatformError:
    return PlatformError(
        "Prefect refused the deployments.",
        where=str(settings().root / "prefect.yaml"),
        found=found,
        next_step="correct prefect.yaml, then: penstock deploy-flows",
    )


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Turns what Prefect's client raises into PlatformError: no right to it, or a server that went away."""
    from httpx import HTTPError

    try:
        yield
    except HTTPError as error:
        raise PlatformError(
            "The Prefect server did not do what deploying needs.",
            where=os.environ.get("PREFECT_API_URL", ""),
            found=str(error).splitlines()[0][:300] if str(error) else type(error).__name__,
            next_step="penstock deploy-flows, once it answers",
        ) from error


def _remove_others(wanted: Mapping[str, Wanted], deployed: Iterable[str], before: set[str]) -> list[Change]:
    """The deployments of ``before`` that nobody wants any more, and such schedules of those just ``deployed``."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    changes = []
    with get_client(sync_client=True) as client:
        for name in sorted(before - set(wanted)):
            with contextlib.suppress(ObjectNotFound):
                client.delete_deployment(client.read_deployment_by_name(name).id)
                changes.append(Change(done="removed", kind="deployment", name=name))
        for name in sorted(deployed):
            deployment = client.read_deployment_by_name(name)
            for schedule in deployment.schedules:
                if schedule.slug not in wanted[name].slugs:
                    client.delete_deployment_schedule(deployment.id, schedule.id)
                    changes.append(Change(done="removed", kind="schedule", name=f"{name}, {schedule.slug}"))
    return changes
