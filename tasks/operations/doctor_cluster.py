"""Doctor's check of the Dask cluster: whether it answers, has workers enough, and they are what this machine is."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.diagnosis import Finding, fail, ok, shortened, warn
from tasks.cluster import cluster, cluster_piece
from tasks.machine.settings import settings

MODULE = "tasks.training.cluster_training"
SECONDS = 5.0  # that a scheduler may take to answer


def dask() -> Iterator[Finding]:
    """A scheduler that does not answer is raised."""
    if not settings().dask:
        yield ok("dask", "none: this machine does all the work")
        return
    start = f"dask worker {settings().dask}"
    with cluster.connected(SECONDS) as client:
        workers = sorted(cluster.present(client, "looking for workers"))
        said = f"{settings().dask} answers, {len(workers)} worker{'s' * (len(workers) != 1)}"
        if len(workers) < settings().dask_shards:
            yield fail("dask", f"{said}; training needs {settings().dask_shards}", f"{start}, on each machine")
            return
        answers = client.run(cluster_piece.asked, MODULE, on_error="return")
    ours = cluster_piece.asked(MODULE)
    for address, theirs in answers.items():
        if isinstance(theirs, BaseException):
            yield fail("dask", f"{address} cannot do Penstock's work: {theirs}", "install the same commit there")
        elif differ := cluster_piece.differences(ours.made, theirs.made):
            yield fail("dask", f"{address}: {shortened(differ)}", "install the same there, and start the worker again")
        elif theirs.files != ours.files:
            yield warn(
                "dask",
                f"{address} has {theirs.files}, this machine {ours.files}",
                "well if both see the same files; else give them one PENSTOCK_STORE",
            )
        else:
            continue
        return
    yield ok("dask", f"{said}, as this machine is; {settings().dask_shards} train a model together")
