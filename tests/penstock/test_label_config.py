"""The sections `labels` and `retrain`: safe when left out, and refused when they cannot work."""

from __future__ import annotations

import pytest
import yaml

from penstock.config import parse
from penstock.errors import ConfigError
from tests.conftest import TINY


def project(**sections):
    tree = yaml.safe_load((TINY / "configs" / "tiny.yaml").read_text())
    return parse(yaml.safe_dump(tree | sections), "tiny.yaml")


def test_left_out_nothing_is_retrained_and_nothing_is_final_early():
    found = project()
    assert not found.retrain.enabled
    assert (found.labels.key, found.labels.min_coverage, found.labels.mature_hours) == (("request_id", "row"), 0.9, 168)


@pytest.mark.parametrize(
    "sections",
    [
        {"labels": {"by": "keys"}},
        {"labels": {"key_columns": ["id"]}},
        {"labels": {"by": "keys", "key_columns": ["id", "id"]}},
        {"labels": {"by": "keys", "key_columns": ["late"]}},
        {"labels": {"by": "keys", "key_columns": ["id"]}, "serve": {"log": {"drop": ["id"]}}},
        {"labels": {"by": "keys", "key_columns": ["id"]}, "serve": {"log": {"hash": ["id"]}}},
        {"labels": {"time": "at"}, "serve": {"log": {"drop": ["at"]}}},
        {"retrain": {"on": ["schema skew"]}},
        {"retrain": {"max_without_help": 0}},
    ],
)
def test_what_could_never_work_is_refused(sections):
    with pytest.raises(ConfigError):
        project(**sections)


def test_its_clean_twin_is_accepted():
    found = project(labels={"by": "keys", "key_columns": ["id"], "time": "at"}, serve={"log": {"drop": ["color"]}})
    assert found.labels.key == ("id",)


def test_keys_are_columns_of_the_schema(checkout):
    from tasks.data.project import load_project

    checkout.change(labels={"by": "keys", "key_columns": ["id"]})
    assert load_project("tiny").labels.key_columns == ("id",)
    checkout.change(labels={"by": "keys", "key_columns": ["order"]})
    with pytest.raises(ConfigError, match="order"):
        load_project("tiny")


def test_they_are_no_part_of_a_model(checkout):
    from tasks.training.lineage import RELEASING

    assert {"labels", "retrain"} <= RELEASING
