"""Pieces of work on a real scheduler with real workers."""

from __future__ import annotations

import os
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import pytest

from penstock.errors import ClusterError, DataError
from tasks.cluster import cluster, cluster_piece
from tasks.machine.settings import settings
from tasks.store import store
from tests import pieces
from tests.dask_cluster import dask_cluster
from tests.waiting import until


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def workers(shared_home):
    """Two workers whose home is ``shared_home``."""
    home = {"PENSTOCK_HOME": str(shared_home / "home"), "PENSTOCK_ROOT": str(shared_home)}
    with dask_cluster(shared_home / "dask", 2, **home) as found:
        yield found


@pytest.fixture
def use(monkeypatch, shared_home):
    """Point this process to a scheduler, with the workers' home."""

    def point(address: str, **variables: str) -> None:
        monkeypatch.setenv("PENSTOCK_DASK", address)
        monkeypatch.setenv("PENSTOCK_ROOT", str(shared_home))
        monkeypatch.setenv("PENSTOCK_HOME", str(shared_home / "home"))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield point
    monkeypatch.undo()
    settings.cache_clear()


def test_without_an_address_everything_happens_in_this_process(home):
    assert cluster.spread(pieces.square, [2, 1], what="squares") == [(4, os.getpid()), (1, os.getpid())]


def test_results_come_in_the_order_of_the_items_and_from_other_processes(workers, use):
    use(workers.address)
    found = cluster.spread(pieces.square, range(8), what="squares")
    assert [value for value, _ in found] == [number * number for number in range(8)]
    assert len({process for _, process in found} | {os.getpid()}) == 3


def test_files_go_by_reference(workers, use):
    use(workers.address)
    [made] = cluster.spread(pieces.doubled, [store.put_bytes(b"ab", "a.txt")], what="doubling")
    assert store.read_bytes(made) == b"abab"


def test_files_go_through_the_shared_store(tmp_path, use):
    (tmp_path / "team").mkdir()
    shared = {"PENSTOCK_STORE": str(tmp_path / "team")}
    there = {"PENSTOCK_HOME": str(tmp_path / "theirs"), "PENSTOCK_ROOT": str(tmp_path)}
    with dask_cluster(tmp_path / "dask", 1, **there, **shared) as found:
        use(found.address, PENSTOCK_HOME=str(tmp_path / "mine"), **shared)
        [made] = cluster.spread(pieces.doubled, [store.put_bytes(b"cd", "a.txt")], what="doubling")
        assert not store.path_of(made).exists()
        assert store.read_bytes(made) == b"cdcd"


def test_a_worker_that_does_not_see_a_file_says_which_and_what_to_set(workers, use, tmp_path):
    use(workers.address, PENSTOCK_HOME=str(tmp_path / "elsewhere"))
    ref = store.put_bytes(b"unseen", "a.txt")
    with pytest.raises(ClusterError, match="does not see a file") as raised:
        cluster.spread(pieces.doubled, [ref], what="doubling")
    assert ref.sha256[:12] in raised.value.found
    assert "tcp://127.0.0.1:" in raised.value.where
    assert f"PENSTOCK_HOME={tmp_path / 'elsewhere'}" in raised.value.next_step


def test_an_error_of_penstock_comes_back_as_it_was(workers, use):
    use(workers.address)
    with pytest.raises(DataError) as raised:
        cluster.spread(pieces.refused, range(5), what="pieces")
    assert (raised.value.where, raised.value.next_step) == ("row 7", "mend it")


def test_any_other_error_comes_back_too(workers, use):
    use(workers.address)
    with pytest.raises(ZeroDivisionError):
        cluster.spread(pieces.divided, [1, 0], what="pieces")


def test_a_scheduler_that_does_not_answer(use, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT", 1.0)
    use("tcp://127.0.0.1:9")
    with pytest.raises(ClusterError, match="does not answer") as raised:
        cluster.spread(pieces.square, [1], what="squares")
    assert "tcp://127.0.0.1:9" in raised.value.where


def test_an_address_that_is_none(use, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT", 1.0)
    use("nonsense://x")
    with pytest.raises(ClusterError, match="does not answer"):
        cluster.spread(pieces.square, [1], what="squares")


def test_too_few_workers(workers, use, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.0)
    use(workers.address)
    with cluster.connected() as client, pytest.raises(ClusterError, match="too few workers") as raised:
        cluster.require_workers(client, 3)
    assert raised.value.found == "2 of 3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"python": "2.7"}, f"Python 3.{sys.version_info[1]} there, 2.7 here"),
        ({"libraries": {"xgboost": "1.0.0"}}, f"xgboost {version('xgboost')} there, 1.0.0 here"),
        ({"code": "0" * 12}, f"there, {'0' * 12} here"),
    ],
)
def test_a_worker_with_other_versions_is_refused(workers, use, monkeypatch, change, said):
    made = cluster_piece.made
    monkeypatch.setattr(cluster_piece, "made", lambda module: made(module).model_copy(update=change))
    use(workers.address)
    with pytest.raises(ClusterError, match="would not be the same") as raised:
        cluster.spread(pieces.square, [1], what="squares")
    assert said in raised.value.found


def test_a_piece_whose_worker_dies_is_done_by_another(tmp_path, use):
    home = {"PENSTOCK_HOME": str(tmp_path / "home"), "PENSTOCK_ROOT": str(tmp_path)}
    with dask_cluster(tmp_path / "dask", 2, **home) as found:
        use(found.address, PENSTOCK_HOME=str(tmp_path / "home"))
        [process] = cluster.spread(pieces.killed_once, [str(tmp_path / "flag")], what="pieces")
        dead = [worker for worker in found.workers if worker.poll() is not None]
        assert len(dead) == 1 and process != dead[0].pid


def test_when_every_worker_has_died_it_ends(tmp_path, use, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 2.0)
    home = {"PENSTOCK_HOME": str(tmp_path / "home"), "PENSTOCK_ROOT": str(tmp_path)}
    with dask_cluster(tmp_path / "dask", 1, **home) as found:
        use(found.address, PENSTOCK_HOME=str(tmp_path / "home"))
        with pytest.raises(ClusterError, match="no workers any more: pieces"):
            cluster.spread(pieces.deadly, [1], what="pieces")


def test_a_scheduler_that_is_killed_ends_it(tmp_path, use):
    home = {"PENSTOCK_HOME": str(tmp_path / "home"), "PENSTOCK_ROOT": str(tmp_path)}
    flag = tmp_path / "flag"
    with dask_cluster(tmp_path / "dask", 1, **home) as found:
        use(found.address, PENSTOCK_HOME=str(tmp_path / "home"))

        def kill() -> None:
            until(flag.exists)
            found.kill(found.scheduler)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(ClusterError, match="connection to the Dask scheduler was lost") as raised:
            cluster.spread(pieces.waits, [str(flag)], what="waiting")
        killer.join()
        assert "unset PENSTOCK_DASK" in raised.value.next_step
    Path(flag).unlink()
