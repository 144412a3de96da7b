"""How a release that serves is watched: the section `monitor` of a project's YAML.

It does not change what a model is, so it is no part of a model's identity: changing it trains nothing again.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from penstock.section import Fraction, Section

Kind = Literal["schema", "value", "prediction", "quality", "volume"]


class MonitorConfig(Section):
    """What is compared with the training data, window by window, and how far it may be from them."""

    window_seconds: float = Field(default=86_400, gt=0, description="A window ends after this time, ...")
    window_rows: int = Field(default=50_000, ge=50, description="... or after this many rows, whichever is first.")
    min_rows: int = Field(
        default=500,
        ge=50,
        description="A window of fewer rows than this is not judged by its columns, nor its quality estimated.",
    )
    ignore: tuple[str, ...] = Field(
        default=(),
        description="Features that are not compared: calendar columns, which differ in every window, and the like.",
    )
    alarm_windows: int = Field(default=2, ge=1, description="An alarm is raised by this many windows, ...")
    alarm_of: int = Field(
        default=5, ge=1, le=50, description="... of the last so many that could be judged, the latest one among them."
    )
    at_once: tuple[Kind, ...] = Field(
        default=("schema",),
        description="Kinds of alarm that the latest window raises alone. The kinds: `schema` (fields, types, refused "
        "requests), `value` (distributions of features), `prediction`, `quality` (nulls, unknown categories, wild "
        "numbers), `volume`.",
    )
    ks: Fraction = Field(default=0.1, description="Kolmogorov-Smirnov distance of a numeric feature that may be.")
    psi: float = Field(default=0.1, ge=0, description="Population stability index of any feature that may be.")
    max_prediction_shift: Fraction = Field(
        default=0.05,
        description="How far the mean probability may be from the one on the test rows; of numbers, the mean in "
        "standard deviations of the training labels. Classes are judged by `psi`.",
    )
    max_null_change: Fraction = Field(default=0.05, description="How much a feature's share of nulls may change.")
    max_unknown_share: Fraction = Field(
        default=0.01, description="Share of a feature's values that may be categories unknown to training."
    )
    max_wild_share: Fraction = Field(
        default=0.01,
        description="Share of a feature's numbers that may lie outside the training range by more than its width.",
    )
    max_refused_share: Fraction = Field(
        default=0.05, description="Share of requests that may be refused because of their rows."
    )
    volume_low: Fraction = Field(
        default=0.2, description="Rows a second that there have to be, as a share of the median of earlier windows."
    )
    volume_high: float = Field(
        default=5, gt=1, description="Rows a second that there may be, in medians of earlier windows."
    )
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.01,
        description="The chance, for each kind of alarm and over all its columns, that a window in which nothing has "
        "changed is found changed.",
    )

    @model_validator(mode="after")
    def _check(self) -> MonitorConfig:
        if self.alarm_windows > self.alarm_of:
            raise ValueError("`alarm_windows` is above `alarm_of`")
        if self.min_rows > self.window_rows:
            raise ValueError("`min_rows` is above `window_rows`: no window could be judged")
        return self
