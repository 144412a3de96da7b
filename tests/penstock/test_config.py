"""A project's YAML: what is read, and what each mistake is told."""

from __future__ import annotations

import copy as copying
from pathlib import Path

import pytest

from penstock.config import Project, json_schema, parse
from penstock.errors import ConfigError, PenstockError

GOOD = """\
name: flights
data:
  source: examples.flights:source
  path: data/flights
  until: 2013-09
schema: schemas/flights.yaml
features:
  label: late
  time: scheduled
  categorical: [origin]
  numeric: [distance]
train:
  params: {max_depth: 8}
gate:
  metrics:
    auc: {min: 0.6}
package:
  purpose: Say which flights will be late.
"""


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, "configs/flights.yaml")
    return caught.value


def test_a_good_file_is_read_with_safe_defaults() -> None:
    project = parse(GOOD, "configs/flights.yaml")
    assert project.data.until == "2013-09"
    assert project.split_by == "time"
    assert project.gate.ties == "keep_current" and project.gate.incomparable == "fail"
    with pytest.raises(ValueError, match="frozen"):
        project.train.rounds = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ("max_depth: 8}", "max_depth: 8}\n  round: 5", ":14", "`train.round` is not a key"),
        ("source: examples.flights:source", "sauce: x", ":3", "`data.sauce` is not a key"),
        ("auc: {min: 0.6}", "auc: {mim: 0.6}", ":16", "`gate.metrics.auc.mim` is not a key"),
        ("auc: {min: 0.6}", "acu: {min: 0.6}", ":16", "gate.metrics.acu"),
        ("auc: {min: 0.6}", "auc: {}", ":16", "bounds nothing"),
        ("auc: {min: 0.6}", "auc: {min: 0.6, max: 0.5}", ":16", "above"),
        ("numeric: [distance]", "numeric: [late]", ":7", "cannot be features: late"),
        ("numeric: [distance]", "numeric: [origin]", ":7", "more than once: origin"),
        ("path: data/flights", "path: /etc/flights", ":4", "data.path"),
        ("purpose: Say", "purpos: Say", ":18", "purpos"),
        ("max_depth: 8", "nthread: 8", ":13", "set by Penstock"),
        ("name: flights", "name: Flights!", ":1", "name"),
        ("schema: ", "alerts: {ops: [gates]}\nschema: ", ":6", "`alerts.ops.0` is not right"),
        ("schema: ", "alerts: {Ops: [gate]}\nschema: ", ":6", "`alerts.Ops` is not right"),
        ("  time: scheduled\n", "split: {by: time}\n", ":", "split.by: time"),
    ],
)
def test_a_mistake_names_file_line_and_key(old: str, new: str, where: str, said: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new)
    if said.startswith("split"):
        text = GOOD.replace("  time: scheduled\n", "") + "split: {by: time}\n"
    error = refused(text)
    assert error.where.startswith("configs/flights.yaml") and where in error.where, error
    assert any(part in error.text() for part in said.split("|")), error
    assert error.next_step


WRONG = {  # what is added to a section, the key that has to be named, what is allowed
    "data": ("on_invalid: drop", "data.on_invalid", "quarantine or fail"),
    "data ": ("source: 5", "data.source", "a mapping with call, files"),
    "features": ("numeric: distance", "features.numeric", "a list of text"),
    "features ": ("derive: {hour: {part: second, of: scheduled}}", "features.derive.hour.part", "year, quarter, month"),
    "features  ": ("derive: {far: {log: distance, max: 3}}", "features.derive.far", "does not belong to `log`"),
    "features   ": ("derive: {far: {max: 3}}", "features.derive.far", "exactly one of `part`, `log`"),
    "features    ": ("derive: {far: {clip: distance, min: 9, max: 3}}", "features.derive.far", "above"),
    "features     ": ("derive: {few: {group: origin, top: 3, into: {}}}", "features.derive.few", "exactly one of"),
    "features      ": ("derive: {was: {log: late}}", "`derive.was` needs `late`", "mapping with"),
    "features       ": ("derive: {a: {log: distance}, b: {log: a}}", "derive.b", "derived itself"),
    "features        ": ("derive: {distance: {log: distance}}", "`derive.distance` is called", "mapping with"),
    "features         ": (
        "python: {call: parts, columns: {distance: number}, features: [far]}",
        "features.python.call",
        "text like",
    ),
    "features          ": (
        "python: {call: a:b, columns: {late: number}, features: [far]}",
        "`python.columns` has `late`",
        "a mapping of text to number",
    ),
    "split": ("test: 0.7", "split.test", "a number above 0 below 0.5"),
    "split ": ("by: tme", "split.by", "time, random, stratified or group"),
    "train": ("task: ranking", "train.task", "binary, multiclass or regression"),
    "train ": ("rounds: 0", "train.rounds", "a whole number from 1 up to 100000"),
    "train  ": ("objective: reg:gamma", "objective: reg:gamma", "binary:logistic"),
    "tune": ("space: {max_depth: {low: 9, high: 3}}", "tune", "low"),
    "behaviour": (
        "far: {direction: {feature: distance, score: sideways, add: 1}}",
        "behaviour.far.direction.score",
        "up or down",
    ),
    "evaluate": ("threshold_metric: auc", "evaluate.threshold_metric", "f1, accuracy or youden"),
    "gate": ("ties: keep", "gate.ties", "keep_current or accept"),
    "gate ": ("metrics: {auc: {min: high}}", "gate.metrics.auc.min", "a number"),
    "gate  ": ("metrics: {rmse: {max: 1}}", "rmse", "auc, average_precision"),
    "package": ("max_rows: none", "package.max_rows", "a whole number from 1"),
    "serve": ("timeout_seconds: 900", "serve.timeout_seconds", "a number above 0 up to 300"),
    "rollout": ("steps: [0]", "rollout.steps.0", "a list of a whole number from 1 up to 99"),
    "rollout ": ("steps: [50, 25]", "steps", "must rise"),
    "monitor": ("at_once: [scema]", "monitor.at_once.0", "schema, value, prediction"),
    "monitor ": ("ks: 2", "monitor.ks", "a number from 0 up to 1"),
    "labels": ("period: year", "labels.period", "day, week or month"),
    "retrain": ("on: [drift]", "retrain.on.0", "value drift, prediction drift"),
    "retrain ": ("enabled: maybe", "retrain.enabled", "true or false"),
    "retrain  ": ("metric: rmse", "retrain.metric", "auc, accuracy"),
    "alerts": ("ops: [gates]", "alerts.ops.0", "approval"),
    "ci": ("sample: 2", "ci.sample", "a number above 0 up to 1"),
}


@pytest.mark.parametrize("place", WRONG)
def test_a_wrong_value_in_any_section_names_file_line_key_and_what_is_allowed(place: str) -> None:
    section, (wrong, key, allowed) = place.strip(), WRONG[place]
    lines = GOOD.splitlines()
    name = wrong.partition(":")[0]
    if f"{section}:" in lines:
        start = lines.index(f"{section}:")
        end = next((i for i in range(start + 1, len(lines)) if not lines[i].startswith(" ")), len(lines))
        lines[start + 1 : end] = [each for each in lines[start + 1 : end] if not each.startswith(f"  {name}:")]
        lines = [each for each in lines if not each.startswith("    auc")] if name == "metrics" else lines
        lines.insert(start + 1, f"  {wrong}")
    else:
        lines += [f"{section}:", f"  {wrong}"]
    error = refused("\n".join(lines))
    said = error.text()
    assert error.where == f"configs/flights.yaml:{lines.index(f'  {wrong}') + 1}", said
    assert key in error.what, said
    assert allowed in f"{error.allowed} {error.what}", said


def test_every_section_of_the_file_has_a_wrong_value_above() -> None:
    sections = {field.alias or name for name, field in Project.model_fields.items()} - {"name", "schema"}
    assert sections <= {place.strip() for place in WRONG}


def test_a_key_is_what_is_written() -> None:
    """To YAML `on` is a truth value."""
    assert parse(GOOD + "retrain:\n  on: [value drift]\n", "x.yaml").retrain.on == ("value drift",)


def test_a_near_miss_is_suggested() -> None:
    assert "did you mean `rounds`" in refused(GOOD.replace("  params:", "  round: 9\n  params:")).next_step


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a mapping"),
        ("[1, 2]", "not a mapping"),
        ("name: [", "cannot be read"),
        (GOOD + "name: flights\n", "stands twice"),
        (GOOD.replace("  label: late", "  label: late\n  label: on_time"), "stands twice"),
        ("!!python/object:os.system {}", "cannot be read"),
    ],
)
def test_what_is_not_a_project(text: str, said: str) -> None:
    assert said in refused(text).what


def test_the_published_schema_is_the_one_in_the_repository() -> None:
    import json

    path = Path(__file__).parents[2] / "configs" / "project.schema.json"
    assert json.loads(path.read_text()) == json_schema(), "run: penstock schema > configs/project.schema.json"


def test_an_error_survives_being_rebuilt_by_other_libraries() -> None:
    error = ConfigError("what", where="here", found="this", allowed="that", next_step="do")
    copy = copying.copy(error)
    assert isinstance(copy, PenstockError) and copy.text() == error.text()
    assert copy.text().splitlines() == [
        "what",
        "  where:   here",
        "  found:   this",
        "  allowed: that",
        "  next:    do",
    ]
