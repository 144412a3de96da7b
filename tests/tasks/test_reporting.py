"""The report: what it shows, that nothing in it is live, and how it is found again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from penstock.candidate import Candidate, Champion, Lineage, Release
from penstock.config import Project, parse
from penstock.errors import DataError
from penstock.gate import Decision
from penstock.gate_checks import Check
from penstock.refs import (
    Checked,
    DataFile,
    Dataset,
    Evaluation,
    FileRef,
    InfraCheck,
    Model,
    Package,
    Profiles,
    Splits,
)
from penstock.task_type import METRICS
from tasks.machine.settings import settings
from tasks.reports.plots import learning_curve, thinned, ticks
from tasks.reports.reporting import render, report_path, report_ref, write_report
from tasks.store import artifacts, store
from tests.pages import read

pytestmark = pytest.mark.usefixtures("home")
HOSTILE = "<script>alert(1)</script>"
PROJECT = """\
name: night_flights
data: {source: "examples.flights:source", path: data/flights}
schema: schemas/flights.yaml
features: {label: late, time: scheduled, categorical: [origin], numeric: [distance]}
evaluate: {slices: [origin], min_slice_rows: 100}
gate: {metrics: {auc: {min: 0.65, max_loss: 0.01}}}
package: {purpose: Says which flights will be late., intended_use: Planning & staffing., owner: ml-platform}
"""


def project() -> Project:
    return parse(PROJECT, "configs/night_flights.yaml")


def evaluation(auc: float | None, **more: Any) -> Evaluation:
    values = dict.fromkeys(METRICS, 0.25) | {"auc": auc}
    slices = [("JFK", 3000), ("LGA", 40), (HOSTILE, 500)]
    document = {
        "threshold": 0.31,
        "rows": 5000,
        "positives": 1000,
        "metrics": values,
        "validation": {"rows": 4000, "metrics": values | {"auc": 0.7777}},
        "slices": [
            {"column": "origin", "value": value, "rows": rows, "positives": 10, "metrics": values}
            for value, rows in slices
        ],
        "latency_ms": {"p50": 0.21, "p95": 0.4},
        "size_bytes": 1_234_567,
        "importance": [{"feature": f"feature {number}", "gain": 0.04} for number in range(25)],
        "warnings": ["The best iteration is the last."],
        **more,
    }
    curves = {
        "roc": {"fpr": [0.0, 0.5, 1.0], "tpr": [0.0, 0.8, 1.0]},
        "pr": {"recall": [], "precision": []} if auc is None else {"recall": [0.0, 1.0], "precision": [1.0, 0.2]},
        "calibration": [{"mean_score": 0.1, "positive_rate": 0.12, "rows": 2500}],
    }
    metrics, drawn = store.put_json(document, "metrics.json"), store.put_json(curves, "curves.json")
    return Evaluation(model="m", metrics=metrics, curves=drawn, predictions=drawn, headline="")


def candidate(*, passed: bool = True, baseline: Evaluation | None = None, auc: float | None = 0.71) -> Candidate:
    file = store.put_bytes(b"anything", "thing.bin")
    checks = (
        Check(name="test rows", value=1_234_567, baseline=None, bound="at least 1000", passed=True),
        Check(name="auc on origin=JFK", value=0.7, baseline=None, bound="at least 0.6", passed=True),
        Check(name=f"auc on origin={HOSTILE}", value=0.5, baseline=None, bound="low", passed=passed, note=HOSTILE),
    )
    reasons = tuple(str(check) for check in checks if not check.passed)
    part = {"name": "test", "rows": 5000, "positive_rate": 0.2, "from": "2013-08-01", "to": "2013-09-30"}
    validation = {
        "rows": 100,
        "invalid": 3,
        "checks": [{"column": "dest", "check": "isin", "failed": 3, "examples": [HOSTILE, None]}, {"column": "x"}],
        "warnings": ["temp is far out in 2 rows"],
    }
    history = {"train": [0.6, 0.5, 0.4], "validation": [0.6, 0.55, 0.56], "best_iteration": 1}
    model = Model(booster=file, history=store.put_json(history, "history.json"), best_iteration=1, rounds=3)
    sbom = store.put_json({"components": [{}, {}, {}]}, "sbom.cdx.json")
    package = Package(bento=file, tag="night_flights:abc", digest="d" * 64, schema_spec=file, sbom=sbom)
    return Candidate(
        lineage=Lineage(
            project="night_flights",
            config=file,
            schema_text=file,
            dataset="0123abcd.dir",
            remote="https://data.example/flights",
            git_commit="c0ffee" * 6,
            git_dirty=True,
            code={"penstock.gate": "1" * 64},
            environment="e" * 64,
            libraries={"xgboost": "3.2.0", "numpy": "2.4.6"},
            python="3.12.1",
        ),
        dataset=Dataset(path="data/flights", version="0123abcd.dir", files=(DataFile(path="a", md5="b", size=1),)),
        checked=Checked(report=store.put_json(validation, "report.json"), excluded=None, rows=100, invalid=3),
        splits=Splits(
            train=file,
            validation=file,
            test=file,
            categories=file,
            summary=store.put_json({"left_out_by_gap": 12, "splits": [part]}, "splits.json"),
            rows=(1, 1, 1),
        ),
        profiles=Profiles(train=file, validation=file, test=file, summary=file),
        model=model,
        evaluation=evaluation(auc),
        champion=Champion(version="night_flights-v1", model=model, why="the last blessed") if baseline else None,
        baseline=baseline,
        decision=Decision(passed=passed, checks=checks, reasons=reasons, champion=""),
        package=package if passed else None,
        check=InfraCheck(rows=200, max_difference=0, ready_seconds=3.2, rejected_status=422) if passed else None,
    )


def release(passed: bool = True, number: int = 3) -> Release:
    return Release(
        project="night_flights",
        version=f"night_flights-v{number}" if passed else "",
        verdict="blessed" if passed else "rejected",
        identity="i" * 64,
        record=FileRef(name="record.json", sha256="e" * 64, size=1),
        sequence=number,
        new=True,
    )


def test_hostile_text_is_escaped_wherever_it_stands() -> None:
    html = render(candidate(passed=False), release(passed=False), project())
    assert HOSTILE not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5  # reason, check, note, slice, example


@pytest.mark.parametrize("passed", [True, False])
def test_is_whole_html_that_loads_and_runs_nothing(passed: bool) -> None:
    html = render(candidate(passed=passed, baseline=evaluation(0.7)), release(passed), project())
    read(html)
    assert "https://data.example/flights" in html


def test_a_rejected_candidate_says_why_and_failed_checks_come_first() -> None:
    html = render(candidate(passed=False), release(passed=False), project())
    assert "REJECTED" in html and "BLESSED" not in html
    reasons = html[html.index("Why it was rejected") : html.index("<h2>Gates")]
    assert "0.5, must be low" in reasons
    gates = html[html.index("<h2>Gates") :]
    assert gates.index("✗ failed") < gates.index("✓ passed")
    assert "none: only what passes its gates is packaged" in html


def test_passed_slice_checks_are_folded_away() -> None:
    html = render(candidate(), release(), project())
    assert "Why it was rejected" not in html
    folded = html[html.index("<details>") : html.index("</details>")]
    assert "2 more checks, on slices, passed" in folded and "origin=JFK" in folded and "test rows" not in folded
    assert '<td>test rows</td><td class="n" data-of="value">1,234,567</td>' in html


def test_a_baseline_adds_the_champion_column_and_curve() -> None:
    alone = render(candidate(), release(), project())
    beside = render(candidate(baseline=evaluation(0.7)), release(), project())
    assert "Champion, same rows" not in alone and "champion 0.7000" not in alone
    assert "Champion, same rows" in beside and "champion 0.7000" in beside
    assert '<td class="n better">+0.0100</td>' in beside


def test_a_champion_that_cannot_be_scored_is_said_to_be() -> None:
    nothing = store.put_json({"incomparable": "it needs <wind>"}, "metrics.json")
    baseline = Evaluation(model="m", metrics=nothing, curves=nothing, predictions=nothing, headline="")
    html = render(candidate(baseline=baseline), release(), project())
    assert "could not be scored on these rows: it needs &lt;wind&gt;." in html
    assert "Champion, same rows" not in html and "Compared with" not in html


def test_undefined_metrics_and_small_slices_are_shown_as_such() -> None:
    html = render(candidate(auc=None), release(), project())
    assert '<td>auc</td><td class="n">–</td><td class="n">0.7777</td>' in html
    (small,) = re.findall(r'<tr class="small">.*', html)
    assert "LGA" in small and "not gated" in small


def test_equal_inputs_give_equal_bytes_found_again_by_name(home: Path) -> None:
    first = write_report(candidate(), release(number=9), project())
    assert write_report(candidate(), release(number=9), project()) == first
    write_report(candidate(), release(number=10), project())
    rejected = write_report(candidate(passed=False), release(passed=False, number=11), project())
    path = report_path("night_flights", "night_flights-v9")
    assert path == home / "reports/night_flights/night_flights-v9.html"
    assert path.read_bytes() == store.read_bytes(first)
    assert report_ref("night_flights", "night_flights-v9") == first
    assert report_ref("night_flights", "rejected-11") == rejected
    assert report_path("night_flights").read_bytes() == store.read_bytes(rejected)


@pytest.mark.parametrize("version", ["night_flights-v8", "../night_flights/night_flights-v9"])
def test_an_unknown_version_is_told_the_known_ones(version: str) -> None:
    for number in (10, 9):
        write_report(candidate(), release(number=number), project())
    for look in (report_path, report_ref):
        with pytest.raises(DataError) as caught:
            look("night_flights", version)
        assert caught.value.allowed == "night_flights-v9, night_flights-v10"
        assert caught.value.next_step == "penstock report night_flights night_flights-v10"
    with pytest.raises(DataError, match="no report of `other` yet"):
        report_path("other")


def test_prefect_gets_the_verdict_and_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: dict[str, Any] = {}
    monkeypatch.setattr(artifacts, "markdown", posted.__setitem__)
    monkeypatch.setattr(artifacts, "table", posted.__setitem__)
    write_report(candidate(passed=False), release(passed=False), project())
    assert set(posted) == {"night-flights-report", "night-flights-gates"}  # an underscore is refused by Prefect
    text = posted["night-flights-report"]
    assert text.startswith("# night_flights: REJECTED\n") and HOSTILE not in text
    assert "| auc | 0.7100 | 0.7777 | – |" in text
    assert [row["passed"] for row in posted["night-flights-gates"]] == [False, True, True]


def test_ticks_are_round_and_within_the_axis() -> None:
    assert [text for _, text in ticks(0, 1)] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [text for _, text in ticks(0.412, 0.447)] == ["0.42", "0.43", "0.44"]
    assert [text for _, text in ticks(1, 3000)] == ["1,000", "2,000", "3,000"]


def test_curves_of_any_length_are_drawn() -> None:
    points = [(float(number), 0.0) for number in range(100_000)]
    assert len(thinned(points)) <= 402 and thinned(points)[-1] == points[-1]
    for losses in ([], [0.5], [0.5, 0.5], [0.5, None]):
        _, svg, _ = learning_curve({"train": losses, "validation": losses, "best_iteration": 0})
        assert svg.endswith("</svg>") and "nan" not in svg


def test_the_loss_of_a_check_stands_beside_its_bound() -> None:
    made = candidate()
    check = Check(
        name="auc", value=0.7, baseline=0.71, bound="at most 0.02 worse", passed=True,
        loss=0.01, low=0.004, high=0.01625, confidence=0.95,
    )  # fmt: skip
    decision = made.decision.model_copy(update={"checks": (*made.decision.checks, check)})
    assert "paired bootstrap" not in render(made, release(), project())
    html = render(made.model_copy(update={"decision": decision}), release(), project())
    cells = (
        '<td class="n" data-of="loss">0.01<',
        '<td class="n" data-of="at most">0.0163<',
        ">at most 0.02 worse</td>",
    )
    assert all(cell in html for cell in cells)
    assert "At most: with 95 %, by a paired bootstrap" in html


def test_it_says_in_which_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = '<span class="muted">in staging</span>'
    assert shown not in render(candidate(), release(), project())
    monkeypatch.setenv("PENSTOCK_ENV", "staging")
    monkeypatch.setenv("PENSTOCK_ENV_LOADED", "staging")  # as of a process that one of staging has started
    settings.cache_clear()
    assert shown in render(candidate(), release(), project())
