"""Boosters that several workers of a real cluster train together."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from penstock.errors import ClusterError, DataError, TrainingError
from tasks.cluster import cluster, collective
from tasks.data.batches import Share, raw_batches
from tasks.machine.settings import settings
from tasks.machine.steps import listeners
from tasks.store import store
from tasks.training.evaluation import evaluate_model
from tasks.training.training import train_model
from tests import pieces
from tests.dask_cluster import at_round, dask_cluster
from tests.trained import Trained
from tests.waiting import PATIENCE, until

LONG = 100_000  # rounds: more than anybody waits for


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def workers(place):
    """Three workers that see the home `place`."""
    with dask_cluster(place / "dask", 3, PENSTOCK_HOME=str(place / "home"), PENSTOCK_ROOT=str(place)) as found:
        yield found


class Data(Trained):
    """The tiny project up to its model; ``train`` makes another, wherever the settings say."""

    def train(self, **changes):
        return train_model(self.splits, self.project.features, self.project.train.model_copy(update=changes))

    def metrics(self, model):
        project = self.project
        found = evaluate_model(self.splits, model, project.features, project.evaluate, project.train.target)
        return store.read_json(found.metrics)["metrics"]


@pytest.fixture
def share_home(place, monkeypatch):
    """Files are in the home of the workers."""

    def use() -> None:
        monkeypatch.setenv("PENSTOCK_HOME", str(place / "home"))
        settings.cache_clear()

    return use


@pytest.fixture
def data(checkout, share_home, monkeypatch) -> Data:
    share_home()
    return Data(monkeypatch)


@pytest.fixture
def use(monkeypatch):
    def point(address: str, shards: int = 2) -> None:
        monkeypatch.setenv("PENSTOCK_DASK", address)
        monkeypatch.setenv("PENSTOCK_DASK_SHARDS", str(shards))
        settings.cache_clear()

    return point


@contextlib.contextmanager
def heard(name: str):
    """The events of a step's name that the block emits."""
    events = []

    def listen(event) -> None:
        if event.name == name:
            events.append(event)

    listeners.append(listen)
    try:
        yield events
    finally:
        listeners.remove(listen)


def test_shares_are_all_rows_in_order_and_none_is_empty(home):
    frame = pl.DataFrame({"a": range(1000)})
    home.mkdir()
    frame.write_parquet(home / "rows.parquet", row_group_size=70)
    for of in (1, 2, 3, 7, 1000):
        parts = [list(raw_batches(home / "rows.parquet", ["a"], rows=64, share=Share(n, of))) for n in range(of)]
        assert all(parts)
        assert pl.concat(batch for part in parts for batch in part).equals(frame)


def test_the_same_bytes_every_time_whichever_workers_and_the_metrics_of_one_process(
    checkout, share_home, workers, use, monkeypatch
):
    checkout.source(rows=25_000)  # with a few hundred, shards know every value, and the models are equal
    share_home()
    data = Data(monkeypatch)
    here = data.metrics(data.model)
    use(workers.address)
    first = data.train()
    assert first != data.model
    found = cluster.require_workers
    monkeypatch.setattr(cluster, "require_workers", lambda client, count: found(client, count)[::-1])
    assert data.train() == first
    there = data.metrics(first)
    for name in ("auc", "average_precision", "log_loss", "brier", "f1"):
        assert there[name] == pytest.approx(here[name], abs=1e-3)
    use(workers.address, shards=3)
    assert data.train() != first


def test_external_memory_gives_the_same_bytes_and_leaves_no_file(data, workers, use):
    use(workers.address)
    assert data.train(memory_budget_mb=0) == data.train()
    assert not list(workers.folder.rglob("matrix*"))


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_task_types(checkout, share_home, workers, use, monkeypatch, task):
    checkout.task(task)
    share_home()
    data = Data(monkeypatch)
    use(workers.address)
    name = {"multiclass": "macro_f1", "regression": "r2"}[task]
    assert data.metrics(data.train())[name] == pytest.approx(data.metrics(data.model)[name], abs=0.03)


def test_workers_with_homes_of_their_own_and_a_shared_store(data, tmp_path, use, monkeypatch):
    (tmp_path / "team").mkdir()
    monkeypatch.setenv("PENSTOCK_STORE", str(tmp_path / "team"))
    shared = {"PENSTOCK_STORE": str(tmp_path / "team"), "PENSTOCK_ROOT": str(tmp_path)}
    with dask_cluster(tmp_path / "dask", 0, **shared) as found:
        for name in ("one", "other"):
            found.start_worker(PENSTOCK_HOME=str(tmp_path / name))
        use(found.address)
        made = data.train()
        assert len(store.read_json(made.history)["validation"]) == made.rounds
        for name in ("one", "other"):
            assert list((tmp_path / name / "store").rglob(f"{data.splits.train.sha256}*"))


def test_class_weights_count(data, workers, use):
    use(workers.address)
    assert data.train(class_weights="balanced") != data.train()


def test_a_worker_that_is_killed_is_done_without_as_long_as_there_are_enough(data, place, use, monkeypatch):
    home = {"PENSTOCK_HOME": str(place / "home"), "PENSTOCK_ROOT": str(place)}
    long = {"rounds": 2000, "early_stopping_rounds": 2000}
    killed = []
    with dask_cluster(place / "killed", 3, **home) as found:

        def kill() -> None:
            killed.append(found.kill_busy_worker())

        use(found.address)
        with at_round(100, kill), heard("dask") as told:
            model = data.train(**long)
        assert "went away; training begins again" in told[0].summary
        assert [worker.pid for worker in found.workers if worker.poll() is not None] == killed
        assert model == data.train(**long)

        monkeypatch.setattr(cluster, "PATIENCE", 1.0)
        with at_round(100, kill), pytest.raises(ClusterError, match="too few workers") as raised:
            data.train(rounds=LONG, early_stopping_rounds=LONG)
        assert raised.value.found == "1 of 2" and f"dask worker {found.address}" in raised.value.next_step
        found.start_worker()
        found.wait_for(2)
        assert data.train() == data.model


def test_a_scheduler_that_is_killed_ends_it_and_another_at_its_address_goes_on(data, place, use):
    home = {"PENSTOCK_HOME": str(place / "home"), "PENSTOCK_ROOT": str(place)}
    with dask_cluster(place / "scheduler", 2, **home) as found:
        use(found.address)
        lost = pytest.raises(ClusterError, match="connection to the Dask scheduler was lost")
        with at_round(100, lambda: found.kill(found.scheduler)), lost:
            data.train(rounds=LONG, early_stopping_rounds=LONG)
        for worker in found.workers:
            worker.wait(PATIENCE)  # without a scheduler they end, in the midst of training
        found.start_scheduler()
        for _ in range(2):
            found.start_worker()
        found.wait_for(2)
        assert data.train() == data.model


def test_whoever_is_interrupted_leaves_no_work_behind(data, workers, use):
    use(workers.address)

    def interrupt(event) -> None:
        if event.state == "progress":
            raise KeyboardInterrupt

    listeners.append(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            data.train(rounds=LONG, early_stopping_rounds=LONG)
    finally:
        listeners.remove(interrupt)
    with cluster.connected() as client:
        until(lambda: not any(client.run(pieces.running).values()))


def test_whoever_wants_workers_that_train_waits_for_them(data, workers, use):
    use(workers.address, shards=3)
    alone = data.train()
    begun, waited = threading.Event(), threading.Event()

    def listen(event) -> None:
        if event.name == "dask" and "which trains another model" in event.summary:
            waited.set()
        elif event.state == "progress" and threading.current_thread() is not threading.main_thread():
            begun.set()
            if waited.is_set():
                raise KeyboardInterrupt

    listeners.append(listen)
    try:
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(data.train, rounds=LONG, early_stopping_rounds=LONG)
            assert begun.wait(PATIENCE)
            assert data.train() == alone
            assert isinstance(other.exception(), KeyboardInterrupt)
    finally:
        listeners.remove(listen)


def test_an_error_of_training_comes_back_as_it_was(data, workers, use):
    use(workers.address)
    with pytest.raises(TrainingError, match="does not use the parameter `max_depht`") as raised:
        data.train(params={"max_depht": 3})
    assert raised.value.next_step == "did you mean `max_depth`?"


def test_the_error_of_one_part_is_told_and_not_that_the_others_lost_it(data, workers, use):
    use(workers.address)
    with pytest.raises(DataError, match="Part 1 cannot"):
        collective.together(pieces.summed, [0, 1, 2], what="adding", heard=lambda told: None)


def test_more_shards_than_rows_are_refused(data, use):
    use("tcp://127.0.0.1:9", shards=1000)
    with pytest.raises(ClusterError, match="more shards than rows") as raised:
        data.train()
    assert raised.value.where == "PENSTOCK_DASK_SHARDS"
