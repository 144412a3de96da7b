"""The stages as CircleCI's config. Secrets come from the contexts `penstock-data`, `-ingest` and `-release`."""

from __future__ import annotations

from typing import Any

from penstock import ci
from penstock.ci import Cache, Event, Stage

PATH = ".circleci/config.yml"
SERVES = "<< pipeline.parameters.penstock-home >>"
CODE = "/tmp/penstock-exit-code"  # noqa: S108  # of the job's own container
EVENTS: tuple[Event, ...] = ("main", "tag")
FILTERS: dict[str, dict[str, Any]] = {
    "change": {"branches": {"ignore": [ci.MAIN]}},
    "main": {"branches": {"only": [ci.MAIN]}},
    "tag": {"tags": {"only": [f"/^{ci.TAG}.*/"]}, "branches": {"ignore": ["/.*/"]}},
}


def config(stages: tuple[Stage, ...]) -> dict[str, Any]:
    workflows: dict[str, Any] = {"change": {"jobs": _entries(stages, "change", False)}}
    for event in EVENTS:
        workflows[event] = {"unless": SERVES, "jobs": _entries(stages, event, False)}
        workflows[f"{event}-release"] = {"when": SERVES, "jobs": _entries(stages, event, True)}
    schedule = {"schedule": {"cron": ci.CRON, "filters": {"branches": {"only": [ci.MAIN]}}}}
    workflows["schedule"] = {"triggers": [schedule], "jobs": _entries(stages, "schedule", False)}
    return {
        "version": 2.1,
        "parameters": {
            "penstock-home": {"type": "string", "default": "", "description": "PENSTOCK_HOME of the release runner"},
            "release-runner": {"type": "string", "default": f"my-namespace/{ci.RUNNER}"},
        },
        "jobs": {stage.name: _job(stage) for stage in stages},
        "workflows": workflows,
    }


def _entries(stages: tuple[Stage, ...], event: Event, serves: bool) -> list[Any]:
    """The jobs of a workflow. A person's approval is a job of its own there, which the stage then needs."""
    entries: list[Any] = []
    chosen = [stage for stage in stages if stage.runs_on(event) and (serves or not stage.serves)]
    names = {stage.name for stage in chosen}
    filters = {"filters": FILTERS[event]} if event in FILTERS else {}
    for stage in chosen:
        needs: list[Any] = [name for name in stage.needs if name in names]
        if stage.approval:
            entries.append({f"approve-{stage.name}": {"type": "approval", "requires": needs, **filters}})
            needs = [f"approve-{stage.name}"]
        if stage.always:
            needs = [{name: ["success", "failed"]} for name in needs]
        entry: dict[str, Any] = {"requires": needs} if needs else {}
        if stage.secrets:
            entry["context"] = [_context(stage)]
        if stage.serves:
            entry["serial-group"] = f"<< pipeline.project.slug >>/{ci.RACE}"
        entries.append({stage.name: {**entry, **filters}} if entry or filters else stage.name)
    return entries


def _context(stage: Stage) -> str:
    return "penstock-release" if stage.serves else "penstock-ingest" if stage.writes else "penstock-data"


def _job(stage: Stage) -> dict[str, Any]:
    job: dict[str, Any]
    if stage.serves:
        job = {"machine": True, "resource_class": "<< pipeline.parameters.release-runner >>"}
    else:
        job = {"docker": [{"image": f"cimg/python:{ci.PYTHON}"}]}
    job["environment"] = dict(ci.VARIABLES)
    if stage.secrets:
        job["environment"]["PENSTOCK_SECRETS"] = " ".join(stage.secrets)
    if stage.serves:
        job["environment"][ci.HOME] = SERVES
    job["steps"] = _steps(stage)
    return job


def _steps(stage: Stage) -> list[Any]:
    steps: list[Any] = ["checkout"]
    for cache in stage.caches:
        steps += _restored(cache)
    if stage.posts:
        steps.append({"attach_workspace": {"at": "."}})
    steps.append({"run": {"name": "install", "command": "\n".join(ci.INSTALL) + "\n"}})
    run = {"name": stage.name, "no_output_timeout": f"{ci.MINUTES}m"}
    saved = [{"save_cache": {"key": _key(cache), "paths": list(cache.paths)}} for cache in stage.caches]
    if not stage.keeps:
        return [*steps, {"run": {**run, "command": "\n".join(stage.commands) + "\n"}}, *saved]
    # what was found is handed on also where the stage fails, and a step after a failed one would not run
    (command,) = stage.commands
    steps.append({"run": {**run, "command": f"{command} || echo $? > {CODE}\n"}})
    steps += saved
    steps.append({"run": {"name": "keep", "command": f"mkdir -p {ci.REPORT}\n"}})
    steps.append({"store_artifacts": {"path": ci.REPORT}})
    steps.append({"persist_to_workspace": {"root": ".", "paths": [ci.REPORT]}})
    steps.append({"run": {"name": "exit code", "command": f'exit "$(cat {CODE} 2>/dev/null || echo 0)"\n'}})
    return steps


def _restored(cache: Cache) -> list[dict[str, Any]]:
    """A key is of one file there: one that lists the content hashes of all that count."""
    files = " ".join(f"'{name}'" for name in cache.files)
    return [
        {"run": {"name": f"key of {cache.name}", "command": f"git ls-files -s -- {files} > {_key_file(cache)}\n"}},
        {"restore_cache": {"keys": [_key(cache), f"{cache.name}-"]}},
    ]


def _key(cache: Cache) -> str:
    return f'{cache.name}-{{{{ checksum "{_key_file(cache)}" }}}}'


def _key_file(cache: Cache) -> str:
    return f"/tmp/penstock-{cache.name}.key"  # noqa: S108  # of the job's own container
