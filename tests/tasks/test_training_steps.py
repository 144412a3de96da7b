"""Splitting, training and evaluation over real files, streaming."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
import pytest

from penstock.config import EvaluateConfig, SplitConfig
from penstock.errors import DataError
from penstock.refs import Checked, DataFile, Dataset
from penstock.task_type import Target
from tasks.data.project import load_project
from tasks.data.sources import load_source
from tasks.store import store
from tasks.training import fitting, splitting
from tasks.training.evaluation import evaluate_model
from tasks.training.splitting import split_dataset
from tasks.training.training import train_model


class Data:
    """The tiny project's rows in two files, and the refs that tasks take."""

    def __init__(self, monkeypatch, change=None) -> None:
        self.project = load_project("tiny")
        source = load_source(self.project)
        frames = [source.read(name).rows for name in source.names()]
        frames = [change(frame) if change else frame for frame in frames]
        halves = [pl.concat(frames[:2]), pl.concat(frames[2:])]
        paths = []
        for half in halves:
            with store.new_file("part.parquet") as draft:
                half.write_parquet(draft.path)
            paths.append(store.locate(draft.ref))
        self.rows = pl.concat(halves)
        monkeypatch.setattr("tasks.training.splitting.dataset_paths", lambda dataset: paths)
        files = tuple(DataFile(path=name, md5=name, size=1) for name in ("p0.parquet", "p1.parquet"))
        self.dataset = Dataset(path="data/tiny", version="1" * 32 + ".dir", files=files)

    def split(self, excluded=None, **changes):
        checked = Checked(report=store.put_json({}, "v.json"), excluded=excluded, rows=self.rows.height, invalid=0)
        config = SplitConfig(**{**self.project.split.model_dump(), **changes})
        return split_dataset(
            self.dataset, checked, self.project.features, config, self.project.evaluate, self.project.train.task
        )

    def train(self, splits, **changes):
        config = self.project.train.model_copy(update=changes)
        return train_model(splits, self.project.features, config)

    def evaluate(self, splits, model, features=None):
        return evaluate_model(
            splits, model, features or self.project.features, self.project.evaluate, self.project.train.target
        )


@pytest.fixture
def data(checkout, monkeypatch) -> Data:
    return Data(monkeypatch)


def positions(splits) -> list[set[int]]:
    return [
        set(pl.read_parquet(store.locate(ref))["__row__"]) for ref in (splits.train, splits.validation, splits.test)
    ]


@pytest.mark.parametrize("by", ["time", "random", "stratified"])
def test_no_row_is_in_two_splits_and_none_is_lost(data, by):
    train, validation, test = positions(data.split(by=by, gap_hours=0))
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert train | validation | test == set(range(2000))


def test_by_time_the_last_rows_judge_and_the_gap_is_kept(data):
    splits = data.split(gap_hours=10)
    train, validation, test = (sorted(part) for part in positions(splits))
    at = data.rows["at"]
    assert at.gather(train).max() < at.gather(validation).min() < at.gather(validation).max() < at.gather(test).min()
    assert (at.gather(validation).min() - at.gather(train).max()).total_seconds() > 10 * 3600
    assert store.read_json(splits.summary)["left_out_by_gap"] == 60


def test_excluded_rows_are_in_no_split(data):
    with store.new_file("excluded.parquet") as draft:
        bad = pl.DataFrame(
            {"file": ["p0.parquet", "p1.parquet"], "row": [3, 7]}, schema={"file": pl.String, "row": pl.UInt32}
        )
        bad.write_parquet(draft.path)
    parts = set().union(*positions(data.split(excluded=draft.ref, gap_hours=0)))
    assert set(range(2000)) - parts == {3, 1007}


def test_split_files_keep_each_rows_own_values(data):
    test = pl.read_parquet(store.locate(data.split().test))
    there = data.rows[test["__row__"].to_list()]
    for column in ("color", "size", "seats", "late"):
        assert test[column].equals(there[column], null_equal=True)


def test_equal_inputs_give_equal_fingerprints_and_others_do_not(data):
    first, second, other = data.split(), data.split(), data.split(test=0.3)
    assert first == second
    prints = [store.read_json(splits.summary)["splits"][2]["fingerprint"] for splits in (first, other)]
    assert prints[0] != prints[1]


def test_a_fingerprint_is_that_of_the_positions_however_many_are_hashed_at_a_time(data, monkeypatch):
    monkeypatch.setattr(splitting, "BATCH", 300)
    splits = data.split()
    for part, rows in zip(store.read_json(splits.summary)["splits"], positions(splits), strict=True):
        content = data.dataset.version.encode() + np.array(sorted(rows), "<u8").tobytes()
        assert part["fingerprint"] == hashlib.sha256(content).hexdigest()


def test_a_constant_label_and_a_split_without_positives_are_named(checkout, monkeypatch):
    with pytest.raises(DataError, match="the same in all"):
        Data(monkeypatch, lambda frame: frame.with_columns(late=False)).split()
    last = pl.col("id").str.starts_with("b4")
    with pytest.raises(DataError, match="test split has rows of one class"):
        Data(monkeypatch, lambda frame: frame.with_columns(late=pl.col("late") & ~last)).split()


@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_inputs_give_the_same_bytes_whatever_the_threads(data, threads, monkeypatch):
    from tasks.machine.settings import settings

    splits = data.split()
    first = data.train(splits)
    monkeypatch.setenv("PENSTOCK_THREADS", str(threads))
    settings.cache_clear()
    assert data.train(splits).booster == first.booster


def test_external_memory_gives_the_same_model_and_leaves_no_file(data, monkeypatch, checkout):
    splits = data.split()
    inside = data.train(splits)
    monkeypatch.setattr(fitting, "needs_external_memory", lambda *_: True)
    assert data.train(splits).booster == inside.booster
    assert not list((checkout.home / "store" / "tmp").iterdir())


def test_evaluation_scores_what_the_saved_model_scores(data):
    import xgboost as xgb

    from penstock.features import encode_frame

    splits = data.split()
    model = data.train(splits)
    evaluation = data.evaluate(splits, model)
    test = pl.read_parquet(store.locate(splits.test))
    booster = xgb.Booster(model_file=bytearray(store.read_bytes(model.booster)))
    mine = booster.predict(
        xgb.DMatrix(
            encode_frame(test, data.project.features, store.read_json(splits.categories)), enable_categorical=True
        )
    )
    kept = pl.read_parquet(store.locate(evaluation.predictions))
    assert kept["__row__"].equals(test["__row__"])
    np.testing.assert_array_equal(kept["score"].to_numpy(), mine)
    found = store.read_json(evaluation.metrics)
    assert found["metrics"]["auc"] > 0.7
    assert [part["value"] for part in found["slices"]] == ["blue", "green", "red"]
    assert sum(part["rows"] for part in found["slices"]) == test.height


def test_a_category_that_training_never_saw_is_a_missing_value(checkout, monkeypatch):
    late = pl.col("id").str.starts_with("b4") & (pl.col("color") == "blue")
    seen = Data(
        monkeypatch, lambda frame: frame.with_columns(color=pl.when(late).then(pl.lit("pink")).otherwise("color"))
    )
    splits = seen.split()
    assert "pink" not in store.read_json(splits.categories)["color"]
    assert store.read_json(seen.evaluate(splits, seen.train(splits)).metrics)["rows"] > 300


def test_a_champion_whose_feature_is_gone_is_incomparable_with_the_reason(data):
    splits = data.split()
    model = data.train(splits)
    fewer = data.project.features.model_copy(update={"numeric": ("seats", "wet")})
    assert store.read_json(data.evaluate(splits, model, fewer).metrics) == {
        "incomparable": "it needs size, which is no feature now"
    }


def test_a_leaky_threshold_is_impossible_it_comes_from_validation(data):
    """The threshold is the best on the validation rows, whatever is best on the test rows."""
    from penstock.metrics import best_threshold

    splits = data.split()
    model = data.train(splits)
    config = EvaluateConfig(**{**data.project.evaluate.model_dump(), "threshold_metric": "accuracy"})
    found = store.read_json(evaluate_model(splits, model, data.project.features, config, Target()).metrics)
    swapped = splits.model_copy(update={"test": splits.validation})
    own = evaluate_model(swapped, model, data.project.features, config, Target())
    scores = pl.read_parquet(store.locate(own.predictions))
    assert found["threshold"] == best_threshold(scores["label"].to_numpy(), scores["score"].to_numpy(), "accuracy")
