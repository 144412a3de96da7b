"""Releases after they are registered: what the ledger says of them, what is added to it, and their packages."""

from __future__ import annotations

from penstock import ledger
from penstock.candidate import Candidate
from penstock.desired import Server
from penstock.errors import DataError
from penstock.ledger import Event, Kind
from penstock.refs import Package, Value
from penstock.release_config import ServeConfig
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.registry import ledger_store
from tasks.registry.registry import find_release, recorded_candidate
from tasks.store import store


class Packaged(Value):
    """A release, the candidate that it was made of, and that one's package."""

    version: str
    candidate: Candidate
    package: Package


def packaged(project: str, version: str = "") -> Packaged:
    """A release by version, or the newest. Raises DataError if there is none, StorageError if its record is damaged."""
    release = find_release(project, version)
    candidate = recorded_candidate.fn(release)
    if candidate.package is None:
        raise DataError(f"`{release.version}` has no package.", next_step=f"penstock run {project}")
    return Packaged(version=release.version, candidate=candidate, package=candidate.package)


def holdout(project: str, version: str, metric: str) -> float | None:
    """A release's metric on the test rows that it was judged by. Raises as `packaged` does."""
    metrics = store.read_json(packaged(project, version).candidate.evaluation.metrics)["metrics"]
    value: float | None = metrics.get(metric)
    return value


def server_of(release: Packaged, serve: ServeConfig, fault: str = "") -> Server:
    """The processes that serve a release on this machine."""
    return Server(
        version=release.version,
        project=release.candidate.lineage.project,
        package=release.package,
        max_body_bytes=int(store.read_json(release.package.schema_spec)["max_body_bytes"]),
        log=serve.log,
        workers=settings().workers,
        memory_mb=settings().worker_memory_mb,
        fault=fault,
        clock=clock.file(),
    )


def tell(project: str, kind: Kind, version: str, reason: str, **facts: object) -> Event:
    """Append what happened to a release to the ledger. Raises DataError if the ledger does not know the release."""

    def make(events: list[Event]) -> dict[str, object]:
        made = ledger.find(events, version)
        if made is None:
            raise DataError(
                f"There is no release `{version}`.",
                allowed=", ".join(event.version for event in ledger.releases(events)),
                next_step=f"penstock status {project}",
            )
        return {
            "kind": kind,
            "version": version,
            "identity": made.identity,
            "record": made.record,
            "reason": reason,
            "facts": {name: str(fact) for name, fact in facts.items()},
        }

    event = ledger_store.append(project, make)
    assert event is not None  # `make` never says that there is nothing to append
    return event
