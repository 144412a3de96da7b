"""The drift report: what it says and draws, that nothing in it is live, and where it is found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from penstock.alarm import alarm
from penstock.monitor_config import MonitorConfig
from penstock.sketch import ColumnSummary, category_summary, number_summary
from penstock.window import Reference, Window, WindowDrift, judge
from tasks.machine.settings import settings
from tasks.reports.drift_plots import distribution, history
from tasks.reports.drift_report import render_drift, sentence, write_drift_report
from tasks.store import artifacts, store
from tests.pages import read

pytestmark = pytest.mark.usefixtures("home")
HOSTILE = "</script><script>alert(1)</script>"
CONFIG = MonitorConfig(ignore=("weekday",))
DAY = 86_400.0


def columns(rows: int, seed: int, shift: float = 0.0, hostile: int = 0, name: str = "carrier") -> list[ColumnSummary]:
    draws = np.random.default_rng(seed)
    carriers = {"UA": rows // 2 - hostile, "B6": rows - rows // 2, HOSTILE: hostile}
    return [
        category_summary(name, {carrier: count for carrier, count in carriers.items() if count}),
        number_summary("temp", draws.normal(50 + shift, 15, rows)),
        number_summary("weekday", draws.integers(1, 8, rows)),
        number_summary("seats", np.full(rows, np.nan)),
    ]


def reference(name: str = "carrier") -> Reference:
    scores = number_summary("probability", np.random.default_rng(2).beta(2, 6, 5000))
    return Reference(name="night_flights-v3", columns=tuple(columns(20_000, 1, name=name)), predictions=scores)


def window(day: int, rows: int = 1000, **changes: Any) -> Window:
    scores = number_summary("probability", np.random.default_rng(day).beta(2, 6, rows))
    found = tuple(columns(rows, 10 + day, **changes))
    times = {"start": 1.7e9 + day * DAY, "end": 1.7e9 + (day + 1) * DAY}
    return Window(**times, rows=rows, columns=found, predictions=scores, requests=rows, refused=3)


def judged(windows: Sequence[Window], beside: Reference) -> list[WindowDrift]:
    history: list[WindowDrift] = []
    for one in windows:
        history.append(judge(CONFIG, beside, one, history))
    return history


def page(windows: Sequence[Window], beside: Reference | None = None) -> str:
    beside = beside or reference()
    found = judged(windows, beside)
    return render_drift("night_flights", beside, windows[-1], found, alarm(found, CONFIG))


CALM = [window(day) for day in range(3)]
HOT = [*CALM, window(3, shift=12), window(4, shift=12, hostile=100)]


@pytest.mark.parametrize("windows", [CALM, HOT, [window(0, rows=20)], [window(0, rows=0)]])
def test_is_whole_html_that_loads_and_runs_nothing(windows):
    html = page(windows)
    read(html)
    assert not re.search(r"https?://|\bnan\b|\binf\b", html)


def test_a_hostile_category_and_a_hostile_column_are_text_only():
    name = '"><script>alert(2)</script>'
    beside = reference(name)
    html = page([window(0, hostile=100, name=name)], beside)
    assert HOSTILE not in html and name not in html and "<script" not in html
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in html  # named as an unknown category
    assert "&lt;script&gt;alert(2)" in html


def test_an_alarm_says_what_it_is_about_on_top_and_the_worst_column_comes_first():
    html = page(HOT)
    assert '<span class="badge bad">ALARM</span>' in html
    assert "Alarm. Features are distributed otherwise than in training" in html
    reasons = html[html.index("Beyond limits in this window") : html.index("<h2>Alarms")]
    assert "temp: ks 0." in reasons and "carrier: 100 unknown categories" in reasons
    cards = re.findall(r"<h3>([a-z]+)", html[html.index("<h2>Features") :])
    assert cards == ["predictions", "temp", "carrier", "seats"]
    assert "night_flights-v3, 2023-11-18 22:13:20 to 2023-11-19 22:13:20 UTC" in html


def test_a_calm_window_and_one_beyond_that_is_no_alarm_yet():
    calm = page(CALM)
    assert '<span class="badge good">NO ALARM</span>' in calm and "Beyond limits in this window" not in calm
    assert "Left out by the configuration: weekday." in calm
    assert "seats (the training data have no value of it)" in calm
    watch = page(HOT[:4])
    assert '<span class="badge watch">WATCH</span>' in watch and "not in as many windows as an alarm takes" in watch


def test_too_few_rows_are_no_verdict():
    html = page([window(0, rows=20)])
    assert '<span class="badge none">NO VERDICT</span>' in html
    assert "No verdict: too few rows: 20 of 500." in html


def test_equal_inputs_give_equal_bytes_kept_by_the_windows_end(home):
    beside, found = reference(), judged(HOT, reference())
    ref = write_drift_report("night_flights", beside, HOT[-1], found, alarm(found, CONFIG))
    assert write_drift_report("night_flights", beside, HOT[-1], found, alarm(found, CONFIG)) == ref
    folder = home / "reports" / "night_flights" / "drift"
    assert sorted(path.name for path in folder.iterdir()) == [
        "2023-11-19T22-13-20Z.html",
        "2023-11-19T22-13-20Z.json",
        "latest.html",
    ]
    assert (folder / "latest.html").read_bytes() == store.read_bytes(ref)


def test_prefect_gets_the_verdict(monkeypatch):
    posted: dict[str, Any] = {}
    monkeypatch.setattr(artifacts, "markdown", posted.__setitem__)
    found = judged(HOT, reference())
    write_drift_report("night_flights", reference(), HOT[-1], found, alarm(found, CONFIG))
    text = posted["night-flights-drift"]
    assert text.startswith("# night_flights: Alarm. ") and "- value: temp: ks" in text and HOSTILE not in text


def test_the_sentence_is_that_of_the_verdict():
    found = judged(CALM, reference())
    assert sentence(found[-1], alarm(found, CONFIG)) == "No alarm: all 2 features that were compared are within limits."


def test_any_column_is_drawn():
    beside = {column.name: column for column in reference().columns}
    empty = number_summary("temp", np.array([]))
    assert distribution(beside["temp"], empty).endswith("</svg>")
    assert distribution(beside["carrier"], category_summary("carrier", {})).endswith("</svg>")
    assert distribution(beside["seats"], beside["seats"]) == ""
    constant = number_summary("k", np.full(100, 0.0))
    assert "nan" not in distribution(constant, constant)
    many = category_summary("dest", {f"airport {number}": 5 for number in range(100)})
    assert "93 others" in distribution(many, many)


def test_the_history_is_cut_marks_what_is_beyond_and_leaves_gaps():
    svg = history("temp", [0.2, None, 1.5, 80.0])
    assert svg.count('class="bar window"') == 1 and svg.count('class="bar beyond"') == 2 and svg.count(">–<") == 1
    assert history("temp", [0.1] * 500).count("<rect") == 30
    heights = [float(height) for height in re.findall(r'<rect[^>]* height="([\d.]+)"', svg)]
    assert max(heights) <= 44


def test_it_says_in_which_environment(monkeypatch):
    shown = '<span class="muted">in staging</span>'
    assert shown not in page(CALM)
    monkeypatch.setenv("PENSTOCK_ENV", "staging")
    monkeypatch.setenv("PENSTOCK_ENV_LOADED", "staging")  # as of a process that one of staging has started
    settings.cache_clear()
    assert shown in page(CALM)
