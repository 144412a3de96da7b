"""Task types in a project's YAML: what belongs to which, and what is said of what does not."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import yaml

from penstock.alarms import performance_drop
from penstock.config import Project, parse
from penstock.errors import ConfigError
from penstock.intervals import Measured
from penstock.retrain_config import RetrainConfig
from penstock.task_type import LOWER_IS_BETTER, TASK_TYPES, LiveMetric, MetricName, Objective


def project(task: str = "regression", **sections: Any) -> Project:
    tree = {
        "name": "p",
        "data": {"source": "m:f", "path": "data/p"},
        "schema": "schemas/p.yaml",
        "features": {"label": "y", "numeric": ["x"]},
        "package": {"purpose": "None."},
        "gate": {},
        **sections,
    }
    tree["train"] = {"task": task, **tree.get("train", {})}
    return parse(yaml.safe_dump(tree), "p.yaml")


def refused(message: str, **sections: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        project(**sections)


def test_left_out_the_task_is_binary() -> None:
    assert project().train.target.task == "regression"
    assert Project.model_fields["train"].default.target.task == "binary"


@pytest.mark.parametrize(
    ("task", "objective", "loss", "split", "live"),
    [
        ("binary", "binary:logistic", "logloss", "stratified", "auc"),
        ("multiclass", "multi:softprob", "mlogloss", "stratified", "accuracy"),
        ("regression", "reg:squarederror", "rmse", "random", "mae"),
    ],
)
def test_defaults_follow_the_task(task: str, objective: str, loss: str, split: str, live: str) -> None:
    found = project(task)
    assert (found.train.loss, found.split_by, found.live_metric) == ((objective, loss), split, live)


def test_every_name_belongs_to_a_task_type() -> None:
    for names, of in ((MetricName, "metrics"), (LiveMetric, "live"), (Objective, "objectives")):
        assert set(get_args(names)) == {name for kind in TASK_TYPES.values() for name in getattr(kind, of)}
    for kind in TASK_TYPES.values():
        assert set(kind.live) | set(kind.shown) | set(kind.headline) <= set(kind.metrics)
    assert set(get_args(MetricName)) >= LOWER_IS_BETTER


def test_a_metric_of_another_task_is_named_with_those_that_are_right() -> None:
    said = "`gate.metrics`: `auc` is a metric of binary; for regression: rmse, mae, r2, mape, pinball"
    refused(said, gate={"metrics": {"auc": {"min": 0.5}}})
    refused("`macro_f1` is a metric of multiclass", task="binary", gate={"slices": {"macro_f1": {"min": 0.5}}})
    refused("`log_loss` is a metric of binary and multiclass", gate={"metrics": {"log_loss": {"max": 1}}})
    refused("`retrain.metric`: `auc` is a metric of binary", retrain={"metric": "auc"})


@pytest.mark.parametrize(
    ("said", "sections"),
    [
        ("not one of multiclass: multi:softprob", {"task": "multiclass", "train": {"objective": "reg:gamma"}}),
        ("`params.scale_pos_weight` is a parameter of binary:logistic", {"train": {"params": {"scale_pos_weight": 2}}}),
        ("needs `params.quantile_alpha`", {"train": {"objective": "reg:quantileerror"}}),
        ("a parameter of reg:quantileerror", {"train": {"params": {"quantile_alpha": 0.9}}}),
        ("set by Penstock, not here: num_class", {"task": "multiclass", "train": {"params": {"num_class": 3}}}),
        ("a regression has none", {"train": {"class_weights": "balanced"}}),
        ("keep one", {"task": "binary", "train": {"class_weights": "balanced", "params": {"scale_pos_weight": 2}}}),
        ("nothing else has a threshold", {"evaluate": {"threshold_metric": "youden"}}),
        ("`split.by: stratified` needs classes", {"split": {"by": "stratified"}}),
        ("`pinball` needs `train.objective: reg:quantileerror`", {"gate": {"metrics": {"pinball": {"max": 1}}}}),
    ],
)
def test_what_does_not_belong_to_the_task_is_refused(said: str, sections: dict[str, Any]) -> None:
    refused(said, **sections)


def test_a_quantile_is_part_of_what_is_predicted() -> None:
    train = {"objective": "reg:quantileerror", "params": {"quantile_alpha": 0.9}}
    found = project(train=train, gate={"metrics": {"pinball": {"max": 1}}})
    assert found.train.target.quantile == 0.9
    assert found.train.loss == ("reg:quantileerror", "quantile")


def test_the_margin_of_a_metric_in_units_is_a_share() -> None:
    config = RetrainConfig(margin=0.1, drop="sure")
    live = Measured(value=21.5, low=21.0, high=22.0, method="normal")
    assert performance_drop("mae", live, 20.0, True, config) is None  # 5 % worse
    assert performance_drop("mae", live, 19.0, True, config) is not None
