"""Loads a project's data source: the function that `data.source` names."""

from __future__ import annotations

import importlib
import sys

from penstock.batch import Source
from penstock.config import Project
from penstock.errors import ConfigError
from tasks.settings import settings


def load_source(project: Project) -> Source:
    """Call `module:function` of the checkout. Raises ConfigError if there is no such thing, or it is no source."""
    module_name, _, function_name = project.data.source.partition(":")
    where = f"configs/{project.name}.yaml, key data.source"
    root = str(settings().root)
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The data source's module cannot be imported: there is no `{error.name}`.",
            where=where,
            found=project.data.source,
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
            f"`{project.data.source}` returned a {type(source).__name__}.",
            where=where,
            allowed="an object with names() and read(name), as penstock/batch.py describes",
        )
    return source
