"""The first gates of a new project: margins that a comparison on so many rows can show."""

import pytest

from penstock.gate_text import loss_margin


@pytest.mark.parametrize(("rows", "margin"), [(100, 0.05), (400, 0.03), (625, 0.02), (36_715, 0.02), (0, 0.5)])
def test_fewer_rows_ask_for_a_wider_margin(rows, margin):
    assert loss_margin(rows) == margin
