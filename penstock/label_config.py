"""How labels come back to the predictions they belong to: the section `labels` of a project's YAML.

It changes no model, so it is no part of a model's identity. Where the labels are is no part of it either: that is said
when they are recorded.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from penstock.release_config import LogConfig
from penstock.section import Fraction, Section

REQUEST_KEY = ("request_id", "row")


class LabelsConfig(Section):
    """How labels find their predictions, and when enough of them are there to judge by."""

    by: Literal["request_id", "keys"] = Field(
        default="request_id",
        description="What a label names: the request (`request_id`, and `row` where a request has several), or "
        "`key_columns`.",
    )
    key_columns: tuple[str, ...] = Field(  # not `keys`: what has that is a mapping to `dict()`, and so to Prefect
        default=(), description="Fields of the rows that together name what a prediction is about, such as an order."
    )
    column: str | None = Field(
        default=None, description="The labels' column where they are read from; left out, `features.label`."
    )
    repeated: Literal["last", "first", "all"] = Field(
        default="last",
        description="Which predictions of a model about the same `key_columns` are judged. `all` counts one outcome "
        "many times, and intervals come out too narrow.",
    )
    time: str | None = Field(
        default=None, description="The field whose time says to which period a prediction belongs; left out, its own."
    )
    period: Literal["day", "week", "month"] = Field(default="week", description="ISO weeks; all in UTC.")
    mature_hours: float = Field(
        default=168, ge=0, description="A period's quality is final so long after its end at the earliest ..."
    )
    min_coverage: Fraction = Field(
        default=0.9, description="... and when this share of its predictions is labelled; until then it is provisional."
    )
    corrections: Literal["accept", "refuse"] = Field(
        default="accept",
        description="A label that differs from the one there is: the later arrival counts, or the file is refused.",
    )

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that name a prediction."""
        return self.key_columns if self.by == "keys" else REQUEST_KEY

    @model_validator(mode="after")
    def _check(self) -> LabelsConfig:
        if (self.by == "keys") != bool(self.key_columns):
            raise ValueError("`by: keys` needs `key_columns`, and `key_columns` need `by: keys`")
        doubled = sorted({name for name in self.key_columns if self.key_columns.count(name) > 1})
        if doubled:
            raise ValueError(f"named more than once: {', '.join(doubled)}")
        return self

    def require_kept(self, label: str, log: LogConfig) -> None:
        """Raise ValueError if predictions would be without what labels are to find them by."""
        if label in (*self.key, self.time):
            raise ValueError(f"`labels` finds predictions by `{label}`, which is the label itself")
        for name in filter(None, (*self.key_columns, self.time)):
            if name in (*log.drop, *log.hash):
                raise ValueError(f"`labels` needs `{name}`, which `serve.log` does not keep as it is")
