"""A project's own function: what it may give, what it is told, and that rows do not see each other."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.column_arrays import Coded
from penstock.python_config import PythonFeatures
from penstock.python_features import FunctionError, called, other_rows_matter

COLUMNS = {"size": np.array([1.0, 2.0, np.nan]), "word": Coded(["a", "bc"], np.array([0, 1, -1]))}


def source(body: str, imports: str = "import numpy as np") -> str:
    return f"{imports}\n\ndef make(columns):\n    {body}\n"


def test_it_gets_copies_and_gives_numbers():
    text = source("columns['size'] *= 2; return {'twice': columns['size'], 'none': columns['word'] == None}")
    found = called("m:make", text, COLUMNS, ["twice", "none"])
    np.testing.assert_array_equal(found["twice"], [2, 4, np.nan])
    np.testing.assert_array_equal(found["none"], [0, 0, 1])
    np.testing.assert_array_equal(COLUMNS["size"], [1, 2, np.nan])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "ZeroDivisionError: division by zero (m.py, line 4)"),
        ("return None", "it returned NoneType, not the features made"),
        ("return {'other': columns['size']}", "it returned other, not the features made"),
        ("return {'made': columns['size'][:2]}", "of shape (2,), not numbers of shape (3,)"),
        ("return {'made': columns['word']}", "`made` is object"),
        ("return {'made': columns['size'].sum()}", "of shape ()"),
        ("return {'made': columns['length']}", "KeyError: 'length' (m.py, line 4)"),
    ],
)
def test_what_is_no_feature_is_told_with_its_line(body, said):
    with pytest.raises(FunctionError) as caught:
        called("m:make", source(body), COLUMNS, ["made"])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        ("return {'plain': columns['size'], 'made': columns['size'] - np.nanmean(columns['size'])}", "made"),
        ("return {'plain': np.arange(len(columns['size'])), 'made': columns['size']}", "plain"),
        ("return {'plain': columns['size'], 'made': np.log(columns['size'])}", ""),
    ],
)
def test_a_row_has_to_be_computed_by_itself(body, feature):
    assert other_rows_matter("m:make", source(body), COLUMNS, ["plain", "made"]) == feature


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (source("return {}"), ""),
        (source("return {}", "import polars as pl"), "line 1 imports polars"),
        (source("return {}", "from . import other"), "line 1 imports ."),
        (source("return {}", "import datetime, numpy.linalg"), ""),
        (source("import scipy.stats; return {}"), "line 4 imports scipy.stats"),
        ("def other(columns): ...", "it has no function `make`"),
        ("def make(:", "no Python"),
    ],
)
def test_what_cannot_serve_is_known_before_it_runs(text, said):
    config = PythonFeatures(call="m:make", columns={"size": "number"}, features=("made",), source=text)
    assert said in config.problem() if said else config.problem() == ""
