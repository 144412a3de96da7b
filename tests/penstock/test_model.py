"""Fitting: same bytes however the data arrive, categories kept, and every refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from penstock.config import FeaturesConfig
from penstock.errors import TrainingError
from penstock.features import encode_frame
from penstock.model import categories, fit, importance, load, needs_external_memory
from penstock.train_config import TrainConfig

FEATURES = FeaturesConfig(label="late", categorical=("origin",), numeric=("wind", "hour"))
ORIGINS = {"origin": ["EWR", "JFK", "LGA"]}


def table(n: int, seed: int) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pl.DataFrame({
        "origin": generator.choice(ORIGINS["origin"], n),
        "wind": generator.normal(size=n),
        "hour": generator.integers(0, 24, n),
    })  # fmt: skip
    odds = frame["wind"].to_numpy() + (frame["origin"] == "JFK").to_numpy() + frame["hour"].to_numpy() / 24
    return frame.with_columns(late=pl.Series(generator.uniform(size=n) < 1 / (1 + np.exp(1 - odds))))


def batches(frame: pl.DataFrame, rows: int) -> Any:
    def read() -> Iterator[tuple[pl.DataFrame, pl.Series]]:
        for part in frame.iter_slices(rows):
            yield encode_frame(part, FEATURES, ORIGINS), part["late"]

    return read


TRAIN, VALIDATION = table(6000, 1), table(2000, 2)
CONFIG = TrainConfig(rounds=40, early_stopping_rounds=5, params={"max_depth": 4, "eta": 0.3, "subsample": 0.8})


def fitted(config: TrainConfig = CONFIG, rows: int = 10_000, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"threads": 2, "progress": lambda *_: None, **changes}
    return fit(batches(TRAIN, rows), batches(VALIDATION, rows), config, **arguments)


def test_the_same_bytes_whatever_the_batches_threads_and_memory(tmp_path: Path) -> None:
    one = fitted().booster
    assert fitted(rows=700, threads=1).booster == one
    assert fitted(rows=700, cache_prefix=str(tmp_path / "matrix")).booster == one
    assert fitted(CONFIG.model_copy(update={"seed": 8})).booster != one


def test_a_cut_model_keeps_its_categories_and_predicts_what_the_whole_one_did() -> None:
    found = fitted()
    assert found.best_iteration + 1 < found.rounds, "early stopping cut nothing"
    model = load(found.booster)
    assert model.num_boosted_rounds() == found.best_iteration + 1
    assert categories(model) == ORIGINS
    score = model.inplace_predict(encode_frame(VALIDATION, FEATURES, ORIGINS))
    truth = VALIDATION["late"].to_numpy()
    loss = -np.mean(np.where(truth, np.log(score), np.log1p(-score)))
    assert loss == pytest.approx(min(found.validation_loss), abs=1e-5)
    reversed_order = {"origin": ORIGINS["origin"][::-1]}
    assert (model.inplace_predict(encode_frame(VALIDATION, FEATURES, reversed_order)) == score).all()


def test_importance_is_a_share_of_the_whole() -> None:
    shares = importance(load(fitted().booster))
    assert sum(share["gain"] for share in shares) == pytest.approx(1)
    assert shares[0]["feature"] == "wind"
    assert {share["feature"] for share in shares} == set(FEATURES.names)


def test_progress_is_told_of_every_round() -> None:
    told: list[int] = []
    found = fitted(progress=lambda iteration, loss: told.append(iteration))
    assert told == list(range(found.rounds))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"max_dept": 3}, "did you mean `max_depth`"),
        ({"eta": "x"}, "expect float"),
        ({"tree_method": "magic"}, "valid values"),
        ({"max_depth": -1}, "greater equal"),
    ],
)
def test_wrong_parameters_are_refused_before_training(params: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainingError) as caught:
        fitted(TrainConfig(params=params, rounds=3))
    assert said in caught.value.text()


def test_convergence_is_watched() -> None:
    assert fitted().warnings == []
    short = TrainConfig(rounds=2, params={"max_depth": 3, "eta": 0.05})
    assert "raise `train.rounds`" in fitted(short).warnings[0]
    with pytest.raises(TrainingError, match="did not converge"):
        fitted(short.model_copy(update={"on_no_convergence": "fail"}))
    greedy = TrainConfig(
        rounds=20, early_stopping_rounds=3, params={"max_depth": 12, "eta": 1.0, "min_child_weight": 0}
    )
    assert "first tree was the best" in fitted(greedy).warnings[0]


def test_external_memory_is_for_what_does_not_fit() -> None:
    config = TrainConfig()
    assert not needs_external_memory(300_000, 20, config)
    assert needs_external_memory(10_000_000, 20, config)


def test_binned_is_called_once_and_before_the_first_tree() -> None:
    told: list[str] = []
    fitted(binned=lambda: told.append("binned"), progress=lambda iteration, _: told.append(f"tree {iteration}"))
    assert told[:2] == ["binned", "tree 0"]
    assert told.count("binned") == 1
