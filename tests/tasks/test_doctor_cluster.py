"""What doctor says of a Dask cluster."""

from __future__ import annotations

import pytest

from penstock.errors import ClusterError
from tasks.cluster import cluster_piece
from tasks.machine.settings import settings
from tasks.operations import doctor_cluster
from tests.dask_cluster import dask_cluster


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    place = tmp_path_factory.mktemp("doctor")
    with dask_cluster(place, 2, PENSTOCK_HOME=str(place / "home"), PENSTOCK_ROOT=str(place)) as found:
        yield found


@pytest.fixture
def look(home, monkeypatch):
    def found(address: str, **variables: str) -> list[tuple[str, str]]:
        monkeypatch.setenv("PENSTOCK_DASK", address)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return [(finding.level, finding.found) for finding in doctor_cluster.dask()]

    return found


def test_none_is_well(look):
    assert look("") == [("ok", "none: this machine does all the work")]


def test_one_that_is_well(workers, look):
    [(level, found)] = look(workers.address, PENSTOCK_HOME=workers.environment["PENSTOCK_HOME"])
    assert level == "ok" and f"{workers.address} answers, 2 workers" in found


def test_one_that_does_not_answer(look, monkeypatch):
    monkeypatch.setattr(doctor_cluster, "SECONDS", 0.5)
    with pytest.raises(ClusterError, match="does not answer"):
        look("tcp://127.0.0.1:9")


def test_too_few_workers(workers, look):
    [(level, found)] = look(workers.address, PENSTOCK_DASK_SHARDS="3")
    assert level == "fail" and found.endswith("2 workers; training needs 3")


def test_workers_that_keep_their_files_elsewhere(workers, look):
    [(level, found)] = look(workers.address)
    assert level == "warn" and f"PENSTOCK_HOME={workers.environment['PENSTOCK_HOME']}, this machine" in found


def test_workers_of_other_versions(workers, look, monkeypatch):
    made = cluster_piece.made
    monkeypatch.setattr(cluster_piece, "made", lambda module: made(module).model_copy(update={"python": "2.7"}))
    [(level, found)] = look(workers.address)
    assert level == "fail" and "there, 2.7 here" in found
