"""What scoring a file leaves: the predictions, and beside them what monitoring takes of it, as a window of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from penstock import ledger
from penstock.collected import Counts, Segment
from penstock.errors import DataError
from penstock.ledger import Event
from penstock.refs import FileRef, Value

OnInvalid = Literal["", "quarantine", "fail"]
WRITTEN = ("request_id", "row", "model", "probability", "prediction")  # columns of every output
INVALID = "invalid rows"


class Request(Value):
    """What is asked for. ``source``: a file, folder or pattern, `data` or `dataset:VERSION`; ``columns``: those
    of it that the output repeats; ``on_invalid``: "" for what `data.on_invalid` says; ``quarantined``: a release that
    is in quarantine is meant."""

    source: str
    output: str
    version: str = ""
    columns: tuple[str, ...] = ()  # not `keys`: what has that is a mapping to `dict()`, and so to Prefect
    on_invalid: OnInvalid = ""
    force: bool = False
    quarantined: bool = False
    log: bool = True


class Scored(Value):
    """What came of it. ``run``: the request id of all its rows; ``refused``: rows that the schema does not allow.

    ``unknown``: by column, how many categories training had not seen; they count as missing. ``quarantine``: the file
    of the refused rows, "" where there are none. ``logged``: whether monitoring counts the rows. ``profile``: whylogs,
    of the features.
    """

    project: str
    run: str
    version: str
    source: str
    output: str
    rows: int
    refused: int
    quarantine: str
    unknown: dict[str, int]
    logged: bool
    profile: FileRef

    def __str__(self) -> str:
        refused = f", {self.refused:,} refused" if self.refused else ""
        return f"{self.rows:,} rows by {self.version}{refused}"

    def text(self) -> str:
        """What a terminal shows."""
        strange = ", ".join(f"{count:,} in {name}" for name, count in self.unknown.items())
        lines = [
            f"{self.version}: {self.rows:,} rows scored to {self.output}",
            f"  refused:    {self.refused:,} rows, see {self.quarantine}" if self.refused else "",
            f"  unknown:    categories that training did not have count as missing: {strange}" if strange else "",
            f"  request id: {self.run}",
            "  monitoring: not told, as asked" if not self.logged else "",
        ]
        return "\n".join(line for line in lines if line)


class LoggedBatch(Value):
    """A closed segment of the prediction log that is a scored file. ``rows`` and ``profile`` are as a window has them.

    ``since`` and ``until``: when scoring began and ended, nanoseconds since 1970. Of ``counts`` every row is a request.
    """

    model: str
    since: int
    until: int
    rows: FileRef
    profile: FileRef
    counts: Counts


class Intent(Value):
    """All is computed and on disk; what is left is to give the files their names. Written first, removed last.

    ``draft`` and ``quarantine_draft``: where the files are until then. ``segment`` and ``batch``: what the log gets,
    None where it gets nothing.
    """

    scored: Scored
    draft: str
    quarantine_draft: str
    force: bool
    segment: Segment | None
    batch: LoggedBatch | None


def quarantine_of(output: str) -> str:
    """The file of the rows that were refused: beside the output."""
    return f"{output}.quarantine.parquet"


def release_for(events: Sequence[Event], project: str, request: Request) -> str:
    """Which release scores: the one asked for, else the one that serves, else the newest that is not in quarantine.

    Raises DataError if there is none, or if it is in quarantine and that is not what was asked for.
    """
    barred = ledger.quarantined(events)
    serves = ledger.serving(events)
    fit = [event.version for event in ledger.releases(events) if event.version not in barred]
    version = request.version or (serves.version if serves else fit[-1] if fit else "")
    if not version or ledger.find(events, version) is None:
        known = [event.version for event in ledger.releases(events)]
        raise DataError(
            f"There is no release `{version}`." if version else f"`{project}` has no release that may score.",
            allowed=", ".join(known),
            next_step=f"penstock status {project}" if known else f"penstock run {project}",
        )
    if version in barred and not request.quarantined:
        raise DataError(
            f"{version} is in quarantine.",
            found=barred[version],
            allowed=", ".join(fit),
            next_step="name another with --version, or say --quarantined if this one is meant",
        )
    return version
