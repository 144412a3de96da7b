"""What stages of `penstock ci` found, kept for the report: `.penstock/ci/` of the checkout, one JSON file a stage.

A CI system hands that folder from job to job, whatever `PENSTOCK_HOME` says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from penstock.ci import REPORT
from penstock.ci_found import ChecksFound, DataFound, Failed, TrainFound
from penstock.errors import StorageError
from penstock.refs import Value
from tasks.machine.settings import settings
from tasks.store.store import readable_errors, write_atomic

V = TypeVar("V", bound=Value)


class Checked(Value):
    commit: str
    found: ChecksFound


class OfData(Value):
    commit: str
    found: tuple[DataFound, ...]
    failed: tuple[Failed, ...] = ()


class OfTrain(Value):
    commit: str
    base: str
    found: tuple[TrainFound, ...]
    failed: tuple[Failed, ...] = ()


def folder() -> Path:
    return settings().root / REPORT


def keep(stage: str, found: Value) -> None:
    """What ``stage`` found, in the place of what it found before."""
    path = folder() / f"{stage}.json"
    with readable_errors(path):
        write_atomic(path, found.model_dump_json(indent=1).encode())


def found(stage: str, kind: type[V]) -> V | None:
    """What ``stage`` found; None if it has not run. Raises StorageError if that cannot be read."""
    path = folder() / f"{stage}.json"
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StorageError(
            f"What the stage `{stage}` found cannot be read.",
            where=str(path),
            found=str(error).splitlines()[0],
            next_step=f"run `penstock ci {stage}` again",
        ) from None
