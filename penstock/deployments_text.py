"""Adds a project's deployments to `prefect.yaml` without touching a character of what is there. Pure."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from penstock.errors import ConfigError

POOL = "{ name: penstock }"
PULL = """
- prefect.deployments.steps.set_working_directory:
    directory: "{{ $PWD }}" # filled in when this file is deployed: the checkout it was deployed from"""
DEPLOYMENTS = """\
- name: NAME
  entrypoint: flows/ingest.py:ingest
  description: Ingest the next batch of NAME
  tags: [NAME, ingest]
  parameters: { config: NAME }
  enforce_parameter_schema: true
  work_pool: *pool
  pull: *here
  concurrency_limit:
    limit: 1
    collision_strategy: CANCEL_NEW # a second ingest would find nothing left to do
  # schedules: # without any it is started by hand, or from Prefect
  #   - { cron: "0 5 * * *", timezone: UTC, slug: daily }

- name: NAME
  entrypoint: flows/train.py:train
  description: Train on the rows of NAME that are there, gate, package and register
  tags: [NAME, train]
  parameters: { config: NAME }
  enforce_parameter_schema: true
  work_pool: *pool
  pull: *here
  concurrency_limit:
    limit: 1
    collision_strategy: ENQUEUE
  triggers:
    - name: train NAME when there are new data, or when monitoring asks for it
      type: event
      enabled: true
      expect: [penstock.data.ingested, penstock.retrain.asked]
      match:
        prefect.resource.id: penstock.project.NAME
        penstock.follow-up: trigger # `penstock run` trains by itself on what it ingests
      posture: Reactive
      threshold: 1
      within: 0
      parameters: { config: NAME }

- name: NAME
  entrypoint: flows/deploy.py:deploy
  description: Bring a release of NAME into production, step by step
  tags: [NAME, deploy]
  parameters: { config: NAME, wait: true }
  enforce_parameter_schema: true
  work_pool: *pool
  pull: *here
  concurrency_limit:
    limit: 1
    collision_strategy: ENQUEUE
  triggers:
    - name: deploy NAME when a release is blessed
      type: event
      enabled: true
      expect: [penstock.release.blessed]
      match:
        prefect.resource.id: penstock.project.NAME
        penstock.follow-up: trigger # `penstock run` deploys what it trains by itself
      posture: Reactive
      threshold: 1
      within: 0
      parameters:
        config: NAME
        version: "{{ event.payload.version }}"
        wait: true

- name: NAME
  entrypoint: flows/rollback.py:rollback
  description: Back to the last release of NAME that was healthy
  tags: [NAME, rollback]
  parameters: { config: NAME, reason: started from Prefect }
  enforce_parameter_schema: true
  work_pool: *pool
  pull: *here

- name: NAME
  entrypoint: flows/monitor.py:monitor
  description: Compare what was served with the training data; alarms, and whether to train again
  tags: [NAME, monitor]
  parameters: { config: NAME }
  enforce_parameter_schema: true
  work_pool: *pool
  pull: *here
  concurrency_limit:
    limit: 1
    collision_strategy: CANCEL_NEW # the next one takes what this one would have
  schedules:
    - cron: "*/15 * * * *"
      timezone: UTC
      slug: quarter-hourly

- name: NAME
  entrypoint: flows/label.py:label
  description: Record labels that came after the predictions
  tags: [NAME, label]
  parameters: { config: NAME }
  enforce_parameter_schema: true
  work_pool: *pool
  pull: *here

- name: NAME
  entrypoint: flows/reproduce.py:reproduce
  description: Make the release of NAME that serves again from its record, and compare it byte for byte
  tags: [NAME, reproduce]
  parameters: { config: NAME }
  enforce_parameter_schema: true
  work_pool: *pool
  pull: *here
  concurrency_limit:
    limit: 1
    collision_strategy: CANCEL_NEW
  # schedules:
  #   - { cron: "0 4 1 * *", timezone: UTC, slug: monthly }

- name: NAME
  entrypoint: flows/score.py:score
  description: Score a file with the release of NAME; a run names `source` and `output`
  tags: [NAME, score]
  parameters: { config: NAME }
  enforce_parameter_schema: true
  work_pool: *pool
  pull: *here
  concurrency_limit:
    limit: 1
    collision_strategy: ENQUEUE
"""


def with_deployments(text: str, name: str, where: str) -> str:
    """``text`` with the deployments of project ``name`` behind those it has; as it is, if it has any of that name.

    Raises ConfigError if the file is not one that can be added to.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        before = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _unable(where, str(getattr(error, "problem", error))) from None
    if not isinstance(node, yaml.MappingNode):
        raise _unable(where, "no mapping")
    listed = before.get("deployments") or []
    if not isinstance(listed, list):
        raise _unable(where, "`deployments` is no list")
    if any(str(each.get("name")) == name for each in listed if isinstance(each, dict)):
        return text
    sequence = next((value for key, value in node.value if key.value == "deployments"), None)
    block = DEPLOYMENTS.replace("NAME", name).replace("*pool", _pool(text)).replace("\n  pull: *here", _pull(text))
    after = _inserted(text, sequence, block, where)
    _require_only_added(before, after, where)
    return after


def _pool(text: str) -> str:
    return "*pool" if _anchored(text, "pool") else POOL


def _pull(text: str) -> str:
    return "\n  pull: *here" if _anchored(text, "here") else "\n  pull:" + textwrap.indent(PULL, "    ")


def _anchored(text: str, anchor: str) -> bool:
    return any(isinstance(token, yaml.AnchorToken) and token.value == anchor for token in yaml.scan(text))


def _inserted(text: str, sequence: yaml.Node | None, block: str, where: str) -> str:
    """``block`` behind the last line of the list, as deep as its items."""
    if sequence is None:
        return f"{text.rstrip()}\n\ndeployments:\n{textwrap.indent(block, '  ')}"
    if not isinstance(sequence, yaml.SequenceNode) or (sequence.flow_style and sequence.value):
        if not (isinstance(sequence, yaml.ScalarNode) and sequence.value in ("", "null", "~")):
            raise _unable(where, "`deployments` is not a list with `-` for each item")
        return text[: sequence.start_mark.index] + "\n" + textwrap.indent(block, "  ") + _rest(text, sequence)
    if not sequence.value:  # []
        head = text[: sequence.start_mark.index].rstrip()
        return f"{head}\n{textwrap.indent(block, '  ')}{_rest(text, sequence)}"
    lines = text.splitlines(keepends=True)
    end = sequence.end_mark.line + (sequence.end_mark.column > 0)  # where the next thing begins, or the end of the file
    end = min(end, len(lines)) if sequence.end_mark.index >= len(text) else sequence.end_mark.line
    depth = sequence.start_mark.column
    while end and _is_outside(lines[end - 1], depth):  # what stands before the next thing belongs to that
        end -= 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    return "".join([*lines[:end], "\n" + textwrap.indent(block, " " * depth), *lines[end:]])


def _is_outside(line: str, depth: int) -> bool:
    text = line.lstrip(" ")
    return not text.strip() or (text.startswith("#") and len(line) - len(text) <= depth)


def _rest(text: str, node: yaml.Node) -> str:
    return text[node.end_mark.index :].lstrip(" \t").removeprefix("\n")


def _require_only_added(before: dict[str, Any], text: str, where: str) -> None:
    try:
        after = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _unable(where, str(getattr(error, "problem", error))) from None
    kept = {**after, "deployments": (after.get("deployments") or [])[: len(before.get("deployments") or [])]}
    if kept != {**before, "deployments": before.get("deployments") or []}:
        raise _unable(where, "something else in the file would change")


def _unable(where: str, found: str) -> ConfigError:
    return ConfigError(
        "The deployments cannot be added.",
        where=where,
        found=found,
        next_step="mend the file; or give it `deployments:` with one `- name: ...` below it",
    )
