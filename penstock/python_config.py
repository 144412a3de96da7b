"""Features that a function of the checkout makes: `features.python` of a project's YAML."""

from __future__ import annotations

import ast
import sys
from typing import Any

from pydantic import Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from penstock.derive_config import FeatureName, Kind
from penstock.section import Section
from penstock.source_config import CALL

LIBRARIES = frozenset(sys.stdlib_module_names) | {"numpy"}  # what training and every model server have


class PythonFeatures(Section):
    """A function that makes numbers of columns, row by row; see [features.md](features.md)."""

    call: str = Field(description="`module:function` of the checkout: one file, with NumPy at most.", pattern=CALL)
    columns: dict[str, Kind] = Field(
        min_length=1, description="The columns that it is given, and as what: `number`, `text` or `time`."
    )
    features: tuple[FeatureName, ...] = Field(min_length=1, description="The features that it returns, all numbers.")
    source: SkipJsonSchema[str] = ""  # of the file, put in when the project is loaded: part of what the model is

    @field_validator("columns")
    @classmethod
    def _in_order(cls, columns: dict[str, Kind]) -> dict[str, Kind]:
        return dict(sorted(columns.items()))

    @property
    def file(self) -> str:
        """Of the module, from the checkout."""
        return self.call.partition(":")[0].replace(".", "/") + ".py"

    def cache_token(self) -> Any:
        return [self.call, self.columns, self.features, self.source]

    def problem(self) -> str:
        """Why ``source`` cannot be the function's; "" if nothing is against it. It is not run."""
        try:
            tree = ast.parse(self.source)
        except (SyntaxError, ValueError) as error:
            return f"no Python: {error}"
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "" if not node.level else "."]
            foreign = [name for name in names if name.partition(".")[0] not in LIBRARIES]
            if foreign:
                return f"line {node.lineno} imports {foreign[0]}"  # type: ignore[attr-defined]
        name = self.call.partition(":")[2]
        if not any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body):
            return f"it has no function `{name}`"
        return ""
