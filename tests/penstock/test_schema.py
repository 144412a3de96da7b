"""Schema files are read strictly: pandera itself ignores a misspelt key without a word."""

from __future__ import annotations

import pytest

from penstock.config import FeaturesConfig
from penstock.errors import ConfigError
from penstock.patterns import as_python, check_pattern
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
        ("{dtype: Boolean, nulllable: true}", "{dtype: Boolean}", "did you mean `nullable`"),
        ("{dtype: Boolean, dtype: Int8}", "{dtype: Boolean}", "stands twice"),
        ("dtype: Float32()", "dtype: Float32", "is not a type of a column"),
        ("min_value: 2, max", "min_value: 0, max", "a range that no number is in"),
        ("max_value: 0, include_max: false", "max_value: 1", "a range that no number is in"),
        ("max_value: .inf", "max_value: 1", "must be a finite number"),
        ("max_value: true", "max_value: 1", "must be a finite number"),
        ("str_length: {}", 'str_matches: "^a$"', "a length that bounds nothing"),
        ("str_length: {min_value: 3, max_value: 2}", 'str_matches: "^a$"', "a length that no text has"),
        ("isin: [NO, SE]", 'str_matches: "^a$"', "`isin` lists False"),
        ("notin: [1]", 'str_matches: "^a$"', "`notin` lists 1"),
        ("isin: [a, null]", 'str_matches: "^a$"', "must be a finite number"),
        ("isin: [a]", "in_range: {min_value: 0, max_value: 1}", "`isin` lists 'a'"),
        ("isin: [true]", "in_range: {min_value: 0, max_value: 1}", "`isin` lists True"),
        ("ge: 0, greater_than_or_equal_to: 1", "in_range: {min_value: 0, max_value: 1}", "are one key"),
        ("  why: {dtype: Int8}\n  late:", "  late:", "No column may be called `why`"),
        ("  ^l.*$: {dtype: Int8}\n  late:", "  late:", "No column may be called `^l.*$`"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(wrong, right, said):
    with pytest.raises(ConfigError) as caught:
        parse_schema(GOOD.replace(right, wrong), "schemas/s.yaml")
    assert said in caught.value.text()
    assert caught.value.where.startswith("schemas/s.yaml")


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
        ({"label": "size", "numeric": ("late",)}, "The label `size` is Float32"),
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


def test_a_feature_that_may_be_left_out_is_refused():
    text = GOOD.replace("size: {dtype: Float32", "size: {dtype: Float32, required: false")
    config = FeaturesConfig(label="late", numeric=("size",))
    with pytest.raises(ConfigError, match="`size` is a feature and may be left out"):
        require_columns(parse_schema(text, "s.yaml"), config, (), "s.yaml")


@pytest.mark.parametrize(("column", "said"), [("sice", "does not have"), ("color", "which is String")])
def test_outliers_of_a_column_that_has_no_numbers(column, said):
    config = FeaturesConfig(label="late", numeric=("size",))
    with pytest.raises(ConfigError) as caught:
        require_columns(parse_schema(GOOD, "s.yaml"), config, (), "s.yaml", (column,))
    assert "`data.outliers`" in caught.value.text()
    assert said in caught.value.text()
    require_columns(parse_schema(GOOD, "s.yaml"), config, (), "s.yaml", ("size",))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("^[a$", "is not a regular expression"),
        (r"^a\$", "must begin with ^ and end with $"),
        (r"^\w+$", r"uses \w"),
        (r"^[\s-]$", r"uses \s"),
        (r"^(a)\1$", r"uses \1"),
        ("^(?=a)a$", "uses (?"),
        ("^a++$", "uses ++"),
        ("^[[a]b]$", "uses ["),
        ("^[a-z&&b]$", "uses &&"),
    ],
)
def test_a_pattern_that_polars_and_python_do_not_read_alike(pattern, said):
    with pytest.raises(ValueError) as caught:
        check_pattern(pattern)
    assert said in str(caught.value)


@pytest.mark.parametrize("pattern", [r"^\\w$", r"^[a\-\-\[]$", r"^a\++$", r"^(?:a|b){1,2}$", r"^\d[^]]$", "^(?P<x>a)$"])
def test_a_pattern_that_both_read_alike(pattern):
    check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "python"), [("^a$|^b$", r"^a\Z|^b\Z"), (r"^\$[$]$", r"^\$[$]\Z"), (r"^[]$\]$]$", r"^[]$\]$]\Z")]
)
def test_the_end_of_a_text_is_not_before_its_last_newline(pattern, python):
    assert as_python(pattern) == python
