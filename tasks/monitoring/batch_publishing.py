"""Gives a scored file its name and its place in the prediction log: both, or neither, wherever a process is killed.

`<home>/scoring/<project>/<run>.json` says what is to be done, once everything is on disk; from then on the run counts.
What is left (renaming, a segment, a line in the ledger) may be done by anybody, and twice: the next `score` or
`monitor` does it for a process that was killed. Before that file is there, nothing of the run is.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from pydantic import ValidationError

from penstock import ledger
from penstock.errors import DataError, StorageError
from penstock.ledger import Event
from penstock.scored import Intent, Scored, quarantine_of
from tasks.machine.settings import settings
from tasks.monitoring.collected_store import segment_path
from tasks.registry import ledger_store
from tasks.store import locks, store


def publish(intent: Intent) -> None:
    """Make the run count. Raises DataError if the output has come to be meanwhile: then nothing has changed."""
    scored = intent.scored
    with _publishing(scored.project):
        if Path(scored.output).exists() and not intent.force:
            raise output_exists(scored.output)
        with store.readable_errors(_folder(scored.project)):
            store.write_atomic(_path(intent), intent.model_dump_json(indent=1).encode())
        _finish(intent)


def settle(project: str) -> list[Scored]:
    """Finish what killed processes left half published; returns those runs. Raises StorageError if that cannot be."""
    if not any(_folder(project).glob("*.json")):
        return []
    finished = []
    with _publishing(project):
        for path in sorted(_folder(project).glob("*.json")):
            try:
                intent = Intent.model_validate_json(path.read_bytes())
            except ValidationError as error:
                raise StorageError(
                    "What a score run was about to publish cannot be read.",
                    where=str(path),
                    found=str(error).splitlines()[0],
                    next_step="remove the file, and score again",
                ) from None
            if _finish(intent):
                finished.append(intent.scored)
    return finished


def output_exists(output: str) -> DataError:
    """The error for an output that may not be replaced."""
    return DataError(
        "The output is there already.",
        where=output,
        allowed="a name that is free, or --force to replace the file",
        next_step="remove or rename it, or score with --force",
    )


def _finish(intent: Intent) -> bool:
    """The steps that are left, in order. False if the output's name was taken by somebody else: then nothing is."""
    scored, draft = intent.scored, Path(intent.draft)
    output, refused = Path(scored.output), Path(quarantine_of(scored.output))
    with store.readable_errors(output):
        if draft.exists():
            if output.exists() and not intent.force:
                for each in (draft, Path(intent.quarantine_draft), _path(intent)):
                    each.unlink(missing_ok=True)
                return False
            if scored.refused:
                with contextlib.suppress(FileNotFoundError):  # it has its name already
                    Path(intent.quarantine_draft).replace(refused)
            else:
                refused.unlink(missing_ok=True)  # of the output that is replaced
            draft.replace(output)
            store.sync_folder(output.parent)
    if intent.segment is not None and intent.batch is not None:
        path = segment_path(scored.project, intent.segment)
        with contextlib.suppress(FileExistsError):
            store.write_atomic(path, intent.batch.model_dump_json(indent=1).encode(), exclusive=True)
    ledger_store.append(scored.project, lambda events: _event(events, scored))
    _path(intent).unlink(missing_ok=True)
    return True


def _event(events: list[Event], scored: Scored) -> dict[str, object] | None:
    if any(event.kind == "scored" and event.facts.get("run") == scored.run for event in events):
        return None
    made = ledger.find(events, scored.version)
    assert made is not None  # the release was read from this ledger
    refused = f", {scored.refused:,} refused" if scored.refused else ""
    facts = {"run": scored.run, "rows": scored.rows, "refused": scored.refused, "logged": scored.logged}
    facts |= {"source": scored.source, "output": scored.output}
    return {
        "kind": "scored",
        "version": scored.version,
        "identity": made.identity,
        "record": made.record,
        "reason": f"{scored.rows:,} rows{refused}: {Path(scored.source).name} to {Path(scored.output).name}",
        "facts": {name: str(fact) for name, fact in facts.items()},
    }


def _publishing(project: str) -> contextlib.AbstractContextManager[None]:
    return locks.exclusive(f"publish-{project}")


def _path(intent: Intent) -> Path:
    return _folder(intent.scored.project) / f"{intent.scored.run}.json"


def _folder(project: str) -> Path:
    return settings().home / "scoring" / project
