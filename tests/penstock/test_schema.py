"""Schema files are read strictly: pandera itself ignores a misspelt key without a word."""

from __future__ import annotations

import pytest

from penstock.config import FeaturesConfig
from penstock.errors import ConfigError
from penstock.schema import parse_schema, require_columns

GOOD = """\
strict: true
columns:
  size: {dtype: Float32, in_range: {min_value: 0, max_value: 1}}
  color: {dtype: String, str_matches: "^a$"}
  at: {dtype: "Datetime(time_unit='us')"}
  late: {dtype: Boolean}
"""


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("in_rnage", "in_range", "did you mean `in_range`"),
        ("strct", "strict", "did you mean `strict`"),
        ("dtpye: Boolean", "dtype: Boolean", "did you mean `dtype`"),
        ("min_vlaue", "min_value", "did you mean `min_value`"),
        ("Flaot32", "Float32", "is not a type of a column"),
        ('"^a"', '"^a$"', "must begin with ^ and end with $"),
        ('"a$"', '"^a$"', "must begin with ^ and end with $"),
        ("{dtype: Boolean, ge: 1}", "{dtype: Boolean}", "only numbers have a range"),
        ("  size: {dtype: Int8}\n  late:", "  late:", "stands twice"),
        ("columns: {}\nx:", "columns:", "columns"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(wrong, right, said):
    with pytest.raises(ConfigError) as caught:
        parse_schema(GOOD.replace(right, wrong), "schemas/s.yaml")
    assert said in caught.value.text()
    assert "schemas/s.yaml:" in caught.value.where


def test_the_good_one_passes_and_gives_its_checks_by_panderas_names():
    schema = parse_schema(GOOD.replace("in_range: {min_value: 0, max_value: 1}", "ge: 0, lt: 1"), "s.yaml")
    assert schema.columns["size"].checks() == {"greater_than_or_equal_to": 0.0, "less_than": 1.0}


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({"numeric": ("size", "sice")}, "`sice`, which the schema does not have"),
        ({"numeric": ("color",)}, "which is String"),
        ({"categorical": ("size",), "numeric": ()}, "which is Float32"),
        ({"time": "when"}, "`features.time` names"),
    ],
)
def test_a_feature_that_the_schema_does_not_have(features, said):
    config = FeaturesConfig(**{"label": "late", "numeric": ("size",), **features})
    with pytest.raises(ConfigError) as caught:
        require_columns(parse_schema(GOOD, "s.yaml"), config, (), "s.yaml")
    assert said in caught.value.text()


@pytest.mark.parametrize("column", ["late", "at"])
def test_a_label_or_time_that_may_be_null_is_refused(column):
    kind = {"late": "Boolean", "at": "\"Datetime(time_unit='us')\""}[column]
    text = GOOD.replace(f"{column}: {{dtype: {kind}", f"{column}: {{dtype: {kind}, nullable: true")
    assert text != GOOD
    config = FeaturesConfig(label="late", time="at", numeric=("size",))
    with pytest.raises(ConfigError, match="may be null"):
        require_columns(parse_schema(text, "s.yaml"), config, (), "s.yaml")
    require_columns(parse_schema(GOOD, "s.yaml"), config, ("color",), "s.yaml")
