"""What a project does in continuous integration: the section `ci` of a project's YAML.

It does not change what a model is, so it is no part of a model's identity: changing it trains nothing again.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.section import Section


class CiConfig(Section):
    """A project that has this section takes part in continuous integration, see [ci.md](ci.md)."""

    sample: float = Field(
        gt=0,
        le=1,
        description="The share of the training and validation rows that a pull request's candidate is trained on. "
        "It is judged on every test row, and never becomes a release.",
    )
    seed: int = Field(default=7, ge=0, description="Which rows those are.")
    on_drift: Literal["warn", "fail"] = Field(
        default="warn", description="Training data that have drifted from the champion's: say so, or fail the stage."
    )
    tag: bool = Field(
        default=False, description="A release that CI brought into production leaves a git tag: `flights-v12`."
    )
