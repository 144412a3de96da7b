"""What every part of a project's YAML is: frozen, strict, validated once."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the tree. Unknown keys are errors, and nothing changes after validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
