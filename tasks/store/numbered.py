"""Folders of numbered records, `000001.json` and on: one file each, created whole and never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from penstock.errors import StorageError
from tasks.store import store

M = TypeVar("M", bound=BaseModel)


def paths(folder: Path) -> list[Path]:
    """Every record's file, in order; none where there is no folder."""
    return sorted(folder.glob("[0-9]*.json"))


def path(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.json"


def create(folder: Path, number: int, record: BaseModel) -> None:
    """Write a record whole. Raises FileExistsError if somebody has taken its number."""
    store.write_atomic(path(folder, number), record.model_dump_json(indent=1).encode(), exclusive=True)


def read(files: list[Path], kind: type[M], damaged: Callable[[Path, str], StorageError]) -> Iterator[M]:
    """The records of these files. Raises what ``damaged`` makes of a file that cannot be read, and why."""
    for file in files:
        try:
            yield kind.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            raise damaged(file, str(error).splitlines()[0]) from None
