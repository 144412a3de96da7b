"""Windows: each kind of alarm by a planted fault, none of them by the clean twin."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.limits import ks_limit
from penstock.monitor_config import MonitorConfig
from penstock.sketch import ColumnSummary, category_summary, number_summary
from penstock.window import Reference, Window, WindowDrift, judge

CONFIG = MonitorConfig()
COLORS = (0.5, 0.3, 0.2)
RENAMED = {"r": 460, "g": 300, "b": 200, "R": 40}
DAY = 86_400.0


def color(shares, n: int, draws) -> ColumnSummary:
    return category_summary("color", dict(zip("rgb", draws.multinomial(n, shares).tolist(), strict=True)))


def size(n: int, draws, shift: float = 0.0, nulls: float = 0.1) -> ColumnSummary:
    values = draws.normal(10 + shift, 2, n)
    return number_summary("size", np.where(draws.uniform(size=n) < nulls, np.nan, values))


def probability(n: int, draws, shift: float = 0.0) -> ColumnSummary:
    return number_summary("probability", draws.beta(2 + shift, 6, n))


def reference() -> Reference:
    draws = np.random.default_rng(1)
    columns = (color(COLORS, 40_000, draws), size(40_000, draws))
    return Reference(name="v1", columns=columns, predictions=probability(8000, draws), allowed=("late",))


def window(n: int = 1000, seed: int = 2, day: int = 0, **changes) -> Window:
    draws = np.random.default_rng(seed)
    columns = {"color": color(COLORS, n, draws), "size": size(n, draws)} | changes.pop("columns", {})
    facts = {"predictions": probability(n, draws), "requests": n, "rows": n} | changes
    kept = tuple(column for column in columns.values() if column is not None)
    return Window(start=day * DAY, end=(day + 1) * DAY, columns=kept, **facts)


REFERENCE = reference()


def verdict(config: MonitorConfig = CONFIG, earlier=(), **changes) -> WindowDrift:
    return judge(config, REFERENCE, window(**changes), earlier)


def numbers(count: int, share_wild: float, wild: float) -> ColumnSummary:
    values = np.random.default_rng(3).normal(10, 2, count)
    values[: round(count * share_wild)] = wild
    return number_summary("size", np.append(values, np.full(count // 9, np.nan)))


def test_a_window_like_training_has_no_alarm():
    found = verdict()
    assert found.reasons == {} and str(found) == "2 columns within their limits"
    assert found.judged == ("schema", "value", "prediction", "quality")  # no earlier windows: no volume


def test_false_alarms_are_rare():
    assert sum(bool(verdict(seed=seed, n=500).reasons) for seed in range(150)) <= 2


@pytest.mark.parametrize(
    ("kind", "part", "changes"),
    [
        ("schema", "size: is missing", {"columns": {"size": None}}),
        ("schema", "hue: is no field", {"columns": {"hue": category_summary("hue", {"x": 1000})}}),
        ("schema", "900 text of 900 values", {"columns": {"size": category_summary("size", {"10.1": 900}, nulls=100)}}),
        ("schema", "100 refused requests", {"refused": 100}),
        ("value", "size: ks", {"columns": {"size": size(1000, np.random.default_rng(4), shift=1)}}),
        ("value", "color: psi", {"columns": {"color": color((0.2, 0.3, 0.5), 1000, np.random.default_rng(4))}}),
        ("prediction", "mean shift", {"predictions": probability(1000, np.random.default_rng(4), shift=2)}),
        ("quality", "39.5% nulls", {"columns": {"size": size(1000, np.random.default_rng(4), nulls=0.4)}}),
        ("quality", "0.0% nulls", {"columns": {"size": size(1000, np.random.default_rng(4), nulls=0)}}),
        ("quality", "such as 'R'", {"columns": {"color": category_summary("color", RENAMED)}}),
        ("quality", "50 wild numbers", {"columns": {"size": numbers(900, 50 / 900, -9999.0)}}),
        ("quality", "wild numbers", {"columns": {"size": numbers(900, 0.05, np.inf)}}),
    ],
)  # fmt: skip
def test_a_planted_fault_is_an_alarm_of_its_kind_alone(kind, part, changes):
    found = verdict(**changes)
    assert list(found.reasons) == [kind]
    assert part in found.reasons[kind][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"refused": 50},  # 5 %, as many as may be
        {"refused": 60},  # by chance
        {"columns": {"late": category_summary("late", {"True": 1000}, kind="boolean")}},  # allowed
        {"columns": {"size": size(1000, np.random.default_rng(5), nulls=0.13)}},
        {"columns": {"color": category_summary("color", {"r": 490, "g": 300, "b": 195, "R": 15})}},
        {"columns": {"size": numbers(900, 0.01, -9999.0)}},
        {"columns": {"size": numbers(900, 0.05, 19.5)}},  # outside the training range, but not far: drift if anything
    ],
)
def test_the_clean_twin_of_a_fault_is_no_alarm(changes):
    assert verdict(**changes).reasons == {}


def test_the_types_of_a_merged_profile_are_counted():
    mixed = size(1000, np.random.default_rng(6)).model_copy(update={"types": (("number", 895), ("text", 5))})
    assert "5 text of 900 values" in verdict(columns={"size": mixed}).reasons["schema"][0]


def test_a_window_of_few_rows_has_no_verdict_but_on_requests():
    found = verdict(n=120, columns={"size": None})
    assert found.reasons == {} and found.judged == ("schema",)
    assert found.reason == "too few rows: 120 of 500" == found.columns[0].reason == found.predictions.reason
    assert "refused" in verdict(n=120, refused=60).reasons["schema"][0]
    assert verdict(n=0, requests=0).judged == ()


def test_all_nulls_are_a_matter_of_quality_not_of_drift():
    found = verdict(columns={"size": number_summary("size", np.full(1000, np.nan))})
    assert list(found.reasons) == ["quality"] and "100.0% nulls" in found.reasons["quality"][0]


def test_ignored_columns_are_neither_compared_nor_missed():
    config = MonitorConfig(ignore=("size",))
    for column in (None, size(1000, np.random.default_rng(4), shift=5)):
        found = verdict(config, columns={"size": column})
        assert found.reasons == {} and [one.name for one in found.columns] == ["color"]


def test_categories_that_training_knew_but_never_counted_are_known():
    counts = {"r": 20_000, "g": 12_000, "b": 8000, "y": 0}
    known = REFERENCE.model_copy(update={"columns": (category_summary("color", counts), REFERENCE.columns[1])})
    color_window = category_summary("color", {"r": 500, "g": 280, "b": 180, "y": 40})
    for reference, kinds in ((known, set()), (REFERENCE, {"quality"})):
        found = judge(CONFIG, reference, window(columns={"color": color_window}))
        assert set(found.reasons) - {"value"} == kinds


def test_categories_that_training_did_not_list_are_not_called_unknown():
    part = REFERENCE.columns[0].model_copy(update={"unlisted": 10})
    found = judge(CONFIG, REFERENCE.model_copy(update={"columns": (part,)}), window())
    assert not [check for check in found.checks if check.name == "unknown categories"]


@pytest.mark.parametrize(("rows", "alarm"), [(1000, False), (100, True), (300, False), (4000, False), (20_000, True)])
def test_volume_is_judged_beside_earlier_windows(rows, alarm):
    earlier = [verdict(n=1000, day=day) for day in range(3)]
    found = verdict(n=rows, day=3, earlier=earlier)
    assert ("volume" in found.reasons) == alarm
    assert "volume" in found.judged and "volume" not in verdict(n=rows, earlier=earlier[:2]).judged


def test_volume_is_of_rows_a_second_and_chance_is_no_alarm():
    earlier = [verdict(n=1000, day=day) for day in range(3)]
    short = window(n=500).model_copy(update={"end": DAY / 2})
    assert "volume" not in judge(CONFIG, REFERENCE, short, earlier).reasons
    few = [verdict(n=20, day=day) for day in range(3)]
    assert "volume" not in verdict(n=3, day=3, earlier=few).reasons
    assert "volume" in verdict(n=0, day=3, earlier=[verdict(n=200, day=day) for day in range(3)]).reasons
    no_time = window(n=500).model_copy(update={"end": 0.0})
    assert "volume" not in judge(CONFIG, REFERENCE, no_time, earlier).judged


def test_a_verdict_survives_json_and_is_the_same_each_time():
    found = verdict(columns={"size": size(1000, np.random.default_rng(4), shift=1)}, refused=100)
    assert WindowDrift.model_validate_json(found.model_dump_json()) == found
    assert verdict(columns={"size": size(1000, np.random.default_rng(4), shift=1)}, refused=100) == found


def test_alpha_is_divided_between_the_scores_that_are_judged():
    strict = MonitorConfig(ks=0, psi=0, max_prediction_shift=0)
    found = verdict(strict)
    for drift, before, now, tests in (
        (found.columns[1], REFERENCE.columns[1], window().columns[1], 3),  # psi of color, ks and psi of size
        (found.predictions, REFERENCE.predictions, window().predictions, 3),
    ):
        limit = next(score.limit for score in drift.scores if score.name == "ks")
        noise = before.rank_error + now.rank_error
        assert limit == pytest.approx(ks_limit(now.numbers, before.numbers, strict.alpha / tests) + noise)


def test_a_change_of_nulls_that_chance_explains_is_no_alarm():
    config = MonitorConfig(min_rows=50)
    columns = (number_summary("size", np.arange(700.0), nulls=300),)
    for nulls, alarm in ((19, False), (40, True)):
        found = judge(
            config,
            Reference(name="v1", columns=columns),
            Window(start=0, end=1, rows=50, columns=(number_summary("size", np.arange(50.0 - nulls), nulls=nulls),)),
        )
        assert ("quality" in found.reasons) == alarm


def test_scored_files_have_no_volume_and_are_no_part_of_what_is_usual():
    usual = [verdict(n=1000, day=day) for day in range(3)]
    batches = [verdict(n=60_000, day=day, batch=True) for day in range(4)]
    assert all(one.batch and "volume" not in one.judged for one in batches)
    assert "volume" not in verdict(n=60_000, day=4, batch=True, earlier=usual).judged
    assert "volume" not in verdict(n=1000, day=4, earlier=[*usual, *batches]).reasons
    assert "volume" not in verdict(n=1000, day=4, earlier=batches).judged
    assert "value" in verdict(n=5000, batch=True, columns={"size": number_summary("size", np.full(5000, 30.0))}).reasons
