"""Scores pieces of files on a cluster's workers: each checks, predicts and profiles, and keeps its answers in files.

Whoever asked reads them batch by batch, as if it had made them itself, and removes them. Their bytes are of one run
alone, so that nobody else can be reading them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from penstock.refs import FileRef, Value
from tasks.cluster import cluster, cluster_piece
from tasks.cluster.pieces import Piece, batches
from tasks.data.cluster_files import here
from tasks.scoring.batch_basis import Basis
from tasks.scoring.batch_input import ROWS
from tasks.scoring.batch_rows import Answered, Scorer
from tasks.store import store

if TYPE_CHECKING:
    import polars as pl

PLACE, SCORES = "__place {run}__", "__scores__"


class Share(Value):
    """``start``: the place in the input of the piece's first row; ``profiled``: the columns that are."""

    piece: Piece
    start: int
    columns: tuple[str, ...]
    profiled: tuple[str, ...]
    basis: Basis
    run: str


class Part(Value):
    """What a worker made of a piece.

    ``batches``: of each, how many rows were read, how many are valid, and how many lines of refusals there are.
    ``answers`` (Arrow: the valid rows, their place, the scores); ``refused`` (Parquet: the lines).
    """

    batches: tuple[tuple[int, int, int], ...]
    answers: FileRef
    refused: FileRef | None
    profile: FileRef
    unknown: dict[str, int]


def answered_by_workers(
    pieces: Sequence[Piece], columns: Sequence[str], profiled: Sequence[str], basis: Basis, run: str
) -> list[Part]:
    """All pieces, in their order. Raises what `Scorer.answer` raises, ClusterError if the cluster cannot do it."""
    starts = accumulate((piece.rows for piece in pieces), initial=0)
    shares = [
        Share(piece=piece, start=start, columns=tuple(columns), profiled=tuple(profiled), basis=basis, run=run)
        for piece, start in zip(pieces, starts, strict=False)
    ]
    return cluster.spread(answer, shares, what="the scoring")


def read_answers(part: Part, run: str) -> Iterator[Answered]:
    """The batches as `Scorer.answer` gave them to the worker."""
    import polars as pl

    frame = pl.read_ipc(store.locate(part.answers))
    lines = pl.read_parquet(store.locate(part.refused)) if part.refused else None
    place = PLACE.format(run=run)
    row = line = 0
    for read, valid, refused in part.batches:
        mine = frame.slice(row, valid)
        yield Answered(
            read=read,
            place=mine[place].alias("row"),
            rows=mine.drop(place, SCORES),
            scores=mine[SCORES].to_numpy(),
            refused=lines.slice(line, refused) if lines is not None and refused else None,
        )
        row, line = row + valid, line + refused


def discard(parts: Sequence[Part]) -> None:
    """Remove the files, which are as large as what was scored."""
    for part in parts:
        for ref in filter(None, (part.answers, part.refused)):
            store.discard(ref)


def answer(share: Share) -> Part:
    """What a worker does."""
    import polars as pl

    from tasks.data.whylogs_profile import merge, profile

    scorer = Scorer(share.basis, cluster_piece.threads())
    found: list[Answered] = []
    start = share.start
    for frame in batches(here(share.piece), ROWS, list(share.columns)):
        found.append(scorer.answer(frame.select(share.columns), start))
        start += frame.height
    view = merge(profile(each.rows.select(share.profiled)) for each in found)
    place = PLACE.format(run=share.run)
    with store.new_file("answers.arrow") as draft:
        kept = [each.rows.with_columns(each.place.alias(place), pl.Series(SCORES, each.scores)) for each in found]
        pl.concat(kept).write_ipc(draft.path, compression="lz4")
    lines = [each.refused for each in found if each.refused is not None]
    return Part(
        batches=tuple(
            (each.read, each.rows.height, 0 if each.refused is None else each.refused.height) for each in found
        ),
        answers=draft.ref,
        refused=_stored(lines) if lines else None,
        profile=store.put_bytes(view.serialize(), "scored-piece.bin"),
        unknown=dict(scorer.unknown),
    )


def _stored(lines: list[pl.DataFrame]) -> FileRef:
    import polars as pl

    with store.new_file("refused.parquet") as draft:
        pl.concat(lines).write_parquet(draft.path)
    return draft.ref
