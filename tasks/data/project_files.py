"""Writes a new project's files, all or none, and never over what is there unless told to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from penstock.config import Identifier, parse
from penstock.deployments_text import with_deployments
from penstock.errors import ConfigError
from penstock.project_text import WORDS
from penstock.schema import parse_schema, require_columns
from tasks.machine.settings import settings
from tasks.store import locks
from tasks.store.store import readable_errors, write_atomic


def require_free(name: str, force: bool) -> None:
    """Raise ConfigError if ``name`` is no project's name, or is taken and ``force`` is not given."""
    pattern = next(part.metadata[0].pattern for part in get_args(Identifier)[1:])
    if not re.fullmatch(pattern, name) or name in WORDS:
        raise ConfigError("This is no project's name.", found=name,
                          allowed="a small letter, then small letters, digits, `_`, `-`; at most 48; no yes or null",
                          next_step="choose another name")  # fmt: skip
    taken = [str(path.relative_to(settings().root)) for path in _paths(name) if path.exists()]
    if taken and not force:
        raise ConfigError(
            f"The project `{name}` exists already.",
            where=", ".join(taken),
            next_step="choose another name, or say --force to write these files anew; what was changed in them is lost",
        )


def dataset_folder(name: str, files: str | None) -> str:
    """The folder of the project's dataset: `data/NAME`, unless the source's own files are there."""
    folder = f"data/{name}"
    return f"{folder}_dataset" if files and files.startswith((f"{folder}/", f"{folder}.")) else folder


def write_project(name: str, project: str, schema: str, force: bool) -> list[str]:
    """Check the texts as `penstock run` will, then write them and the deployments; returns what was written."""
    config, schema_file = _paths(name)
    parsed = parse(project, f"configs/{name}.yaml")
    columns = parse_schema(schema, f"configs/schemas/{name}.yaml")
    task = parsed.train.target.type
    require_columns(columns, parsed.features, parsed.evaluate.slices, f"configs/schemas/{name}.yaml", task=task)
    deployments = settings().root / "prefect.yaml"
    with locks.exclusive("new"), readable_errors(config.parent):
        before = deployments.read_bytes().decode()  # line ends as they are
        after = with_deployments(before, name, deployments.name)
        require_free(name, force)
        write_atomic(schema_file, schema.encode())
        write_atomic(config, project.encode())
        if after != before:
            write_atomic(deployments, after.encode())
    changed = [config, schema_file] + ([deployments] if after != before else [])
    return [str(path.relative_to(settings().root)) for path in changed]


def _paths(name: str) -> tuple[Path, Path]:
    root = settings().root / "configs"
    return root / f"{name}.yaml", root / "schemas" / f"{name}.yaml"
