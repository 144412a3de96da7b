"""The whylogs profile of the rows that a run scores: batch by batch, and piece by piece where there are many pieces.

A cluster's workers profile pieces; this process merges batches in the same order, so that both come to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from tasks.cluster.pieces import Piece, many
from tasks.scoring.batch_rows import Answered


class BatchProfile:
    """``columns``: those that are profiled; ``pieces``: of the rows."""

    def __init__(self, columns: Sequence[str], pieces: Sequence[Piece]) -> None:
        self.columns = tuple(columns)
        self._ends = set(accumulate(piece.rows for piece in pieces)) if many(pieces) else set()
        self._read = 0
        self._piece: Any = None
        self._total: Any = None

    def add(self, found: Answered) -> None:
        """The next batch."""
        from tasks.data.whylogs_profile import profile

        self._piece = _merged(self._piece, profile(found.rows.select(self.columns)))
        self._read += found.read
        if self._read in self._ends:
            self.add_piece(self._piece.serialize())
            self._piece = None

    def add_piece(self, content: bytes) -> None:
        """The next piece, as the bytes of its profile."""
        from tasks.data.whylogs_profile import read

        self._total = _merged(self._total, read(content))

    def content(self) -> bytes:
        """The bytes of all of it. There has to be a batch."""
        return bytes(_merged(self._total, self._piece).serialize())


def _merged(*profiles: Any) -> Any:
    from tasks.data.whylogs_profile import merge

    return merge(each for each in profiles if each is not None)
