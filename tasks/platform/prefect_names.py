"""What an environment's things are called on a Prefect server, so that several environments may share one.

Development's have the names of the files: project `flights`, pool `penstock`. In the environment `staging` these are
`flights@staging` and `penstock-staging`. No project, channel or environment can be named so that two of these are one.
"""

from __future__ import annotations

from typing import Any

from tasks.machine.settings import settings

POOL = "penstock"
PROJECT = "penstock.project."
ENVIRONMENT = "penstock.environment"


def project(name: str) -> str:
    """``name`` in this environment: in deployments, automations, tags and in the resource of our events."""
    here = settings().environment
    return f"{name}@{here}" if here else name


def resource(name: str) -> str:
    """The id of the project's resource, which triggers and automations match."""
    return PROJECT + project(name)


def pool(name: str = POOL) -> str:
    """The work pool that takes the place of ``name`` of `prefect.yaml` here."""
    found = settings()
    if name == POOL and found.work_pool:
        return found.work_pool
    return f"{name}-{found.environment}" if found.environment else name


def block(channel: str) -> str:
    """The block that is made for a channel of alerts. A block's name has letters, digits and dashes alone."""
    here = settings().environment
    return f"penstock--{here}--{channel}" if here else f"penstock-{channel}"


def here(tree: Any) -> Any:
    """What `prefect.yaml` says, with this environment's names; another tree."""
    if not isinstance(tree, dict):
        return tree
    return {
        key: [_deployment(each) for each in value] if key == "deployments" and isinstance(value, list) else value
        for key, value in tree.items()
    }


def _deployment(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    found = dict(tree)
    if isinstance(found.get("name"), str):
        found["name"] = project(found["name"])
    if isinstance(found.get("work_pool"), dict):
        found["work_pool"] = {**found["work_pool"], "name": pool(found["work_pool"].get("name") or POOL)}
    if "triggers" in found:
        found["triggers"] = _triggers(found["triggers"])
    return found


def _triggers(tree: Any) -> Any:
    """Triggers, also those within others: what matches one of our projects, matches this environment's."""
    environment = settings().environment
    if isinstance(tree, list):
        return [_triggers(each) for each in tree]
    if not isinstance(tree, dict) or not environment:
        return tree
    found = {key: _triggers(value) for key, value in tree.items()}
    asked = found.get("prefect.resource.id")
    ids = [asked] if isinstance(asked, str) else list(asked or [])
    if not any(str(each).startswith(PROJECT) for each in ids):
        return found
    named = [f"{each}@{environment}" if each.startswith(PROJECT) and not each.endswith("*") else each for each in ids]
    return {ENVIRONMENT: environment, **found, "prefect.resource.id": named[0] if isinstance(asked, str) else named}
