"""What the report shows of a search for parameters."""

from __future__ import annotations

import re

import pytest

from penstock.candidate import Release
from penstock.train_config import TrainConfig
from penstock.tuning import Trial, Tuned
from tasks.data.project import load_project
from tasks.reports.reporting import render
from tasks.store import store
from tests.candidates import made

pytestmark = pytest.mark.usefixtures("checkout")
TRIALS = [
    Trial(number=0, params={"eta": 0.5}, state="finished", value=0.6, losses=(0.6,), rounds=(9,)),
    Trial(number=1, params={"eta": 0.25}, state="finished", value=0.4, losses=(0.4,), rounds=(21,)),
    Trial(number=2, params={"eta": 0.001}, state="pruned", losses=(0.9,), reason="above <b>the median</b>"),
    Trial(number=3, params={"eta": 1.5}, state="failed", reason="XGBoost refused to train."),
]


def page(tuned: Tuned | None) -> str:
    candidate, nothing = made(), store.put_json({}, "nothing.json")
    splits, checked = (
        candidate.splits.model_copy(update={"summary": nothing}),
        candidate.checked.model_copy(update={"report": nothing}),
    )
    package = candidate.package.model_copy(update={"sbom": None})
    candidate = candidate.model_copy(
        update={"tuned": tuned, "splits": splits, "checked": checked, "package": package}
    )  # fmt: skip
    release = Release(
        project="tiny", version="tiny-v1", verdict="blessed", identity="i", record=nothing, sequence=1, new=True
    )
    return render(candidate, release, load_project("tiny"))


def shown(**changes) -> str:
    record = {
        "train": TrainConfig(params={"eta": 0.25}), "params": {"eta": 0.25}, "metric": "logloss",
        "lower_is_better": True, "value": 0.4, "best": 1, "tried": 4, "pruned": 1, "failed": 1, "folds": 1,
        "trials": store.put_json([trial.model_dump(mode="json") for trial in TRIALS], "trials.json"),
        "out_of_time": False, "reproducible": True, **changes,
    }  # fmt: skip
    return page(Tuned.model_validate(record))


def test_trials_are_shown_best_first_and_drawn():
    html = shown()
    assert "4 sets of parameters were tried, measured on the validation rows: 2 finished, 1 given up early, 1" in html
    rows = re.findall(r'<td class="n">(\d)</td><td class="n">([\d.–]+)</td>.*?<td>(\w+)', html)
    assert rows == [
        ("2", "0.4000", "finished"),
        ("1", "0.6000", "finished"),
        ("3", "–", "pruned"),
        ("4", "–", "failed"),
    ]
    assert "best: trial 2, 0.4000" in html and 'aria-label="Tuning"' in html
    assert "<b>the median" not in html and "Not reproducible" not in html


def test_a_time_budget_is_said_to_make_it_not_reproducible():
    assert "Not reproducible: there was a time budget, and it ended the search." in shown(
        reproducible=False, out_of_time=True
    )
    assert "though the search ended within it" in shown(reproducible=False)


def test_a_run_without_a_search_shows_nothing_of_one():
    assert "<h2>Tuning</h2>" in shown()
    assert "<h2>Tuning</h2>" not in page(None)
