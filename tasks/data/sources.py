"""Loads a project's data source: the function, the files or the query that `data.source` names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from penstock.batch import Source
from penstock.config import Project
from penstock.errors import ConfigError
from penstock.schema import parse_schema
from tasks.data.data import tracked_files
from tasks.data.file_source import FileSource
from tasks.data.project import schema_text
from tasks.data.sql_source import SqlSource
from tasks.machine.settings import settings


def load_source(project: Project) -> Source:
    """The source of ``project``. Raises ConfigError if there is no such thing, or it is no source."""
    config = project.data.source
    if config.call is None:
        columns = parse_schema(schema_text(project), f"configs/{project.schema_file}").columns
        if config.files is not None:
            return FileSource(config, columns)
        return SqlSource(config, columns, lambda: {Path(path).stem for path in tracked_files(project.data)})
    return load_function(config.call, f"configs/{project.name}.yaml, key data.source")


def load_function(call: str, where: str) -> Source:
    """Call `module:function` of the checkout. Raises ConfigError if there is no such thing, or it is no source."""
    module_name, _, function_name = call.partition(":")
    root = str(settings().root)
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The data source's module cannot be imported: there is no `{error.name}`.",
            where=where,
            found=call,
            allowed="`module:function`, a module of the checkout or of the environment",
            next_step="correct the name, or install what is missing",
        ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(
            f"`{module_name}` has no function `{function_name}`.",
            where=where,
            allowed=", ".join(name for name in dir(module) if not name.startswith("_")),
            next_step="correct the name",
        )
    source = function()
    if not isinstance(source, Source):
        raise ConfigError(
            f"`{call}` returned a {type(source).__name__}.",
            where=where,
            allowed="an object with names() and read(name), as penstock/batch.py describes",
        )
    return source
