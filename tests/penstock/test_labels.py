"""The label ledger's values: any order of batches, repeats and corrections is the state of a dictionary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.label_config import LabelsConfig
from penstock.label_coverage import at as at_time
from penstock.label_coverage import coverage
from penstock.label_rows import given_labels, key_text, truth
from penstock.labels import changes, fold, labelled, require_row_numbers, unmatched
from penstock.served import FIXED, require_served

REQUESTS = LabelsConfig()
KEYS = LabelsConfig(by="keys", key_columns=("flight", "day"))
KINDS = {"flight": "Int32", "day": "Datetime"}
MONDAY = datetime(2024, 1, 1)  # week 1 of 2024 begins with it


def served(rows: list[dict]) -> pl.DataFrame:
    usual = {"request_id": "r", "row": 0, "time_ns": 0, "model": "m-v1", "environment": "production", "score": 0.5}
    kinds = {name: getattr(pl, kind) for name, kind in FIXED.items()}
    made = [usual | {"decision": row.get("score", 0.5) >= 0.5} | row for row in rows]
    return pl.DataFrame(made, schema_overrides=kinds, infer_schema_length=None)


def at(day: float) -> int:
    return int((MONDAY + timedelta(days=day)).replace(tzinfo=UTC).timestamp() * 1e9)


def given_requests(rows: dict) -> pl.DataFrame:
    return given_labels(pl.DataFrame(rows), REQUESTS, "late", {}, "f.csv").rows


batches = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.booleans()), max_size=8)


@given(batches)
def test_the_state_is_that_of_a_dictionary_that_is_updated(many):
    model: dict[str, tuple[bool, int]] = {}
    kept = []
    for number, batch in enumerate(many, 1):
        rows = pl.DataFrame(
            {"request_id": list(batch), "row": ["0"] * len(batch), "label": list(batch.values())},
            schema={"request_id": pl.String, "row": pl.String, "label": pl.Boolean},
        )
        new, corrected = changes(fold(kept, REQUESTS.key), rows, REQUESTS.key)
        assert set(new["request_id"]) == set(batch) - set(model)
        assert set(corrected["request_id"]) == {key for key in batch if key in model and model[key][0] != batch[key]}
        kept.append((number, new.vstack(corrected)))
        model |= {key: (label, number) for key, label in batch.items() if model.get(key, (None,))[0] != label}
    state = fold(kept, REQUESTS.key)
    assert {row[0]: row[2:] for row in state.rows()} == model
    assert fold(reversed(kept), REQUESTS.key).equals(state)  # read in any order


@pytest.mark.parametrize(
    ("values", "dtype", "texts"),
    [
        (["007", " 7 ", "7.0", "x", ""], "Int16", ["7", "7", "7", None, None]),
        ([7.0, 7.5, None], "Int64", ["7", None, None]),
        ([2**63 - 1], "Int64", [str(2**63 - 1)]),
        (["007", "", " a"], "String", ["007", None, " a"]),
        (["TRUE", "0", "x"], "Boolean", ["true", "false", None]),
        (
            ["2024-01-01T10:00:00Z", "2024-01-01 10:00:00", "2024-01-01 10:00:00.000", "soon"],
            "Datetime",
            [0, 0, 0, None],
        ),
        ([datetime(2024, 1, 1, 10)], "Datetime", [0]),
        ([datetime(2024, 1, 1, 10, tzinfo=UTC)], "Datetime", [0]),
        (["2024-01-01", "2024-01-01T00:00:00", "1.1.2024"], "Date", ["2024-01-01", "2024-01-01", None]),
        (["0.1"], "Float32", ["0.1"]),
    ],
)
def test_a_key_is_the_same_however_it_was_written(values, dtype, texts):
    moment = "2024-01-01 10:00:00.000000"
    assert key_text(pl.Series(values), dtype).to_list() == [moment if text == 0 else text for text in texts]


def test_labels_are_read_as_people_write_them():
    assert truth(pl.Series(["True", "f", "1", "no", "maybe", None])).to_list() == [True, False, True, False, None, None]
    assert truth(pl.Series([0, 1, 2])).to_list() == [False, True, None]
    assert truth(pl.Series([0.0, 1.0])).to_list() == [False, True]


def test_rows_without_a_label_say_nothing_and_repeats_count_once():
    found = given_labels(
        pl.DataFrame({"request_id": ["a", "b", "a"], "late": ["1", "", "true"]}), REQUESTS, "late", {}, "f.csv"
    )
    assert (found.rows.rows(), found.empty, found.numbered) == ([("a", "0", True)], 1, False)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"request_id": ["a", "b", "a"], "late": ["1", "1", "0"]}, "rows 1, 3 (request_id a, row 0)"),
        ({"request_id": ["a", "b"], "late": ["", "maybe"]}, "row 2: 'maybe'"),
        ({"request_id": ["a", None], "late": ["1", "0"]}, "row 2: None"),
        ({"request_id": ["a"], "row": ["first"], "late": ["1"]}, "row 1: 'first'"),
        ({"id": ["a"], "late": ["1"]}, "id, late"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_row(rows, said):
    with pytest.raises(DataError) as caught:
        given_requests(rows)
    assert said in caught.value.found


def test_labels_find_predictions_by_keys_of_any_spelling():
    table = served([
        {"request_id": "a", "flight": 7, "day": "2024-01-01T00:00:00", "time_ns": 1},
        {"request_id": "b", "flight": 7, "day": "2024-01-01T00:00:00", "time_ns": 2, "score": 0.9},
        {"request_id": "c", "flight": None, "day": "2024-01-01T00:00:00", "time_ns": 3},
        {"request_id": "d", "flight": 8, "day": "2024-01-01T00:00:00", "time_ns": 4, "environment": "staging"},
    ])  # fmt: skip
    given = given_labels(
        pl.DataFrame({"flight": ["007", "8", "9"], "day": "2024-01-01", "late": ["1", "0", "0"]}),
        KEYS,
        "late",
        KINDS,
        "f",
    )
    state = fold([(1, given.rows)], KEYS.key)
    for repeated, expected in (
        ("last", [("b", True), ("c", None)]),
        ("first", [("a", True), ("c", None)]),
        ("all", [("a", True), ("b", True), ("c", None)]),
    ):
        config = KEYS.model_copy(update={"repeated": repeated})
        assert labelled(table, state, config, KINDS).select("request_id", "label").rows() == expected
    assert unmatched(given.rows, table, KEYS, KINDS).height == 1


def test_of_a_request_that_was_tried_again_the_last_answer_counts():
    table = served([{"time_ns": 2, "score": 0.7}, {"time_ns": 1, "score": 0.2}, {"model": "m-v2", "score": 0.4}])
    rows = labelled(
        table, fold([(3, given_requests({"request_id": ["r"], "late": ["1"]}))], REQUESTS.key), REQUESTS, {}
    )
    assert sorted(rows.select("model", "score", "label", "arrived").rows()) == [
        ("m-v1", pytest.approx(0.7), True, 3),
        ("m-v2", pytest.approx(0.4), True, 3),
    ]


def test_a_label_of_a_request_of_several_rows_says_which():
    rows = given_requests({"request_id": ["r", "s"], "late": ["1", "1"]})
    require_row_numbers(rows, served([{"request_id": "r"}, {"request_id": "s"}]), "f.csv")
    with pytest.raises(DataError) as caught:
        require_row_numbers(rows, served([{"request_id": "r"}, {"request_id": "r", "row": 1}]), "f.csv")
    assert caught.value.found == "r"


def weeks(labels: int, arrived: int = 1) -> pl.DataFrame:
    """100 predictions in week 1, 10 in week 2; the first ``labels`` of week 1 are labelled."""
    table = served([{"request_id": f"{n}", "time_ns": at(0 if n < 100 else 7)} for n in range(110)])
    rows = given_requests({"request_id": [f"{n}" for n in range(labels)], "late": ["1"] * labels})
    return labelled(table, fold([(arrived, rows)], REQUESTS.key), REQUESTS, {})


def test_a_period_is_final_after_its_time_and_with_enough_labels():
    early, late = datetime(2024, 1, 10, tzinfo=UTC), datetime(2024, 1, 15, tzinfo=UTC)
    first, second = coverage(weeks(71), REQUESTS, late)
    assert str(first) == "71 % of week 1 of 2024 labelled: provisional, needs 90%"
    assert (second.period, second.served, second.labelled) == ("2024-W02", 10, 0)
    assert coverage(weeks(90), REQUESTS, late)[0].mature
    assert not coverage(weeks(89), REQUESTS, late)[0].mature
    assert coverage(weeks(90), REQUESTS, early)[0].waits_for == "not before 2024-01-15 00:00"


def test_a_period_becomes_final_by_time_alone():
    before = coverage(weeks(90), REQUESTS, datetime(2024, 1, 14, tzinfo=UTC))
    later = [at_time(one, REQUESTS, datetime(2024, 1, 15, tzinfo=UTC)) for one in before]
    assert [one.mature for one in before] == [False, False]
    assert later == coverage(weeks(90), REQUESTS, datetime(2024, 1, 15, tzinfo=UTC)) and later[0].mature


@pytest.mark.parametrize(("period", "name"), [("day", "2024-12-30"), ("week", "2025-W01"), ("month", "2024-12")])
def test_periods_are_named_as_iso_names_them(period, name):
    config = LabelsConfig(period=period)
    rows = labelled(served([{"time_ns": at(364)}]), fold([], config.key), config, {})
    assert coverage(rows, config, datetime(2026, 1, 1, tzinfo=UTC))[0].period == name


def test_a_table_that_is_not_of_served_predictions_is_refused():
    require_served(served([{"late": True}]).schema, "f", ("late",))
    with pytest.raises(DataError, match="served"):
        require_served(served([{}]).with_columns(pl.col("row").cast(pl.String)).schema, "f")
    with pytest.raises(DataError, match="served"):
        require_served(served([{}]).schema, "f", ("late",))
