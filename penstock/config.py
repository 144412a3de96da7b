"""A project's YAML as one frozen tree, validated once. `parse()` turns text into a `Project`, or says what is wrong.

Machine facts (addresses, stores, credentials) are not here: they are settings, in `tasks/machine/settings.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from penstock.alert_config import AlertsConfig
from penstock.behaviour_config import BehaviourTest, TestName
from penstock.ci_config import CiConfig
from penstock.derive_config import Derived, FeatureName, Kind
from penstock.errors import ConfigError
from penstock.fairness_config import FairnessRule
from penstock.label_config import LabelsConfig
from penstock.monitor_config import MonitorConfig
from penstock.python_config import PythonFeatures
from penstock.release_config import RolloutConfig, ServeConfig
from penstock.retrain_config import RetrainConfig
from penstock.section import Fraction, Section
from penstock.source_config import SourceConfig
from penstock.task_type import QUANTILE, LiveMetric, MetricName, TaskName
from penstock.train_config import TrainConfig
from penstock.tune_config import TuneConfig
from penstock.yaml_errors import doubled_key, explained, load, unreadable

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")]


class DataConfig(Section):
    """Where rows come from, and what happens to those the schema refuses."""

    source: SourceConfig = Field(
        description="Where batches come from: `module:function` of the checkout, or `files` or `sql`, see below."
    )
    path: str = Field(
        description="The dataset's folder in the checkout, tracked by DVC.", pattern=r"^data/[A-Za-z0-9][\w.-]*$"
    )
    until: str | None = Field(
        default=None, description="The last batch `penstock run` ingests, by name; left out, all there are."
    )
    on_invalid: Literal["quarantine", "fail"] = Field(
        default="quarantine", description="Set bad rows aside with their reasons, or refuse the whole batch."
    )
    max_invalid_fraction: Fraction = Field(
        default=0.01, description="More bad rows than this share of a batch refuse the batch, whatever `on_invalid` is."
    )
    outliers: dict[str, Literal["warn", "error"]] = Field(
        default_factory=dict,
        description="Numeric columns watched for values outside the robust bounds (median +- 10 IQR of the batch).",
    )

    @field_validator("until", mode="before")
    @classmethod
    def _name_as_text(cls, value: Any) -> Any:
        return str(value) if value is not None and not isinstance(value, str) else value


class FeaturesConfig(Section):
    """What the model sees. The label and the time column are never features."""

    label: str = Field(
        description="The column to predict, never null: Boolean, text or whole numbers, or numbers, see `train.task`."
    )
    time: str | None = Field(default=None, description="The column that orders rows in time; needed to split by time.")
    group: str | None = Field(default=None, description="The column whose values must not be shared between splits.")
    categorical: tuple[str, ...] = Field(
        default=(), description="Text columns; categories are learnt from training rows."
    )
    numeric: tuple[str, ...] = Field(default=(), description="Number and boolean columns; a null is a missing value.")
    derive: dict[FeatureName, Derived] = Field(
        default_factory=dict,
        description="Features that are computed from columns, by name; see [features.md](features.md).",
    )
    python: PythonFeatures | None = Field(
        default=None, description="A function of the checkout for what `derive` cannot say."
    )
    known_after: tuple[str, ...] = Field(
        default=(), description="Columns known only after the outcome: kept in the data, refused as features."
    )

    @field_validator("derive")
    @classmethod
    def _in_order(cls, derive: dict[str, Derived]) -> dict[str, Derived]:
        """By name: a mapping that was written and read again may have lost its order, and the model has one."""
        return dict(sorted(derive.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """The model's features, in the model's order."""
        return (*self.categorical, *self.numeric, *self.derive, *(self.python.features if self.python else ()))

    @property
    def texts(self) -> tuple[str, ...]:
        """The features that are categories."""
        return (*self.categorical, *(name for name, one in self.derive.items() if one.text))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a row needs, each once: features that are columns, then those that others come from."""
        more = (name for one in self.derive.values() for name in one.columns)
        of_function = self.python.columns if self.python else ()
        return tuple(dict.fromkeys((*self.categorical, *self.numeric, *more, *of_function)))

    @property
    def carried(self) -> dict[str, Any]:
        """How features are made that are no columns, as JSON: what a model keeps of it. Empty if there are none."""
        return self.model_dump(mode="json", include={"derive", "python"}, exclude_defaults=True)

    @property
    def watched(self) -> tuple[str, ...]:
        """Those of ``inputs`` whose distribution means something: no window has the times that training rows have."""
        times = self.inputs_of("time")
        return tuple(name for name in self.inputs if name not in times)

    def inputs_of(self, kind: Kind) -> tuple[str, ...]:
        """Those of ``inputs`` that are numbers (or truth values), texts or times."""
        direct: dict[Kind, tuple[str, ...]] = {"text": self.categorical, "number": self.numeric, "time": ()}
        more = (name for one in self.derive.values() if one.needs == kind for name in one.columns)
        of_function = (name for name, its in (self.python.columns if self.python else {}).items() if its == kind)
        return tuple(dict.fromkeys((*direct[kind], *more, *of_function)))

    @model_validator(mode="after")
    def _check(self) -> FeaturesConfig:
        if not self.names:
            raise ValueError("there are no features: name columns under `categorical` or `numeric`")
        self._check_derived()
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise ValueError(f"named more than once: {', '.join(doubled)}")
        leaks = sorted(set(self.names) & {self.label, *self.known_after})
        if leaks:
            raise ValueError(f"the label and columns of `known_after` cannot be features: {', '.join(leaks)}")
        return self

    def _check_derived(self) -> None:
        """Raise ValueError for one derived of another, or of what is known too late, or called as a column is."""
        if self.python:
            wrong = {self.label, *self.known_after, *self.derive, *self.python.features} & set(self.python.columns)
            if wrong:
                raise ValueError(f"`python.columns` has `{min(wrong)}`: the label, known too late, or no column")
        direct = {*self.categorical, *self.numeric, self.label, self.time, self.group, *self.known_after}
        for name, one in self.derive.items():
            if name in direct or name in one.columns:
                raise ValueError(f"`derive.{name}` is called as a column is: call the feature something else")
            for column in one.columns:
                if column in self.derive:
                    raise ValueError(f"`derive.{name}` needs `{column}`, which is derived itself: name columns only")
                if column in (self.label, *self.known_after):
                    raise ValueError(f"`derive.{name}` needs `{column}`, the label or one of `known_after`")


class SplitConfig(Section):
    """Which rows train, which choose (early stopping, threshold) and which judge."""

    by: Literal["time", "random", "stratified", "group"] | None = Field(
        default=None,
        description="Left out: by time where `features.time` is given, otherwise stratified (regression: random).",
    )
    validation: Annotated[float, Field(gt=0, lt=0.5)] = Field(default=0.15, description="Share of the rows.")
    test: Annotated[float, Field(gt=0, lt=0.5)] = Field(default=0.15, description="Share of the rows.")
    gap_hours: float = Field(
        default=0, ge=0, description="By time: rows this close before a later split begins are left out."
    )
    seed: int = 7

    def of(self, features: FeaturesConfig, task: TaskName) -> str:
        """How rows are split."""
        return self.by or ("time" if features.time else "random" if task == "regression" else "stratified")


class EvaluateConfig(Section):
    """How the candidate is scored on the test split."""

    threshold_metric: Literal["f1", "accuracy", "youden"] = Field(
        default="f1", description="Binary: the threshold is the one that is best by this on the validation split."
    )
    slices: tuple[str, ...] = Field(default=(), description="Columns whose every value is scored by itself.")
    min_slice_rows: int = Field(default=200, ge=1, description="Smaller slices are shown but not gated.")
    calibration_bins: int = Field(default=15, ge=2, le=100, description="Binary: bins of the calibration error.")

    @property
    def judging(self) -> EvaluateConfig:
        """As far as it changes what a metric of all rows is."""
        return EvaluateConfig(threshold_metric=self.threshold_metric, calibration_bins=self.calibration_bins)


class Bound(Section):
    """What a metric must be, and what it must be beside the champion's. Bounds are inclusive."""

    min: float | None = None
    max: float | None = None
    max_loss: float | None = Field(
        default=None,
        ge=0,
        description="How much worse than the champion, on the same rows, it may be. It has to be shown that it is not: "
        "see [gates.md](gates.md).",
    )
    max_relative_loss: float | None = Field(
        default=None, ge=0, description="The same as a share of the champion's absolute value."
    )
    min_gain: float | None = Field(
        default=None,
        ge=0,
        description="How much better it must be than every baseline: answers that need no model (majority, mean, last "
        "value).",
    )

    @model_validator(mode="after")
    def _some(self) -> Bound:
        if self.min is self.max is self.max_loss is self.max_relative_loss is self.min_gain is None:
            raise ValueError(
                "a bound that bounds nothing: give `min`, `max`, `max_loss`, `max_relative_loss` or `min_gain`"
            )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` {self.min} is above `max` {self.max}")
        return self

    @property
    def compares(self) -> bool:
        """Whether it asks how much worse than the champion a candidate is."""
        return self.max_loss is not None or self.max_relative_loss is not None


class GateConfig(Section):
    """What a candidate must be to become a release. Nothing configured means nothing passes."""

    metrics: dict[MetricName, Bound] = Field(default_factory=dict)
    slices: dict[MetricName, Bound] = Field(
        default_factory=dict,
        description="Bounds that every slice of at least `evaluate.min_slice_rows` rows must meet.",
    )
    fairness: tuple[FairnessRule, ...] = Field(
        default=(), description="How far apart groups of rows may be, see [fairness.md](fairness.md)."
    )
    max_single_feature: Fraction = Field(
        default=0.99,
        description="What one feature alone may tell of the label, on test rows: AUC (binary), balanced accuracy "
        "(multiclass), R2 (regression). More looks like a leak; 1 lets anything pass.",
    )
    serving_skew: Literal["fail", "ignore"] = Field(
        default="fail",
        description="When the newest window that the champion answered has fields or types that the training rows do "
        "not. Before anything is served there is nothing to compare.",
    )
    min_rows: int = Field(default=1000, ge=1, description="Fewer test rows than this decide nothing.")
    min_positives: int = Field(
        default=50, ge=1, description="Fewer test rows of the rarest class decide nothing. Not for regression."
    )
    max_model_mb: float = Field(default=100, gt=0)
    max_latency_ms: float = Field(default=50, gt=0, description="Median time of one row through the booster.")
    first_model: Literal["value_only", "require_approval", "fail"] = Field(
        default="value_only", description="With no champion to compare to: judge the bounds alone, or do not pass."
    )
    incomparable: Literal["fail", "value_only"] = Field(
        default="fail",
        description="When the champion cannot be scored on these rows, such as after a feature has gone.",
    )
    ties: Literal["keep_current", "accept"] = Field(
        default="keep_current", description="When no gated metric differs from the champion's."
    )
    on_missing_metric: Literal["fail", "ignore"] = Field(
        default="fail",
        description="When rows leave a gated metric undefined, such as the AUC of a slice with one class. If nothing "
        "under `metrics` is left to judge by, nothing passes.",
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="How sure it must be that a loss is within `max_loss`."
    )
    resamples: int = Field(
        default=1000,
        ge=100,
        le=100_000,
        description="Samples of the test rows from which is told how sure a loss is (paired bootstrap).",
    )


class PackageConfig(Section):
    """What the release says of itself, and what its server accepts."""

    purpose: str = Field(min_length=1, description="One sentence: what the model is for.")
    intended_use: str = Field(default="", description="Who may use it for which decision, and for which not.")
    owner: str = ""
    unknown_category: Literal["missing", "reject"] = Field(
        default="missing", description="A category that training never saw: a missing value that is counted, or a 4xx."
    )
    max_rows: int = Field(default=10_000, ge=1, description="Rows in one request.")
    max_body_mb: float = Field(default=8, gt=0)
    check_rows: int = Field(
        default=200, ge=10, le=10_000, description="Test rows the packaged model must answer exactly."
    )


class Project(Section):
    """The whole truth about one project."""

    name: Identifier
    data: DataConfig
    schema_file: str = Field(
        alias="schema", description="The pandera schema, beside this file.", pattern=r"^[\w./-]+\.ya?ml$"
    )
    features: FeaturesConfig
    split: SplitConfig = SplitConfig()
    train: TrainConfig = TrainConfig()
    tune: TuneConfig | None = None
    evaluate: EvaluateConfig = EvaluateConfig()
    behaviour: dict[TestName, BehaviourTest] = Field(
        default_factory=dict, description="Tests of what the model answers, by name; the gate has a check for each."
    )
    gate: GateConfig
    package: PackageConfig
    serve: ServeConfig = ServeConfig()
    rollout: RolloutConfig = RolloutConfig()
    monitor: MonitorConfig = MonitorConfig()
    labels: LabelsConfig = LabelsConfig()
    retrain: RetrainConfig = RetrainConfig()
    alerts: AlertsConfig = Field(
        default_factory=dict,
        description="Who is told of what: a channel's name, and any of `all`, `gate`, `rollout`, `approval`, `drift`, "
        "`schema`, `performance`, `retraining`, `crash`. Addresses are not here: see [alerts.md](alerts.md).",
    )
    ci: CiConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> Project:
        by = self.split.by
        if by == "time" and not self.features.time:
            raise ValueError("`split.by: time` needs `features.time`")
        if by == "group" and not self.features.group:
            raise ValueError("`split.by: group` needs `features.group`")
        if self.split.gap_hours and not self.features.time:
            raise ValueError("`split.gap_hours` needs `features.time`")
        self.labels.require_kept(self.features.label, self.serve.log)
        self._require_task()
        return self

    def _require_task(self) -> None:
        """Raise ValueError for what does not belong to `train.task`."""
        kind = self.train.target.type
        for key, bounds in (("gate.metrics", self.gate.metrics), ("gate.slices", self.gate.slices)):
            kind.require_metrics(tuple(bounds), key)
            if "pinball" in bounds and self.train.target.quantile is None:
                raise ValueError(f"`{key}`: `pinball` needs `train.objective: {QUANTILE}`")
            if any(bound.min_gain is not None for bound in bounds.values()) and key == "gate.slices":
                raise ValueError("`gate.slices`: `min_gain` is for `gate.metrics` only")
        for rule in self.gate.fairness:
            rule.require((*self.features.inputs, *self.evaluate.slices), kind.name)
        for name, test in self.behaviour.items():
            words = self.features.inputs_of("text") + self.features.inputs_of("time")
            test.require(f"behaviour.{name}", words, self.features.inputs_of("number"), kind.name)
        if self.retrain.metric:
            kind.require_metrics((self.retrain.metric,), "retrain.metric", kind.live)
        if self.tune:
            self.tune.require_fit(self.train)
        if kind.name != "binary" and self.evaluate.threshold_metric != EvaluateConfig().threshold_metric:
            raise ValueError("`evaluate.threshold_metric` is for binary: nothing else has a threshold")
        if not kind.has_classes and self.split.by == "stratified":
            raise ValueError("`split.by: stratified` needs classes, and a regression has none")

    @property
    def split_by(self) -> str:
        return self.split.of(self.features, self.train.task)

    @property
    def live_metric(self) -> LiveMetric:
        """What a performance drop is a drop of."""
        return self.retrain.metric or self.train.target.type.live[0]


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors check `configs/*.yaml` against."""
    schema = Project.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Penstock project"}


def parse(text: str, where: str) -> Project:
    """The project that ``text`` describes. ``where`` is the file's name, for messages.

    Raises ConfigError naming the file, line, key, what was found and what is allowed.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = load(text)
    except yaml.YAMLError as error:
        raise unreadable(error, "The project's YAML", where) from None
    if not isinstance(tree, dict):
        raise ConfigError(
            "The project's YAML is not a mapping.",
            where=where,
            found="nothing" if tree is None else type(tree).__name__,
            allowed=", ".join(field.alias or name for name, field in Project.model_fields.items()),
        )
    twice = doubled_key(node)
    if twice:
        raise ConfigError("A key stands twice.", where=f"{where}:{twice[1]}", found=twice[0], allowed="each key once")
    try:
        return Project.model_validate(tree)
    except ValidationError as error:
        raise explained(error, Project, node, where) from None
