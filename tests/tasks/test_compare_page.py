"""The pages of compare and explain-gate: whole, escaped, and with all that the text says, for every task type."""

from __future__ import annotations

import pytest

from flows.compare import GateExplained, as_text, compare, compare_page, explain_gate, gate_page
from penstock.candidate import Champion
from penstock.comparison import changes, files_changed
from penstock.config import GateConfig
from penstock.errors import StorageError
from penstock.gate import decide
from penstock.gate_checks import Check
from tasks.data.project import schema_text
from tasks.registry.comparing import candidate_of, judged_event
from tasks.registry.registry import register
from tasks.reports.compare_page import render_comparison
from tasks.reports.gate_page import render_gate
from tasks.store import store
from tasks.training.pairing import compare_with_champion
from tests.candidates import made
from tests.pages import read, words
from tests.tasks.test_training_steps import Data

HOSTILE = '"><script>alert(1)</script>'
GATES = {
    "binary": {"auc": {"min": 0.6, "max_loss": 0.5}, "log_loss": {"max_relative_loss": 0.0001}},
    "multiclass": {"macro_f1": {"min": 0.1, "max_loss": 0.9}, "log_loss": {"max_loss": 0.0001}},
    "regression": {"rmse": {"max_relative_loss": 0.0001}, "r2": {"max_loss": 5}},
}


def pair(checkout, monkeypatch, task: str) -> tuple[str, str]:
    """The names of a release and of a candidate with fewer trees, rejected beside it: both in the ledger."""
    if task != "binary":
        checkout.task(task)
    gate = {"metrics": GATES[task], "slices": GATES[task], "min_rows": 100, "min_positives": 1, "resamples": 100}
    checkout.change(gate=gate)
    data = Data(monkeypatch)
    splits, rules = data.split(), GateConfig.model_validate(gate)
    schema = store.put_bytes(schema_text(data.project).encode(), "schema.yaml")
    models = [data.train(splits), data.train(splits, rounds=2)]
    found = [data.evaluate(splits, model) for model in models]
    documents = [store.read_json(one.metrics) for one in found]
    champion = Champion(version="tiny-v1", model=models[0], why="the newest release")
    losses = compare_with_champion(splits, found[1], found[0], rules, data.project.evaluate).losses
    decisions = [
        decide(rules.model_copy(update={"ties": "accept"}), data.project.evaluate, documents[0]),
        decide(rules, data.project.evaluate, documents[1], documents[0], "tiny-v1", losses=losses),
    ]
    names = []
    for number in range(2):
        base = made(f"d{number}", passed=not number, champion=champion if number else None)
        candidate = base.model_copy(
            update={
                "dataset": data.dataset,
                "splits": splits,
                "model": models[number],
                "evaluation": found[number],
                "baseline": found[0] if number else None,
                "decision": decisions[number],
                "lineage": base.lineage.model_copy(update={"schema_text": schema}),
            }
        )
        release = register.fn(candidate)
        names.append(release.version or f"rejected-{release.sequence}")
    return names[0], names[1]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_pages_say_all_that_the_text_says_and_the_failed_first(checkout, monkeypatch, task):
    before, after = pair(checkout, monkeypatch, task)
    found = compare("tiny", before, after)
    page = read(compare_page("tiny", found).read_text())
    shown = " ".join(page.text)
    said = as_text(found).replace("moved by less than 1 %", "")  # the page shows every feature
    assert found.gated and words(said) - words(shown) == set()
    assert shown.index(f"Why {after} was rejected") < shown.index("Metrics") < shown.index("Slices")
    drawn = [label for label in page.labels if "the margin is" in label]
    assert len(drawn) == len(found.gated)
    for name in (before, after):
        explained = explain_gate("tiny", name)
        page = read(gate_page(explained).read_text())
        shown = " ".join(page.text)
        said = str(explained).replace(" nothing ", " – ")
        assert words(said) - words(shown) == set()
        marks = [word for word in shown.split() if word in ("✗", "✓")]
        if name == before:
            assert "There was no champion to compare with." in shown and "✗" not in marks
        else:
            assert "Compared with tiny-v1 (the newest release)." in shown and marks[0] == "✗"
            failed = [check for check in explained.decision.checks if not check.passed and check.loss is not None]
            assert failed and shown.index("Why it was rejected") < shown.index("Beside tiny-v1")


def test_what_more_rows_would_tell_stands_on_top(checkout, monkeypatch):
    _, after = pair(checkout, monkeypatch, "binary")
    event = judged_event("tiny", after)
    candidate = candidate_of(event)
    note = "cannot tell: needs about 2,700 more test rows"
    check = Check(
        name="auc", value=0.7, baseline=0.71, bound="at most 0.5 worse", passed=False, note=note,
        loss=0.01, low=-0.2, high=0.6, confidence=0.95,
    )  # fmt: skip
    decision = candidate.decision.model_copy(update={"checks": (check,)})
    shown = " ".join(read(render_gate("tiny", event, candidate.model_copy(update={"decision": decision}))).text)
    assert shown.index("What more rows would tell") < shown.index(note) < shown.index("Beside tiny-v1")
    assert shown.count(note) == 2  # there, and beside its interval


def test_hostile_names_and_values_are_text(checkout, monkeypatch):
    before, after = pair(checkout, monkeypatch, "binary")
    sides = []
    for number, name in enumerate((before, after)):
        candidate = candidate_of(judged_event("tiny", name))
        metrics = store.read_json(candidate.evaluation.metrics)
        metrics["importance"] = [{"feature": HOSTILE, "gain": 0.5 + number / 10}]
        metrics["slices"] = [{"column": HOSTILE, "value": HOSTILE, "rows": 9, "metrics": {"auc": 0.5 + number / 10}}]
        config = store.read_json(candidate.lineage.config)
        config[HOSTILE] = [f"{HOSTILE}{number}", "x" * 500]
        check = Check(
            name=f"auc on x={HOSTILE}", value=0.7, baseline=0.71, bound=HOSTILE, passed=False, note=HOSTILE,
            loss=0.01, low=-0.2, high=0.6, confidence=0.95,
        )  # fmt: skip
        plain = check.model_copy(update={"loss": None, "low": None, "high": None})
        decision = candidate.decision.model_copy(update={"checks": (check, plain), "reasons": (str(check),)})
        sides.append(
            candidate.model_copy(
                update={
                    "decision": decision,
                    "evaluation": candidate.evaluation.model_copy(
                        update={"metrics": store.put_json(metrics, "metrics.json")}
                    ),
                    "lineage": candidate.lineage.model_copy(update={"config": store.put_json(config, "c.json")}),
                }
            )
        )
    code = files_changed({HOSTILE: "1"}, {HOSTILE: "2"})
    trees = [store.read_json(side.lineage.config) for side in sides]
    found = compare("tiny", before, after).model_copy(update={"code": code, "config": changes(*trees)})
    for html in (
        render_comparison("tiny", found, *sides),
        render_gate("tiny", judged_event("tiny", after), sides[1]),
    ):
        assert HOSTILE in " ".join(read(html).text)
        assert "<script" not in html
        assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


def test_lists_of_the_config_say_what_went_and_came_and_long_values_are_folded(checkout, monkeypatch):
    before, after = pair(checkout, monkeypatch, "binary")
    sides = [candidate_of(judged_event("tiny", name)) for name in (before, after)]
    trees = [{"features": [f"f{number}" for number in range(start, 150 + start)]} for start in (0, 2)]
    found = compare("tiny", before, after).model_copy(update={"config": changes(*trees)})
    html = render_comparison("tiny", found, *sides)
    shown = " ".join(" ".join(read(html).text).split())
    assert '− "f0"' in shown and '+ "f151"' in shown and '− "f2"' not in shown
    config = html[html.index("<h2>Config") : html.index("<h2>Data")]
    assert config.count("<details>") == 2 and f"{len(found.config[0].before)} characters" in config


def test_where_a_page_goes(checkout, monkeypatch, tmp_path):
    before, after = pair(checkout, monkeypatch, "binary")
    found, explained = compare("tiny", before, after), explain_gate("tiny", after)
    assert compare_page("tiny", found) == checkout.home / f"reports/tiny/compare/{before}-{after}.html"
    assert gate_page(explained) == checkout.home / f"reports/tiny/gates/{after}.html"
    target = tmp_path / "folder" / "page.html"
    assert compare_page("tiny", found, target) == target
    assert target.read_bytes() == compare_page("tiny", found).read_bytes()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError):
        gate_page(explained, tmp_path / "file" / "page.html")


def test_a_candidate_that_the_gates_did_not_compare_with_the_other_says_so(checkout, monkeypatch):
    before, after = pair(checkout, monkeypatch, "binary")
    shown = " ".join(read(compare_page("tiny", compare("tiny", after, before)).read_text()).text)
    assert f"Not known: the gates of {before} compared it with no champion." in shown


def test_a_gate_with_nothing_in_it_is_a_page(checkout):
    release = register.fn(made("d9"))
    explained = explain_gate("tiny", release.version)
    assert isinstance(explained, GateExplained) and explained.decision.checks == ()
    assert "Passed, 0 checks." in " ".join(read(gate_page(explained).read_text()).text)


def test_two_environments_are_told_apart(checkout, monkeypatch):
    before, after = pair(checkout, monkeypatch, "binary")
    found = compare("tiny", before, after)
    sides = [candidate_of(judged_event("tiny", name)) for name in (before, after)]
    assert "environment" not in as_text(found).partition("config")[0]
    moved = found.model_copy(update={"after": found.after.model_copy(update={"environment": "staging"})})
    assert "environment development staging" in " ".join(as_text(moved).split())
    shown = " ".join(" ".join(read(render_comparison("tiny", moved, *sides)).text).split())
    assert "environment development staging" in shown
