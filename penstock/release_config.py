"""How a project's releases serve and how a new one takes over: the sections `serve` and `rollout` of its YAML.

Neither changes what a model is, so neither is part of a model's identity: changing them trains nothing again.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from penstock.section import Fraction, Section

Percent = Annotated[int, Field(ge=1, le=99)]


class LogConfig(Section):
    """The prediction log: what each server keeps of requests and answers."""

    enabled: bool = True
    drop: tuple[str, ...] = Field(default=(), description="Fields of the rows that are not kept.")
    hash: tuple[str, ...] = Field(
        default=(), description="Fields kept as a keyed hash; the key is the environment variable PENSTOCK_LOG_KEY."
    )
    segment_seconds: float = Field(default=60, gt=0, description="A segment is closed after this time at the latest.")
    segment_mb: float = Field(default=64, gt=0, description="A segment is closed at this size at the latest.")
    keep_days: float = Field(default=30, gt=0, description="Closed segments older than this are removed.")
    keep_mb: float = Field(
        default=2000, gt=0, description="Closed segments of a project beyond this size are removed, oldest first."
    )


class ServeConfig(Section):
    """How every release of the project answers."""

    sticky_header: str = Field(
        default="x-user-id",
        pattern=r"^[a-z0-9-]+$",
        description="Requests with the same value of this header go to the same release during a canary.",
    )
    timeout_seconds: float = Field(
        default=5, gt=0, le=300, description="The longest a request may take, tries and all."
    )
    try_timeout_seconds: float = Field(
        default=1,
        gt=0,
        le=300,
        description="The longest one release may take; then the champion is asked in its place.",
    )
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _check(self) -> ServeConfig:
        if self.try_timeout_seconds > self.timeout_seconds:
            raise ValueError("`try_timeout_seconds` is above `timeout_seconds`")
        return self


class RolloutConfig(Section):
    """How a new release takes over from the champion, and what makes it stop."""

    traffic: Literal["live", "replay"] = Field(
        default="live",
        description="Whose requests judge: the clients', or (on a laptop, in staging) recorded and held-out rows that "
        "the deploy flow itself sends through the gateway, marked so that monitoring leaves them out.",
    )
    replay_rate: float = Field(
        default=100, gt=0, le=2000, description="Requests a second that `traffic: replay` sends."
    )
    replay_requests: int = Field(
        default=500,
        ge=1,
        le=100_000,
        description="Recorded production requests, or test rows where there are none, that the new release answers "
        "before any traffic reaches it.",
    )
    approval: Literal["auto", "manual"] = Field(
        default="auto", description="`manual`: after staging, the release waits for `penstock approve`."
    )
    shadow_seconds: float = Field(default=5, ge=0, description="How long the release gets copies of requests; 0: not.")
    steps: tuple[Percent, ...] = Field(default=(5, 25, 50), description="The canary's share of requests, step by step.")
    step_seconds: float = Field(default=60, gt=0, description="How long each step bakes at least.")
    bake_seconds: float = Field(
        default=300, gt=0, description="How long the release has to serve everything before it counts as healthy."
    )
    min_requests: int = Field(
        default=100, ge=10, description="Requests that each release must have answered in a step before it can pass."
    )
    max_wait_seconds: float = Field(
        default=3600, gt=0, description="How long a step waits for evidence that is missing; then `on_hold` decides."
    )
    on_hold: Literal["stay", "promote"] = Field(
        default="stay",
        description="When the evidence does not come: stay with the champion and tell a person, or go on without it.",
    )
    max_error_rate: Fraction = Field(default=0.02, description="Share of requests that may fail.")
    latency_factor: float = Field(
        default=2, ge=1, description="A request is slow when it takes longer than the champion's p95 times this ..."
    )
    latency_slack_ms: float = Field(default=20, ge=0, description="... and this many milliseconds more.")
    max_slow_share: Fraction = Field(default=0.1, description="Share of requests that may be slow.")
    max_prediction_shift: Fraction = Field(
        default=0.05,
        description="How far the mean probability (of several classes, of each) may be from the champion's on the same "
        "requests. Of numbers, how far the mean, in standard deviations of the training labels.",
    )
    max_flips: Fraction = Field(
        default=0.2,
        description="Share of rows that may be decided otherwise than the champion does; numbers: that are more than "
        "half a standard deviation of the training labels away.",
    )
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.05, description="The chance, over the whole rollout, of failing a release that is within its limits."
    )

    @model_validator(mode="after")
    def _check(self) -> RolloutConfig:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError("`steps` must rise")
        return self
