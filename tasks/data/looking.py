"""Looks at a place where rows may be: how to read it, a sample, and then all of it by what was inferred."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.batch import Batch
from penstock.errors import ConfigError, DataError
from penstock.infer import Inferred
from penstock.infer_values import ENOUGH, Values
from penstock.source_config import CALL, SourceConfig, SqlConfig, has_secret
from tasks.data.file_source import FileSource
from tasks.data.sniffing import sniff
from tasks.data.source_files import find_files
from tasks.data.sources import load_function
from tasks.data.sql_source import SqlSource
from tasks.machine.settings import settings

if TYPE_CHECKING:
    import polars as pl

SAMPLE = 100_000  # rows that types are told by
SAMPLED = 20  # files they are taken from
WHOLE = 10_000_000  # rows that are read to see whether all is as the sample says


@dataclass
class Counts:
    """What reading all rows found. ``gaps``, ``unread``: rows by column; ``invalid``: rows that will be set aside."""

    rows: int = 0
    invalid: int = 0
    whole: bool = True
    gaps: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.invalid / self.rows if self.rows else 0.0


def look_at(place: str, target: str, query: str = "", watermark: str = "") -> tuple[SourceConfig, pl.DataFrame]:
    """How ``place`` is read, and a sample of its rows under their own names.

    ``place``: a path, glob or URL; `module:function`; or, with ``query``, a database: a URL without a password,
    `env:VARIABLE` or `block:NAME`. Raises ConfigError for what is no place, DataError for what cannot be read.
    """
    if query:
        source = SourceConfig(sql=_database(place, query, watermark))
        sql = SqlSource(source, {}, set)
        names = sql.names()
        if not names:
            raise DataError("The query gives no rows that are complete.", where="--query",
                            found="none, or all rows have one and the same watermark",
                            next_step="check the query, or leave --watermark out to read all rows once")  # fmt: skip
        return source, sql.raw(names[0], SAMPLE)
    if watermark:
        raise ConfigError("A watermark is for a query.", where="--watermark", next_step="add --query SELECT")
    if re.fullmatch(CALL, place) and not Path(place).exists():
        found = load_function(place, "SOURCE")
        names = found.names()
        if not names:
            raise DataError("The source has no batches.", where=place)
        return SourceConfig(call=place), found.read(names[0]).rows.head(SAMPLE)
    places = _files(place)
    files = find_files(places)
    if not files:
        raise DataError("There is no such file.", where=place, allowed="a file, a glob in quotes, or a URL",
                        next_step="correct the name")  # fmt: skip
    chosen = files[:: -(-len(files) // SAMPLED)]
    source = sniff(places, chosen, target)
    reader = FileSource(source, {})
    return source, _stacked([reader.raw(file, 0, SAMPLE // len(chosen)) for file in chosen], places)


def count_all(found: Inferred) -> Counts:
    """Read the whole source as the project will, up to WHOLE rows."""
    counts = Counts()
    label = found.label
    for batch in _batches(found):
        rows = batch.rows
        bad = rows[label].is_null()
        for column in found.columns:
            lost = next((each.rows for each in batch.unread if each.column == column.name), [])
            counts.unread[column.name] = counts.unread.get(column.name, 0) + len(lost)
            gaps = rows[column.name].null_count() - len(lost)
            counts.gaps[column.name] = counts.gaps.get(column.name, 0) + gaps
            if lost:
                bad = bad.scatter(lost, True)
        counts.rows += rows.height
        counts.invalid += int(bad.sum())
        if counts.rows >= WHOLE:
            counts.whole = False
            break
    return counts


def settled(found: Inferred, counts: Counts) -> Inferred:
    """``found`` with what all rows show and the sample did not: gaps, and columns that are not of their type after
    all, which become text and no feature. Equal to ``found`` if the sample told all."""
    columns = []
    for column in found.columns:
        if column.role != "target" and counts.unread.get(column.name, 0) > (1 - ENOUGH) * counts.rows:
            values = Values(
                "String", "text in part of the rows", "mixed: beyond the sample it is not what it was there"
            )
            column = replace(column, values=values, role="left out", why=values.why, check=values.check)
        if counts.gaps.get(column.name):
            if column.role in ("time", "group"):
                column = replace(column, role="left out", why=f"{column.why}, but not in every row")
            column = replace(column, nullable=column.role != "target")
        columns.append(column)
    return replace(found, columns=tuple(columns))


def _batches(found: Inferred) -> Iterator[Batch]:
    source, columns = found.source, found.schema
    if source.files:
        yield from FileSource(source, columns).pieces()
        return
    reader = SqlSource(source, columns, set) if source.sql else load_function(str(source.call), "SOURCE")
    for name in reader.names():
        yield reader.read(name)


def _database(place: str, query: str, watermark: str) -> SqlConfig:
    kind, _, name = place.partition(":")
    where = {"env": {"url_env": name}, "block": {"url_block": name}}.get(kind, {"url": place})
    if has_secret(place):
        raise ConfigError(
            "The database's URL has a secret in it, which others can read in an argument.",
            where="SOURCE",
            allowed="env:VARIABLE, block:NAME (a Prefect Secret block), or a URL without a password",
            next_step="take it out of the command, and change it: it may have been seen",
        )
    return SqlConfig.model_validate({**where, "query": query, "watermark": watermark or None})


def _files(place: str) -> str:
    """``place`` as the project's file has it: from the checkout, where it is within."""
    if "://" in place:
        if has_secret(place):
            raise ConfigError("The URL has a secret in it, which others can read in an argument.", where="SOURCE",
                              allowed="credentials that the storage's own library finds in the environment",
                              next_step="take it out of the command, and change it: it may have been seen")  # fmt: skip
        return place
    path = Path(os.path.normpath(Path.cwd() / Path(place).expanduser()))
    root = settings().root
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _stacked(frames: list[pl.DataFrame], where: str) -> pl.DataFrame:
    import polars as pl

    names = frames[0].columns
    for frame in frames[1:]:
        if set(frame.columns) != set(names):
            raise DataError(
                "The files do not have the same columns.",
                where=where,
                found=", ".join(sorted(set(frame.columns) ^ set(names))[:10]) + " in some of them only",
                next_step="name files of one table",
            )
    return pl.concat([frame.select(names) for frame in frames], how="vertical_relaxed")
