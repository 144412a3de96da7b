"""Reads a project's files: its YAML and the schema beside it."""

from __future__ import annotations

import difflib
from pathlib import Path

from penstock.config import Project, parse
from penstock.errors import ConfigError
from penstock.refs import FileRef
from penstock.schema import parse_schema, require_columns
from tasks.machine.settings import settings
from tasks.store.store import read_json


def load_project(config: str | Path) -> Project:
    """The project of a YAML file's path or of a project's name.

    Raises ConfigError if there is none, or if it or its schema is wrong.
    """
    path = config_path(config)
    project = parse(path.read_text(encoding="utf-8"), _shown(path))
    if project.name != path.stem:
        raise ConfigError(
            "The project's name is not its file's name.",
            where=_shown(path),
            found=f"name: {project.name}",
            allowed=f"name: {path.stem}",
            next_step="rename the file or the project",
        )
    project = with_source(project, _shown(path), _source(project))
    schema = schema_path(project)
    where = _shown(schema)
    columns = parse_schema(schema.read_text(encoding="utf-8"), where)
    named = tuple(filter(None, (*project.labels.key_columns, project.labels.time)))
    task = project.train.target.type
    watched = tuple(project.data.outliers)
    require_columns(columns, project.features, project.evaluate.slices, where, watched, named, task)
    return project


def _source(project: Project) -> str | None:
    """Of the file of `features.python`; None where there is none that can be read."""
    python = project.features.python
    if python is None:
        return None
    try:
        return (settings().root / python.file).read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return None


def with_source(project: Project, where: str, source: str | None) -> Project:
    """The project with the ``source`` of `features.python`, which is part of what it is. Raises ConfigError if that
    cannot be used, or is None where it is needed."""
    python = project.features.python
    if python is None:
        return project
    if python.source:
        raise ConfigError("`features.python.source` is no key of the file.", where=where, next_step="take it out")
    python = python.model_copy(update={"source": source or ""})
    problem = f"there is no {python.file} that can be read" if source is None else python.problem()
    if problem:
        raise ConfigError(
            f"The function `{python.call}` of `features.python` cannot be used.",
            where=f"{where}, key features.python",
            found=problem,
            allowed="one file of the checkout that imports nothing but NumPy and Python's own library",
            next_step="correct the key or the file",
        )
    features = project.features.model_copy(update={"python": python})
    return project.model_copy(update={"features": features})


def recorded_project(config: FileRef) -> Project:
    """The project as it was when a release was made of it."""
    return Project.model_validate(read_json(config))


def project_names() -> list[str]:
    """The projects that have a YAML file, readable or not, sorted."""
    return sorted(path.stem for path in (settings().root / "configs").glob("*.yaml"))


def config_path(config: str | Path) -> Path:
    root = settings().root
    text = str(config)
    named = "/" not in text and not text.endswith((".yaml", ".yml"))
    path = root / "configs" / f"{text}.yaml" if named else root / text
    if path.is_file():
        return path
    names = project_names()
    near = difflib.get_close_matches(path.stem, names, n=1)
    raise ConfigError(
        f"There is no project `{path.stem}`.",
        where=_shown(path),
        allowed=", ".join(names) or "no project yet",
        next_step=f"did you mean `{near[0]}`?" if near else "write the file, or name one of the projects above",
    )


def schema_path(project: Project) -> Path:
    """The schema file of ``project``. Raises ConfigError if it is not there."""
    path = settings().root / "configs" / project.schema_file
    if not path.is_file():
        raise ConfigError(
            "The project's schema file is not there.",
            where=f"configs/{project.name}.yaml, key schema",
            found=project.schema_file,
            allowed="a YAML file below configs/",
            next_step="write it, or correct the key",
        )
    return path


def schema_text(project: Project) -> str:
    return schema_path(project).read_text(encoding="utf-8")


def _shown(path: Path) -> str:
    root = settings().root
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
