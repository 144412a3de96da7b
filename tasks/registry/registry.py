"""Releases: registered in the ledger, found again by version or by identity."""

from __future__ import annotations

from pydantic import ValidationError

from penstock import ledger
from penstock.candidate import Candidate, Champion, Lineage, Release
from penstock.errors import DataError, StorageError
from penstock.forcing import forced as forced_releases
from penstock.ledger import Event, Kind
from penstock.skew import SKEW
from tasks.machine.settings import settings
from tasks.registry import ledger_store
from tasks.store import store
from tasks.store.caching import file_refs, task

VERDICTS: dict[Kind, str] = {"registered": "blessed", "forced": "forced", "rejected": "rejected"}


@task(reads=True)
def find_champion(lineage: Lineage) -> Champion | None:
    """What a candidate of this lineage is compared with, or None before the first release.

    Raises StorageError if the champion's files are damaged: a candidate that cannot be compared must not replace it.
    """
    events = read_ledger(lineage.project)
    event = ledger.champion(events, lineage.identity)
    if event is None:
        return None
    try:
        model = _candidate(event).model
    except StorageError as error:
        raise _lost(event, error.found or str(event.record)) from None
    damaged = [str(ref) for ref in file_refs(model) if not store.intact(ref)]
    # a release that is there already was compared when it was made, and needs its champion's files no more
    if damaged and ledger.with_identity(events, lineage.identity) is None:
        raise _lost(event, ", ".join(damaged))
    serves = ledger.serving(events)
    why = "it serves production" if serves and serves.version == event.version else "the newest release"
    if event.kind == "forced":
        why += f", blessed by force {forced_releases(events)[event.version]}"
    return Champion(version=event.version, model=model, why=why)


@task(reads=True)
def find_existing(lineage: Lineage, champion: Champion | None) -> Release | None:
    """The release of this very lineage, or its rejection beside this champion, if every file of it is intact.

    A rejection for what clients sent is none: they may send something else now, so such a candidate is judged again.
    """
    events = ledger_store.read_all(lineage.project)
    against = champion.version if champion else ""
    event = ledger.with_identity(events, lineage.identity) or ledger.rejected_against(events, lineage.identity, against)
    if event is None:
        return None
    try:
        candidate = _candidate(event)
    except StorageError:
        return None
    if event.kind == "rejected" and any(check.name == SKEW for check in candidate.decision.checks if not check.passed):
        return None
    refs = [event.record, *file_refs(candidate)]
    return release_of(event) if store.intact(*refs) else None


@task(reads=True)
def recorded_candidate(release: Release) -> Candidate:
    """The candidate of a release, from its record. Raises StorageError if that is damaged."""
    return _parsed(store.read_bytes(release.record), str(release.record))


@task(cached=False)
def register(candidate: Candidate) -> Release:
    """Append the candidate to the ledger: a version if its gates passed or a person forced it, a rejection if not.

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
        forced = candidate.forced
        if not candidate.decision.passed and forced is None:
            earlier = ledger.rejected_against(events, identity, against)
            if earlier and _same(earlier, candidate):
                known.append(earlier)
                return None
            return common | {"kind": "rejected", "version": "", "reason": "; ".join(candidate.decision.reasons)}
        earlier = ledger.with_identity(events, identity)
        if earlier is not None and _same(earlier, candidate):
            known.append(earlier)
            return None
        version = earlier.version if earlier else ledger.next_version(events, project)
        if forced is not None:
            word = {"facts": facts | forced.model_dump(mode="json"), "reason": str(forced)}
            return common | {"kind": "forced", "version": version} | word
        if earlier is None or earlier.kind == "forced":
            return common | {"kind": "registered", "version": version, "reason": str(candidate.decision)}
        return common | {"kind": "registered", "version": version, "reason": "its files were made again"}

    event = ledger_store.append(project, make)
    return release_of(event, new=True) if event else release_of(known[0])


def read_ledger(name: str) -> list[Event]:
    """A project's events in this environment, oldest first: what serves elsewhere is not what serves here.

    Raises StorageError if the ledger is damaged.
    """
    return ledger.seen_in(ledger_store.read_all(name), settings().environment)


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
    return release_of(event)


def release_of(event: Event, *, new: bool = False) -> Release:
    """What the ledger made of the candidate that ``event`` judged."""
    return Release(
        project=event.project,
        version=event.version,
        verdict=VERDICTS[event.kind],
        identity=event.identity,
        record=event.record,
        sequence=event.sequence,
        new=new,
    )


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


def _lost(event: Event, found: str) -> StorageError:
    """Running again does not mend this: only the lineage that made a release can make its files again."""
    commit, dataset = event.facts.get("commit", ""), event.facts.get("dataset", "")
    at = f"at commit {commit[:12]}" if commit else "with the code and config it was made with"
    return StorageError(
        f"The champion {event.version} cannot be compared with: its files are missing or damaged.",
        where=str(settings().store),
        found=found,
        next_step=f"put them back from a backup, or make the release again {at}: "
        f"penstock train {event.project} --revision {dataset.removesuffix('.dir')}",
    )
