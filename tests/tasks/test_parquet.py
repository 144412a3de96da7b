"""What is read in pieces is let go."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.batches import raw_batches

ROWS, GROUPS = 50_000, 30


def test_reading_a_file_in_pieces_holds_pieces_and_not_the_file(tmp_path):
    draws = np.random.default_rng(1)
    table = pa.table({"a": draws.random(ROWS), "b": draws.random(ROWS)})
    with pq.ParquetWriter(tmp_path / "rows.parquet", table.schema) as writer:
        for _ in range(GROUPS):
            writer.write_table(table)
    size = (tmp_path / "rows.parquet").stat().st_size
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for frame in raw_batches(tmp_path / "rows.parquet", ["a", "b"], ROWS):
        rows += len(frame)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == ROWS * GROUPS
    assert most < size / 4
