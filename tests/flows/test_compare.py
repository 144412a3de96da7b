"""Two releases that were really trained, side by side; and why a candidate passed or failed."""

import json

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.compare import as_text, compare, explain_gate
from penstock.comparison import changes
from penstock.errors import ConfigError, DataError
from penstock.gate_checks import Check
from tasks.registry.registry import find_release, recorded_candidate, register
from tests.pages import read, words


def test_what_differs_is_named_and_what_does_not_is_left_out(tiny):
    found = compare("tiny", "tiny-v1", "tiny-v2")
    assert [str(change) for change in found.config] == ["train.params.max_depth: 3 -> 4"]
    assert (found.code, found.libraries, found.schema_columns) == ((), (), ())
    assert found.same_test_rows and found.before.model != found.after.model
    auc = found.metrics[0]
    assert auc.name == "auc" and auc.before_interval.startswith("[") and auc.before != auc.after
    text = as_text(found)
    assert "train.params.max_depth: 3 -> 4" in text and "code: the same" in text


def test_the_command_prints_text_or_json(tiny):
    text = CliRunner().invoke(main, ["compare", "tiny", "tiny-v1", "tiny-v2"], catch_exceptions=False)
    assert text.exit_code == 0 and "metrics, the same test rows" in text.output
    gated = text.output.split("what the gates asked beside tiny-v1:\n")[1].splitlines()[0]
    assert gated.startswith("  auc: ") and "with 95 %), must be at most 0.05 worse" in gated
    backwards = CliRunner().invoke(main, ["compare", "tiny", "tiny-v2", "tiny-v1"], catch_exceptions=False)
    assert "what the gates asked" not in backwards.output
    tree = json.loads(CliRunner().invoke(main, ["compare", "tiny", "tiny-v1", "tiny-v2", "--json"]).output)
    assert tree["before"]["name"] == "tiny-v1"
    explained = json.loads(CliRunner().invoke(main, ["explain-gate", "tiny", "tiny-v2", "--json"]).output)
    [check] = [one for one in explained["decision"]["checks"] if one["loss"] is not None]
    assert check["low"] <= check["loss"] <= check["high"] <= 0.05
    assert explained["decision"]["passed"] and explained["against"].startswith("tiny-v1")


def test_the_commands_write_a_page_where_they_are_told_and_say_where(tiny, tmp_path):
    def run(*arguments: str):
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)

    named = tmp_path / "page.html"
    text = run("compare", "tiny", "tiny-v1", "tiny-v2", "--html", str(named))
    assert text.exit_code == 0 and text.stdout.splitlines()[-1] == f"page: {named}"
    assert text.stdout.startswith(run("compare", "tiny", "tiny-v1", "tiny-v2").stdout)
    shown = " ".join(read(named.read_text()).text)
    assert words(text.stdout.rpartition("page:")[0]) - words(shown) == set()
    kept = tiny.home / "reports" / "tiny" / "gates" / "tiny-v2.html"
    both = run("explain-gate", "tiny", "tiny-v2", "--json", "--html")
    assert both.stdout == run("explain-gate", "tiny", "tiny-v2", "--json").stdout
    assert both.stderr == f"page: {kept}\n"
    assert "Compared with tiny-v1" in " ".join(read(kept.read_text()).text)
    refused = run("explain-gate", "tiny", "--html", str(named / "below.html"))
    assert refused.exit_code == 8 and refused.stdout == "" and "--html FILE" in refused.stderr


def test_a_rejected_candidate_is_found_by_its_number_and_explained(tiny):
    candidate = recorded_candidate.fn(find_release("tiny", "tiny-v2"))
    failed = Check(name="auc", value=0.5, baseline=0.7, bound="at least 0.6", passed=False)
    decision = candidate.decision.model_copy(
        update={"passed": False, "checks": (*candidate.decision.checks, failed), "reasons": (str(failed),)}
    )
    lineage = candidate.lineage.model_copy(update={"dataset": "another"})
    rejected = register.fn(candidate.model_copy(update={"decision": decision, "lineage": lineage, "package": None}))
    name = f"rejected-{rejected.sequence}"
    assert explain_gate("tiny").name == name  # the last one judged
    lines = str(explain_gate("tiny", name)).splitlines()
    assert lines[2].split()[:3] == ["FAILED", "auc", "0.5"]
    assert compare("tiny", "tiny-v2", name).after.verdict == "rejected"


@pytest.mark.parametrize("name", ["tiny-v9", "rejected-1", "v1"])
def test_a_name_that_is_none_gets_those_there_are(tiny, name):
    with pytest.raises(DataError) as found:
        explain_gate("tiny", name)
    assert "tiny-v1, tiny-v2" in found.value.allowed


def test_one_candidate_twice_is_no_comparison(tiny):
    with pytest.raises(ConfigError, match="another one"):
        compare("tiny", "tiny-v1", "tiny-v1")


def test_lists_are_compared_whole_and_absent_is_a_dash():
    found = changes({"a": {"b": [1, 2]}, "c": "x", "e": {}}, {"a": {"b": [1]}, "d": None, "e": {}})
    assert [str(change) for change in found] == ["a.b: [1, 2] -> [1]", "c: x -> -", "d: - -> null"]
