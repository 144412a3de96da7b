"""Releases: registered in the ledger, found again by version or by identity."""

from __future__ import annotations

from pydantic import ValidationError

from penstock import ledger
from penstock.candidate import Candidate, Champion, Lineage, Release
from penstock.errors import DataError, StorageError
from penstock.ledger import Event
from tasks import ledger_store, store
from tasks.caching import file_refs, task


@task(reads=True)
def find_champion(lineage: Lineage) -> Champion | None:
    """What a candidate of this lineage is compared with, or None before the first release."""
    event = ledger.champion(ledger_store.read_all(lineage.project), lineage.identity)
    if event is None:
        return None
    return Champion(version=event.version, model=_candidate(event).model, why="the newest release")


@task(reads=True)
def find_existing(lineage: Lineage, champion: Champion | None) -> Release | None:
    """The release of this very lineage, or its rejection beside this champion, if every file of it is intact."""
    events = ledger_store.read_all(lineage.project)
    against = champion.version if champion else ""
    event = ledger.with_identity(events, lineage.identity) or ledger.rejected_against(events, lineage.identity, against)
    if event is None:
        return None
    try:
        refs = [event.record, *file_refs(_candidate(event))]
    except StorageError:
        return None
    return _release(event, new=False) if all(store.intact(ref) for ref in refs) else None


@task(reads=True)
def recorded_candidate(release: Release) -> Candidate:
    """The candidate of a release, from its record. Raises StorageError if that is damaged."""
    return _parsed(store.read_bytes(release.record), str(release.record))


@task(cached=False)
def register(candidate: Candidate) -> Release:
    """Append the candidate to the ledger: a version if its gates passed, a rejection if not.

    The same lineage is never given a second version. If its files had to be made again, the event says so under the
    version it has.
    """
    record = store.put_json(candidate.model_dump(mode="json"), "record.json")
    identity, project = candidate.lineage.identity, candidate.lineage.project
    known: list[Event] = []

    def make(events: list[Event]) -> dict[str, object] | None:
        known.clear()
        against = candidate.champion.version if candidate.champion else ""
        facts = {
            "dataset": candidate.dataset.version,
            "model": candidate.model.booster.sha256,
            "champion": against,
            "bento": candidate.package.tag if candidate.package else "",
            "commit": candidate.lineage.git_commit,
        }
        common = {"identity": identity, "record": record, "facts": facts}
        if not candidate.decision.passed:
            earlier = ledger.rejected_against(events, identity, against)
            if earlier and _same(earlier, candidate):
                known.append(earlier)
                return None
            return common | {"kind": "rejected", "version": "", "reason": "; ".join(candidate.decision.reasons)}
        earlier = ledger.with_identity(events, identity)
        if earlier is None:
            version = ledger.next_version(events, project)
            return common | {"kind": "registered", "version": version, "reason": str(candidate.decision)}
        if _same(earlier, candidate):
            known.append(earlier)
            return None
        return common | {"kind": "registered", "version": earlier.version, "reason": "its files were made again"}

    event = ledger_store.append(project, make)
    return _release(event, new=True) if event else _release(known[0], new=False)


def read_ledger(name: str) -> list[Event]:
    """Every event of a project, oldest first. Raises StorageError if the ledger is damaged."""
    return ledger_store.read_all(name)


def find_release(name: str, version: str = "") -> Release:
    """The release of that version, or the newest. Raises DataError naming those there are."""
    events = ledger_store.read_all(name)
    event = ledger.find(events, version) if version else ledger.newest(events)
    if event is None:
        raise DataError(
            f"There is no release `{version}`." if version else f"`{name}` has no release yet.",
            allowed=", ".join(event.version for event in ledger.releases(events)),
            next_step=f"penstock run {name}" if not version else f"penstock status {name}",
        )
    return _release(event, new=False)


def _same(event: Event, candidate: Candidate) -> bool:
    """Whether an event's candidate is this one, whatever the git commit it was made at."""
    try:
        earlier = _candidate(event)
    except StorageError:
        return False
    return earlier.model_copy(update={"lineage": candidate.lineage}) == candidate


def _candidate(event: Event) -> Candidate:
    return _parsed(store.read_bytes(event.record), f"event {event.sequence}")


def _parsed(content: bytes, where: str) -> Candidate:
    try:
        return Candidate.model_validate_json(content)
    except ValidationError as error:
        raise StorageError(
            "A release's record cannot be read by this version of Penstock.",
            where=where,
            found=str(error).splitlines()[0],
            next_step="use the version that wrote it, or train again",
        ) from None


def _release(event: Event, *, new: bool) -> Release:
    return Release(
        project=event.project,
        version=event.version,
        verdict="blessed" if event.kind == "registered" else "rejected",
        identity=event.identity,
        record=event.record,
        sequence=event.sequence,
        new=new,
    )
