"""Deployments are added; nothing that was there changes by a character."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from penstock.deployments_text import with_deployments
from penstock.errors import ConfigError

OURS = (Path(__file__).resolve().parents[2] / "prefect.yaml").read_text()
VERBS = {"ingest", "train", "deploy", "rollback", "score", "monitor", "label", "reproduce"}
FILES = {
    "ours": OURS,
    "none": "name: x\n",
    "empty list": "name: x\ndeployments: []\n",
    "empty list with a comment and more": "deployments: [] # none\nname: x # last\n",
    "no value": "name: x\ndeployments:\nother: 1\n",
    "no newline at the end": "deployments:\n  - name: a\n    entrypoint: b:c",
    "not indented, then more": "deployments:\n- name: a\n  entrypoint: b:c\n  # a's own\n\n# of other\nother: {a: 1}\n",
    "commented deployment at the end": "deployments:\n  - name: a\n    entrypoint: b:c\n  # - name: off\n",
    "windows": "name: x\r\ndeployments:\r\n  - name: a\r\n    entrypoint: b:c\r\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_what_was_there_stays(kind):
    before = FILES[kind]
    after = with_deployments(before, "shop", "prefect.yaml")
    old, new = yaml.safe_load(before), yaml.safe_load(after)
    count = len(old.get("deployments") or [])
    assert new["deployments"][:count] == (old.get("deployments") or [])
    assert {key: value for key, value in new.items() if key != "deployments"} == {
        key: value for key, value in old.items() if key != "deployments"
    }
    added = new["deployments"][count:]
    assert {each["entrypoint"].rpartition(":")[2] for each in added} == VERBS
    assert all(each["parameters"]["config"] == "shop" and each["work_pool"]["name"] == "penstock" for each in added)
    kept = iter(after.splitlines())
    for line in before.splitlines():  # every line is still there, in its order
        assert line.startswith("deployments: []") or any(line == each for each in kept), line


def test_an_edit_is_an_insertion():
    after = with_deployments(OURS, "shop", "prefect.yaml")
    start = next(place for place, (a, b) in enumerate(zip(OURS + "\0", after, strict=False)) if a != b)
    assert OURS[:start] + after[start : start + len(after) - len(OURS)] + OURS[start:] == after
    assert "work_pool: *pool" in after[start:]


def test_a_new_project_gets_what_the_example_has():
    """But its schedules, which are its owner's."""
    listed = yaml.safe_load(with_deployments(OURS, "shop", "prefect.yaml"))["deployments"]

    def described(name: str) -> list[dict]:
        found = json.loads(json.dumps([each for each in listed if each["name"] == name]).replace(name, "NAME"))
        return [
            {key: value for key, value in each.items() if key not in ("schedules", "description")} for each in found
        ]

    assert described("shop") == described("flights")


def test_twice_is_once():
    once = with_deployments(OURS, "shop", "prefect.yaml")
    assert with_deployments(once, "shop", "prefect.yaml") == once
    assert with_deployments(OURS, "flights", "prefect.yaml") == OURS


@pytest.mark.parametrize("text", ["deployments: [{name: a, entrypoint: b:c}]\n", "deployments: 7\n", "- a\n", "a: [\n"])
def test_a_file_that_cannot_be_added_to_is_refused(text):
    with pytest.raises(ConfigError, match="cannot be added"):
        with_deployments(text, "shop", "prefect.yaml")
