"""Where a worker of the cluster finds the file of a piece that it is asked to work on.

Files of the store come by `tasks/store/store.py`, like everywhere. A dataset's file is looked for in DVC's cache, which
may be a folder that all see, and fetched from the remote if it is not there. Any other file has to be on a file system
that all see, under the same name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from penstock.errors import ClusterError, DataError
from penstock.refs import DataFile, FileRef
from tasks.cluster import cluster_piece
from tasks.cluster.pieces import Outside, Piece
from tasks.data.data import fetched
from tasks.data.dvc_config import cache_folder
from tasks.store import store

FOOTER = 8  # bytes at the end of a Parquet file: how long the footer before them is, and "PAR1"


def here(piece: Piece) -> Piece:
    """The piece with the path under which this worker reads it. Raises ClusterError if it cannot see the file."""
    file = piece.file
    if isinstance(file, FileRef):
        path = store.locate(file)
    elif isinstance(file, DataFile):
        path = _of_dataset(file)
    else:
        path = Path(piece.path)
        _require_same(path, file)
    return piece.model_copy(update={"path": str(path)})


def outside(path: Path) -> Outside:
    """What a Parquet file that is not Penstock's own is known by. Raises OSError if it cannot be read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - FOOTER))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - FOOTER - length))
        return Outside(size=size, footer=hashlib.file_digest(file, "sha256").hexdigest())


def _of_dataset(file: DataFile) -> Path:
    try:
        return fetched(file)
    except DataError as error:
        raise ClusterError(
            "A worker of the cluster cannot get a file of the dataset.",
            where=f"worker {cluster_piece.worker()}, with the cache {cache_folder()} and the remote {error.where}",
            found=f"{file.path}: {error.what}" + (f" {error.found}" if error.found else ""),
            next_step="start the worker with a PENSTOCK_REMOTE that the dataset was pushed to, or in a checkout with a "
            "DVC cache (`cache.dir`) on a file system that all see",
        ) from None


def _require_same(path: Path, file: Outside) -> None:
    try:
        found = "" if outside(path) == file else "another file"
    except OSError as error:
        found = str(error.strerror)
    if found:
        raise ClusterError(
            "A worker of the cluster does not see a file that it is to read.",
            where=f"worker {cluster_piece.worker()}: {path}",
            found=found,
            next_step="put the file on a file system that this machine and the workers mount under the same name, or "
            "unset PENSTOCK_DASK",
        )
