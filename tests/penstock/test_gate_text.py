"""The first gates of a new project: margins that a comparison on so many rows can show."""

import pytest
import yaml

from penstock.gate_text import LEAST_JUDGED, gate_lines, loss_margin
from penstock.infer_target import infer_target
from penstock.source_config import SourceConfig


@pytest.mark.parametrize(("rows", "margin"), [(100, 0.05), (400, 0.03), (625, 0.02), (36_715, 0.02), (0, 0.5)])
def test_fewer_rows_ask_for_a_wider_margin(rows, margin):
    assert loss_margin(rows) == margin


@pytest.mark.parametrize(("judged", "least"), [(3, LEAST_JUDGED), (30, 30), (100, 80), (50_000, 1000)])
def test_a_handful_of_rows_lets_nothing_pass(judged, least):
    import polars as pl

    target = infer_target(pl.Series("y", ["0", "1"] * 50), SourceConfig(files="rows.csv", format="csv"))
    text = "\n".join(gate_lines(target, None, judged))
    assert yaml.safe_load(text)["gate"]["min_rows"] == least
    assert ("nothing passes before there are more rows" in text) == (judged < least)
