"""What workers of a real cluster make of pieces of the data is what this process makes of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.score import score
from penstock.errors import ClusterError, DataError
from penstock.refs import DataFile, Dataset
from penstock.scored import INVALID, LoggedBatch
from tasks.cluster import cluster, pieces
from tasks.cluster.pieces import Piece, cut
from tasks.data.cluster_files import here, outside
from tasks.data.data import data_path, resolve_dataset
from tasks.data.dvc_config import remote_url
from tasks.data.profiling import profile_splits
from tasks.data.project import load_project, schema_text
from tasks.data.sources import load_source
from tasks.data.validation import validate_dataset
from tasks.data.whylogs_profile import read, summary
from tasks.machine.settings import settings
from tasks.registry.releases import packaged
from tasks.scoring import batch_pieces
from tasks.scoring.batch_basis import basis
from tasks.scoring.batch_input import find_rows
from tasks.scoring.batch_rows import Scorer
from tasks.store import store
from tasks.training.evaluation import evaluate_model
from tasks.training.predicting import predictions
from tests.dask_cluster import Cluster, dask_cluster
from tests.tasks.test_training_steps import Data
from tests.waiting import until

ROWS = 500
UNCUT = pieces.ROWS


@pytest.fixture(scope="module")
def workers(tiny, tmp_path_factory):
    """Two workers in the checkout ``tiny``."""
    with dask_cluster(tmp_path_factory.mktemp("dask"), 2) as found:
        yield found


@pytest.fixture
def use(monkeypatch):
    """Point this process to a scheduler; pieces are small, so that the rows of a test are many."""
    monkeypatch.setattr(pieces, "ROWS", 100)

    def point(address: str) -> None:
        monkeypatch.setenv("PENSTOCK_DASK", address)
        settings.cache_clear()

    yield point
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def both(workers, use, monkeypatch):
    """``both(act, known)``: what ``act`` gives in this process, and what it gives with the cluster.

    ``known``: what it also gives if nothing is cut into pieces, of either.
    """
    counted: list[int] = []
    spread = cluster.spread

    def counting(function, items, *, what):
        counted.append(len(items))
        return spread(function, items, what=what)

    def run(act, known=lambda found: found):
        use("")
        with monkeypatch.context() as patch:
            patch.setattr(pieces, "ROWS", UNCUT)
            whole = act()
        here = act()
        assert known(here) == known(whole)
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "spread", counting)
            use(workers.address)
            there = act()
        assert max(counted, default=0) > 1  # otherwise nothing was sent
        return here, there

    return run


@pytest.fixture(scope="module")
def rows(tiny) -> pl.DataFrame:
    return load_source(load_project("tiny")).read("b4").rows


def dataset_of(*frames: pl.DataFrame) -> Dataset:
    """Of these files, in row groups of 50, where DVC's cache would have them."""
    files = []
    for number, frame in enumerate(frames):
        draft = settings().root / "part.parquet"
        frame.write_parquet(draft, row_group_size=50)
        md5 = hashlib.md5(draft.read_bytes()).hexdigest()
        file = DataFile(path=f"p{number}.parquet", md5=md5, size=draft.stat().st_size)
        data_path(file).parent.mkdir(parents=True, exist_ok=True)
        draft.rename(data_path(file))
        files.append(file)
    return Dataset(path="data/tiny", version="1", files=tuple(files))


def spoiled(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of many kinds of defects, in several pieces."""
    number = pl.int_range(pl.len())
    return rows.with_columns(
        size=pl.when(number.is_in([3, 120, 121, 499])).then(999.0 + number).otherwise("size").cast(pl.Float32),
        color=pl.when(number.is_in([120, 310])).then(pl.lit("mauve")).otherwise("color"),
        seats=pl.when(number == 250).then(499).otherwise(number % 5).cast(pl.Int16),
    )


def validated(dataset: Dataset, **data):
    project = load_project("tiny")
    return validate_dataset(dataset, schema_text(project), project.data.model_copy(update=data))


# --- pieces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ((), [(0, 0)]),
        ((99,), [(0, 99)]),
        ((100, 100), [(0, 100), (100, 100)]),
        ((60, 60, 60, 60), [(0, 120), (120, 120)]),
        ((250, 10), [(0, 250), (250, 10)]),
    ],
)
def test_pieces_are_whole_row_groups_and_all_of_the_rows(sizes, found, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", 100)
    table = pa.table({"n": np.arange(sum(sizes))})
    start = 0
    with pq.ParquetWriter(tmp_path / "in.parquet", table.schema) as writer:
        for size in sizes:
            writer.write_table(table.slice(start, size))
            start += size
    parts = cut(outside(tmp_path / "in.parquet"), tmp_path / "in.parquet")
    assert [(part.start, part.rows) for part in parts] == found
    assert [part.whole for part in parts] == [len(found) == 1] * len(found)
    read = pl.concat(
        frame for part in parts for frame in [pieces.scan(part).clear().collect(), *pieces.batches(part, 70)]
    )
    scanned = pl.concat(pieces.scan(part) for part in parts).collect()
    assert read["n"].to_list() == scanned["n"].to_list() == list(range(sum(sizes)))


def test_few_rows_and_a_single_piece_stay_here(use, rows):
    use("tcp://127.0.0.1:9")  # nobody is there
    assert validated(dataset_of(rows[:60], rows[60:100])).rows == 100
    assert not pieces.far([part.model_copy(update={"rows": 1000}) for part in _whole(rows)])


def _whole(rows: pl.DataFrame) -> list[Piece]:
    [file] = dataset_of(rows[:50]).files
    return cut(file, data_path(file))


# --- validation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["warn", "error"])
def test_a_dataset_is_found_as_valid_as_here(tiny, both, rows, act):
    dataset = dataset_of(spoiled(rows), rows[:130], spoiled(rows)[40:])
    here, there = both(lambda: validated(dataset, outliers={"seats": act}, max_invalid_fraction=1.0))
    assert here == there
    assert here.invalid > 490 > 5  # the ids of the second and the third file are there twice
    report = store.read_json(here.report)
    assert {check["check"].split(",")[0] for check in report["checks"]} >= {"unique", "in_range(0", "isin(['red'"}
    assert bool(report["warnings"]) == (act == "warn")


def test_clean_rows_need_no_file(both, rows):
    here, there = both(lambda: validated(dataset_of(rows)))
    assert here == there and here.excluded is None


def test_wrong_columns_are_named_by_a_worker_too(workers, use, rows):
    use(workers.address)
    with pytest.raises(DataError) as raised:
        validated(dataset_of(rows, rows.drop("wet")))
    assert raised.value.where == "data/tiny/p1.parquet" and "missing: wet" in raised.value.found


def test_the_key_of_a_result_is_the_same(tiny, use, rows):
    project = load_project("tiny")
    inputs = {"dataset": dataset_of(rows), "schema": schema_text(project), "data": project.data}
    use("")
    here = validate_dataset.key(inputs)
    use("tcp://127.0.0.1:9")
    assert validate_dataset.key(inputs) == here


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(tiny, tmp_path, use, rows):
    dataset = dataset_of(spoiled(rows), rows[:130], spoiled(rows)[40:])
    use("")
    here = validated(dataset, max_invalid_fraction=1.0)
    with dask_cluster(tmp_path / "dask", 2) as found, _stuck(found) as stuck:
        use(found.address)
        there = validated(dataset, max_invalid_fraction=1.0)
        assert stuck.poll() == -signal.SIGKILL
    assert here == there


# --- profiles and predictions ----------------------------------------------------------------------------------------


def without_lots(summary: dict) -> dict:
    """What two runs of equal rows have in common. Of which values a sketch keeps, whylogs draws lots."""
    return {
        name: {key: value for key, value in column.items() if not key.startswith("q")}
        for name, column in summary.items()
    }


def test_profiles_have_the_same_summary(tiny, both):
    splits = _in_small_groups(packaged("tiny").candidate.splits)
    here, there = both(lambda: profile_splits(splits, load_project("tiny").features), lambda found: None)
    first, second = (store.read_json(each.summary) for each in (here, there))
    for name in ("train", "validation", "test"):
        assert without_lots(first[name]) == without_lots(second[name])
        assert {"rows", "mean", "stddev", "distinct"} < without_lots(first[name])["size"].keys()
        assert first[name]["size"]["q50"] == pytest.approx(second[name]["size"]["q50"], rel=0.02)


def test_an_evaluation_is_the_same_but_for_the_time_it_took(tiny, both):
    candidate = packaged("tiny").candidate
    project, splits = load_project("tiny"), _in_small_groups(candidate.splits)
    here, there = both(
        lambda: evaluate_model(splits, candidate.model, project.features, project.evaluate, project.train.target),
        lambda found: (found.predictions, found.curves, found.headline),
    )
    assert (here.predictions, here.curves, here.headline) == (there.predictions, there.curves, there.headline)
    first, second = (store.read_json(each.metrics) for each in (here, there))
    assert first.pop("latency_ms") and second.pop("latency_ms")
    assert first == second


def test_scores_of_classes_have_their_shape(checkout, monkeypatch, tmp_path, use):
    checkout.task("multiclass")
    monkeypatch.delitem(sys.modules, "tiny_source", raising=False)
    monkeypatch.syspath_prepend(checkout.root)
    monkeypatch.setattr("tasks.training.splitting.BATCH", 50)
    use("")
    data = Data(monkeypatch)
    splits = data.split()
    model = data.train(splits)

    here = _scores(splits, model.booster)
    with dask_cluster(tmp_path / "dask", 1) as found:
        use(found.address)
        there = _scores(splits, model.booster)
    assert here.shape == there.shape == (splits.rows[2], 3)
    assert here.tobytes() == there.tobytes()


def _scores(splits, booster) -> np.ndarray:
    return np.concatenate([found for _, found in predictions(splits.test, booster, "late", ["late"])])


def _in_small_groups(splits):
    """The same rows in row groups of 50."""
    refs = {}
    for name in ("train", "validation", "test"):
        with store.new_file(f"{name}.parquet") as draft:
            pl.read_parquet(store.locate(getattr(splits, name))).write_parquet(draft.path, row_group_size=50)
        refs[name] = draft.ref
    return splits.model_copy(update=refs)


# --- scoring ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tiny, rows, tmp_path_factory) -> Path:
    """A folder of two files with rows that are refused, in row groups of 50."""
    folder = tmp_path_factory.mktemp("in")
    wrong = spoiled(rows).drop("late").with_columns(seats=pl.col("seats").cast(pl.Int64) * 100)
    for number, part in enumerate((wrong[:280], wrong[280:])):
        part.write_parquet(folder / f"{number}.parquet", row_group_size=50)
    return folder


@pytest.fixture(scope="module", autouse=True)
def lenient(tiny):
    path = tiny.root / "configs" / "tiny.yaml"
    path.write_text(path.read_text().replace("max_invalid_fraction: 0.05", "max_invalid_fraction: 1.0"))


def scored(source: Path | str, output: Path) -> dict[str, object]:
    """Everything that a run leaves, but what names it and its time."""
    found = score.fn("tiny", str(source), str(output), force=True)
    [segment] = (settings().predictions / "tiny").rglob(f"*{found.run}.batch")
    batch = LoggedBatch.model_validate_json(segment.read_bytes())
    with store.locate(batch.rows).open("rb") as file:
        served = pl.read_parquet(file)
    return {
        "output": output.read_text().replace(found.run, "run"),
        "refused": Path(found.quarantine).read_bytes() if found.quarantine else b"",
        "served": served.drop("request_id", "time_ns").write_csv(),
        "groups": pq.read_metadata(store.locate(batch.rows)).num_row_groups,
        "counts": batch.counts,
        "unknown": found.unknown,
        "profile": without_lots(summary(read(store.read_bytes(batch.profile)))),
    }


def uncut(found: dict) -> dict:
    """What does not depend on where the rows are cut."""
    return {name: found[name] for name in ("output", "served", "counts", "unknown")}


def test_a_file_is_scored_to_the_same_bytes(tiny, both, source, tmp_path):
    here, there = both(lambda: scored(source, tmp_path / "out.csv"), uncut)
    assert here == there
    assert here["counts"].refused[INVALID] > 3 and here["groups"] > 3
    left = [path for path in settings().store.rglob("*.arrow") if path.is_file()]
    assert left == []  # what workers answered is as large as what was scored


def test_a_version_of_the_dataset_is_scored_alike(tiny, both, tmp_path):
    here, there = both(lambda: scored("data", tmp_path / "out.csv"), uncut)
    assert here == there and here["counts"].rows == 3 * ROWS


def test_a_worker_that_is_killed_while_it_scores_changes_nothing(tiny, tmp_path, use, source):
    use("")
    here = scored(source, tmp_path / "out.csv")
    with dask_cluster(tmp_path / "dask", 2) as found, _stuck(found) as stuck:
        use(found.address)
        there = scored(source, tmp_path / "out.csv")
        assert stuck.poll() == -signal.SIGKILL
    assert here == there


def test_too_many_refused_rows_end_it_with_the_words_they_have_here(tiny, workers, use, source, tmp_path):
    said = []
    for address in ("", workers.address):
        use(address)
        with pytest.raises(DataError) as raised:
            score.fn("tiny", str(source), str(tmp_path / "out.csv"), on_invalid="fail")
        said.append(raised.value.text())
    assert said[0] == said[1] and "rows" in said[0]
    assert not list(tmp_path.iterdir())


def test_the_batches_of_a_piece_come_back_one_by_one(tiny, use, source, monkeypatch):
    use("")
    monkeypatch.setattr(batch_pieces, "ROWS", 30)
    release, project = packaged("tiny"), load_project("tiny")
    rows = find_rows(project, str(source))
    piece = rows.pieces[1]
    given = basis(release, project, ("id",))
    scorer = Scorer(given, 2)
    columns = scorer.require(rows.types(rows.files[0]), "in", text=False)
    frames = [frame.select(columns) for frame in pieces.batches(piece, 30)]
    share = batch_pieces.Share(
        piece=piece, start=100, columns=tuple(columns), profiled=("size",), basis=given, run="r" * 32
    )
    part = batch_pieces.answer(share)
    again = list(batch_pieces.read_answers(part, "r" * 32))
    assert [each.read for each in again] == [30, 30, 30, 10]
    start = 100
    for frame, found in zip(frames, again, strict=True):
        expected = scorer.answer(frame, start)
        start += frame.height
        assert found.place.equals(expected.place) and found.rows.equals(expected.rows)
        assert found.scores.tobytes() == expected.scores.tobytes()
        assert (found.refused is None) == (expected.refused is None)
        assert found.refused is None or found.refused.equals(expected.refused)
    assert part.unknown == dict(scorer.unknown)


# --- how workers get files -------------------------------------------------------------------------------------------


def test_a_file_that_is_another_one_for_the_worker_is_refused(workers, use, rows, tmp_path):
    """As under a name that two machines have for different files."""
    path = tmp_path / "in.parquet"
    rows.write_parquet(path)
    [piece] = cut(outside(path), path)
    rows.reverse().write_parquet(path)
    use(workers.address)
    with pytest.raises(ClusterError, match="does not see a file that it is to read") as raised:
        cluster.spread(here, [piece], what="looking")
    assert raised.value.found == "another file" and str(path) in raised.value.where
    path.unlink()
    with pytest.raises(ClusterError) as raised:
        cluster.spread(here, [piece], what="looking")
    assert raised.value.found == "No such file or directory"


@pytest.mark.parametrize("remote", [True, False])
def test_a_worker_elsewhere_fetches_a_dataset_from_the_remote(tiny, use, tmp_path, monkeypatch, remote):
    project = load_project("tiny")
    use("")
    dataset = resolve_dataset.fn(project.data)
    here, candidate = validated(dataset), packaged("tiny").candidate
    splits = _in_small_groups(candidate.splits)
    scores = _scores(splits, candidate.model.booster)
    (tmp_path / "team").mkdir()
    monkeypatch.setenv("PENSTOCK_STORE", str(tmp_path / "team"))
    elsewhere = {"PENSTOCK_ROOT": str(tmp_path / "theirs"), "PENSTOCK_HOME": str(tmp_path / "theirs" / "home")}
    elsewhere["PENSTOCK_REMOTE"] = remote_url() if remote else str(tmp_path / "nothing")
    (tmp_path / "theirs").mkdir()
    with dask_cluster(tmp_path / "dask", 1, **elsewhere) as found:
        use(found.address)
        if remote:
            assert validated(dataset) == here
            there = _scores(splits, candidate.model.booster)
            assert there.tobytes() == scores.tobytes()  # by way of the shared store
            assert len(list((tmp_path / "theirs" / ".dvc" / "cache" / "files" / "md5").glob("*/*"))) == 3
        else:
            with pytest.raises(ClusterError, match="cannot get a file of the dataset") as raised:
                validated(dataset)
            assert str(tmp_path / "nothing") in raised.value.where and "PENSTOCK_REMOTE" in raised.value.next_step


@contextlib.contextmanager
def _stuck(found: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that gets its share, never does it, and is killed when it has got it."""
    from distributed import Client

    victim = found.workers[0]
    with Client(found.address, set_as_default=False) as client:
        [address] = [address for address, process in client.run(os.getpid).items() if process == victim.pid]
        os.kill(victim.pid, signal.SIGSTOP)
        killer = threading.Thread(target=lambda: until(lambda: client.processing().get(address)) and found.kill(victim))
        killer.start()
        try:
            yield victim
        finally:
            killer.join()
