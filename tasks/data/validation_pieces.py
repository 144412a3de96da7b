"""Looks at the files of a dataset piece by piece: in this process, or on a cluster's workers with the same result.

What an outlier is follows from a whole file; each other rule is one of single rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from penstock.refs import FileRef, Value
from tasks.cluster import cluster
from tasks.cluster.pieces import Piece, batches, far, scan
from tasks.data.broken_rows import CHUNK, Bounds, Broken, broken, outlier_bounds, without_nan
from tasks.data.cluster_files import here
from tasks.data.pandera_schema import build, require_structure
from tasks.store import store


class _File(Value):
    """``piece``: all of it; ``where``: its name, for errors."""

    piece: Piece
    schema_text: str
    outliers: dict[str, str]
    where: str


class _Share(Value):
    """``inside``: of `Bounds`."""

    piece: Piece
    schema_text: str
    inside: dict[str, tuple[float, float]]


class _Rule(Value):
    """One that rows break. ``rows``: how many."""

    column: str
    check: str
    rows: int
    examples: tuple[str, ...]


class _Found(Value):
    """What a worker found. ``positions`` (Parquet: row): those of all ``rules``, one after the other."""

    rules: tuple[_Rule, ...]
    positions: FileRef | None


def look(
    pieces: Mapping[str, Sequence[Piece]], schema: str, outliers: Mapping[str, str], where: str
) -> dict[str, Bounds]:
    """What an outlier is in each file. Raises DataError if the columns of one are not those of the schema."""
    files = [
        _File(piece=_all_of(of_file), schema_text=schema, outliers=dict(outliers), where=f"{where}/{name}")
        for name, of_file in pieces.items()
    ]
    if far(_every(pieces)):
        found = cluster.spread(_look_there, files, what="the validation")
    else:
        found = [_look(file) for file in files]
    return dict(zip(pieces, found, strict=True))


def find_broken(
    pieces: Mapping[str, Sequence[Piece]], schema: str, bounds: Mapping[str, Bounds]
) -> Iterator[tuple[str, Broken]]:
    """Every rule but uniqueness that rows of a file break, in the order of the rows; positions are in the file."""
    names = [name for name, of_file in pieces.items() for _ in of_file]
    shares = [
        _Share(piece=piece, schema_text=schema, inside=bounds[name].inside)
        for name, piece in zip(names, _every(pieces), strict=True)
    ]
    if far(_every(pieces)):
        found = map(_told, cluster.spread(_find_there, shares, what="the validation"))
    else:
        found = map(_find, shares)
    for name, of_piece in zip(names, found, strict=True):
        for each in of_piece:
            yield name, each


def _every(pieces: Mapping[str, Sequence[Piece]]) -> list[Piece]:
    return [piece for of_file in pieces.values() for piece in of_file]


def _all_of(pieces: Sequence[Piece]) -> Piece:
    last = pieces[-1]
    rows = last.start + last.rows
    return last.model_copy(update={"groups": (0, last.groups[1]), "start": 0, "rows": rows, "whole": True})


def _look(file: _File) -> Bounds:
    rows = without_nan(scan(file.piece))
    require_structure(build(file.schema_text), rows, file.where)
    return outlier_bounds(rows, file.outliers)


def _look_there(file: _File) -> Bounds:
    return _look(file.model_copy(update={"piece": here(file.piece)}))


def _find(share: _Share) -> Iterator[Broken]:
    chunks = map(without_nan, batches(share.piece, CHUNK))
    return broken(without_nan(scan(share.piece)), chunks, build(share.schema_text), share.inside, share.piece.start)


def _find_there(share: _Share) -> _Found:
    import polars as pl

    found = list(_find(share.model_copy(update={"piece": here(share.piece)})))
    if not found:
        return _Found(rules=(), positions=None)
    with store.new_file("positions.parquet") as draft:
        positions = [position for _, _, of_rule, _ in found for position in of_rule]
        pl.DataFrame({"row": positions}, schema={"row": pl.Int64}).write_parquet(draft.path)
    rules = (
        _Rule(column=column, check=check, rows=len(of_rule), examples=tuple(examples))
        for column, check, of_rule, examples in found
    )
    return _Found(rules=tuple(rules), positions=draft.ref)


def _told(found: _Found) -> Iterator[Broken]:
    """What `_find` gave the worker."""
    import polars as pl

    if found.positions is None:
        return
    positions = pl.read_parquet(store.locate(found.positions))["row"].to_list()
    start = 0
    for rule in found.rules:
        yield rule.column, rule.check, positions[start : start + rule.rows], list(rule.examples)
        start += rule.rows
