"""N of the last M windows, and the latest: by kind, over what could be judged, for one release."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from penstock.alarm import alarm
from penstock.drift import ColumnDrift, Score
from penstock.monitor_config import MonitorConfig
from penstock.quality import Check
from penstock.window import WindowDrift

CONFIG = MonitorConfig()  # 2 of the last 5, and the latest


def one(state: str, release: str = "v1") -> WindowDrift:
    """A window. ``state``: "." within limits, "v" value drift, "s" schema, "q" quality, "-" too few rows."""
    value = 0.3 if state == "v" else 0.01
    scores = () if state == "-" else (Score(name="ks", value=value, limit=0.1),)
    column = ColumnDrift(name="x", type="number", n=9, m=9, scores=scores, alarm=state == "v", reason="ks 0.300")
    kinds = () if state == "-" else (("schema", "s"), ("quality", "q"))
    checks = tuple(
        Check(kind=kind, name=kind, value=1, limit=0, alarm=state == letter, reason=f"{kind} is bad")
        for kind, letter in kinds
    )
    return WindowDrift(
        reference=release, start=0, end=1, rows=9, requests=9, refused=0, columns=(column,), predictions=None,
        checks=checks,
    )  # fmt: skip


def raised(states: str, **options) -> tuple[str, ...]:
    return alarm([one(state) for state in states], MonitorConfig(**options)).raised


@pytest.mark.parametrize(
    ("states", "kinds"),
    [
        ("", ()),
        (".....", ()),
        ("v", ()),
        ("....v", ()),
        ("...vv", ("value",)),
        ("v...v", ("value",)),
        ("v....v", ()),  # the first is no longer among the last five
        ("vvvv.", ()),  # gone by itself
        ("vv-", ()),  # the latest could not be judged
        ("v------v", ("value",)),  # what could not be judged does not count
        ("s", ("schema",)),  # at once
        ("s.", ()),
        ("q", ()),
        ("qq", ("quality",)),
        ("qv", ()),  # kinds are counted apart
    ],
)
def test_n_of_the_last_m_and_the_latest(states, kinds):
    assert raised(states) == kinds


def test_the_numbers_are_the_configs():
    assert raised("v", alarm_windows=1) == ("value",)
    assert raised("v.v", alarm_windows=2, alarm_of=2) == ()
    assert raised("s", at_once=()) == () and raised("q", at_once=("quality",)) == ("quality",)
    with pytest.raises(ValidationError, match="`alarm_windows` is above `alarm_of`"):
        MonitorConfig(alarm_windows=3, alarm_of=2)
    with pytest.raises(ValidationError, match="no window could be judged"):
        MonitorConfig(min_rows=600, window_rows=500)


def test_windows_beside_another_release_do_not_count():
    history = [one("v", "v1"), one("v", "v2")]
    assert alarm(history, CONFIG).raised == ()
    assert alarm([*history, one("v", "v2")], CONFIG).raised == ("value",)


def test_the_first_window_beside_a_new_release_decides_nothing():
    def decided(*history):
        return {found.kind: found.decided for found in alarm(history, CONFIG).kinds}

    assert decided(one("v", "v1"), one("v", "v1"), one("v", "v2")) | {"schema": True} == decided(one(".", "v2"))
    assert not decided(one("."))["value"] and decided(one("."))["schema"]
    assert decided(one("v"), one("."))["value"]
    assert not decided(one("v"), one("-"))["value"]


def test_it_says_in_words_what_it_is_about():
    found = alarm([one("v"), one("."), one("v")], CONFIG)
    assert str(found) == "alarm: value" and found.reasons == ("value: x: ks 0.300",)
    texts = {part.kind: str(part) for part in found.kinds}
    assert texts["value"] == "value: ALARM (2 of the last 3 windows, 2 needed)"
    assert texts["prediction"] == "prediction: not judged"
    assert texts["schema"] == "schema: within its limits (0 of the last 3 windows, 1 needed)"
    first = alarm([one("v")], CONFIG)
    assert str(first.kinds[1]) == "value: beyond its limits (1 of 1 window, 2 needed)" and str(first) == "no alarm"
