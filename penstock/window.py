"""What a window of served rows looks like beside the training data. `judge()` is a pure function of summaries.

A window is judged in five kinds, because what follows from them differs: `schema` (fields missing or new, types,
refused requests: somebody's client is wrong), `value` (features are distributed otherwise), `prediction` (the model's
answers are), `quality` (nulls, unknown categories, wild numbers: a feed is broken), `volume` (rows a second).
Retraining is an answer to `value` and `prediction`; on broken data it would only learn what is broken.

Fewer rows than `monitor.min_rows` give no verdict on columns: no alarm, and not "no drift" either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field, FiniteFloat

from penstock.drift import ColumnDrift, compare, compare_predictions, tests
from penstock.estimate import Estimate
from penstock.monitor_config import Kind, MonitorConfig
from penstock.quality import Check, quality_checks, refused_check, schema_checks, volume_check
from penstock.refs import Value
from penstock.sketch import ColumnSummary

KINDS: tuple[Kind, ...] = ("schema", "value", "prediction", "quality", "volume")
PREDICTION_TESTS = 3


class Reference(Value):
    """What windows are compared with. ``columns``: the training rows' features that are logged; ``predictions``: the
    probabilities, classes or numbers that were predicted for the test rows, whose mean is compared in units of
    ``unit``; ``allowed``: fields that rows may have besides."""

    name: str  # the release
    columns: tuple[ColumnSummary, ...]
    predictions: ColumnSummary | None = None
    allowed: tuple[str, ...] = ()
    unit: FiniteFloat = 1.0


class Window(Value):
    """Served rows from ``start`` to ``end`` (seconds since 1970).

    ``requests``: those they came in and the ``refused`` ones, which have no rows here. ``batch``: scored files.
    """

    start: float
    end: float
    rows: int = Field(ge=0)
    columns: tuple[ColumnSummary, ...]
    predictions: ColumnSummary | None = None
    requests: int = Field(default=0, ge=0)
    refused: int = Field(default=0, ge=0)
    batch: bool = False


class Earlier(Value):
    """The window beside the one before it of the same release: shown, never an alarm. A difference may be the hour.

    ``start`` and ``end`` are the earlier window's; ``m`` of each column counts its values.
    """

    start: FiniteFloat
    end: FiniteFloat
    rows: int
    columns: tuple[ColumnDrift, ...]
    predictions: ColumnDrift | None

    @property
    def moved(self) -> tuple[str, ...]:
        """The columns, or "predictions", that differ by more than the limits allow."""
        both = (*self.columns, *((self.predictions,) if self.predictions else ()))
        return tuple(column.name for column in both if column.alarm)

    def __str__(self) -> str:
        return f"{', '.join(self.moved)} moved" if self.moved else "nothing moved"


class WindowDrift(Value):
    """The verdict on one window: every column, every check. ``reason``: why columns were not judged, or nothing.

    ``earlier``: beside the window before, None where there is none that can be compared. ``estimate``: by metric, the
    quality that its release's scores imply (`penstock.estimate`); empty where that is not known.
    """

    reference: str
    start: FiniteFloat
    end: FiniteFloat
    rows: int
    requests: int
    refused: int
    columns: tuple[ColumnDrift, ...]
    predictions: ColumnDrift | None
    checks: tuple[Check, ...]
    reason: str = ""
    batch: bool = False
    earlier: Earlier | None = None
    estimate: dict[str, Estimate] = Field(default_factory=dict)

    @property
    def judged(self) -> tuple[Kind, ...]:
        """The kinds that there was enough to judge."""
        found = {check.kind for check in self.checks}
        if any(column.judged for column in self.columns):
            found.add("value")
        if self.predictions is not None and self.predictions.judged:
            found.add("prediction")
        return tuple(kind for kind in KINDS if kind in found)

    @property
    def reasons(self) -> dict[Kind, tuple[str, ...]]:
        """By kind, what is beyond its limit, in words; kinds without an alarm are left out."""
        found: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
        for check in self.checks:
            if check.alarm:
                found[check.kind].append(check.reason)
        found["value"] += [f"{column.name}: {column.reason}" for column in self.columns if column.alarm]
        if self.predictions is not None and self.predictions.alarm:
            found["prediction"].append(f"predictions: {self.predictions.reason}")
        return {kind: tuple(reasons) for kind, reasons in found.items() if reasons}

    def __str__(self) -> str:
        if self.reasons:
            return "; ".join(f"{kind}: {len(reasons)} beyond" for kind, reasons in self.reasons.items())
        return self.reason or f"{len(self.columns)} columns within their limits"


def judge(
    config: MonitorConfig,
    reference: Reference,
    window: Window,
    earlier: Sequence[WindowDrift] = (),
    before: Window | None = None,
    estimate: Mapping[str, Estimate] | None = None,
) -> WindowDrift:
    """The window beside ``reference``; its volume beside that of ``earlier`` windows, oldest first.

    ``before``: the window before it of the same release. ``estimate``: kept with the verdict.

    Nothing is raised: what cannot be judged says so. Each kind raises a false alarm with chance `alpha` at most.
    """
    compared = [column for column in reference.columns if column.name not in config.ignore]
    found = {column.name: column for column in window.columns}
    few = window.rows < config.min_rows
    reason = f"too few rows: {window.rows:,} of {config.min_rows:,}" if few else ""
    pairs = [(column, found[column.name]) for column in compared if column.name in found]
    each = config.alpha / max(1, sum(map(tests, compared)))
    rates = [(one.rows, one.end - one.start) for one in earlier if not one.batch]
    checks = [refused_check(window.requests, window.refused, config)]
    if not window.batch:  # how fast a file was scored says nothing
        checks.append(volume_check(window.rows, window.end - window.start, rates, config))
    if not few:
        names = {*config.ignore, *reference.allowed, *(column.name for column in reference.columns)}
        checks += schema_checks(compared, window.columns, names)
        checks += quality_checks(pairs, config)
    return WindowDrift(
        reference=reference.name,
        start=window.start,
        end=window.end,
        rows=window.rows,
        requests=window.requests,
        refused=window.refused,
        columns=tuple(_unjudged(*pair, reason) if few else compare(*pair, config, each) for pair in pairs),
        predictions=_predictions(config, reference, window, reason),
        checks=tuple(check for check in checks if check is not None),
        reason=reason,
        earlier=None if few or before is None else _beside(config, reference, before, window),
        estimate=dict(estimate or {}),
        batch=window.batch,
    )


def _beside(config: MonitorConfig, reference: Reference, before: Window, window: Window) -> Earlier | None:
    """None where the window before has too few rows."""
    if before.rows < config.min_rows:
        return None
    known = {column.name for column in reference.columns} - set(config.ignore)
    then = {column.name: column for column in before.columns if column.name in known}
    pairs = [(then[column.name], column) for column in window.columns if column.name in then]
    each = config.alpha / max(1, sum(tests(column) for column, _ in pairs))
    predictions = None
    if before.predictions is not None and window.predictions is not None:
        predictions = compare_predictions(
            before.predictions, window.predictions, config, config.alpha / PREDICTION_TESTS
        )
    return Earlier(
        start=before.start,
        end=before.end,
        rows=before.rows,
        columns=tuple(compare(*pair, config, each) for pair in pairs),
        predictions=predictions,
    )


def _predictions(config: MonitorConfig, reference: Reference, window: Window, reason: str) -> ColumnDrift | None:
    if reference.predictions is None or window.predictions is None:
        return None
    if reason:
        return _unjudged(reference.predictions, window.predictions, reason)
    return compare_predictions(
        reference.predictions, window.predictions, config, config.alpha / PREDICTION_TESTS, reference.unit
    )


def _unjudged(reference: ColumnSummary, window: ColumnSummary, reason: str) -> ColumnDrift:
    return ColumnDrift(
        name=reference.name, type=reference.type or "nothing", n=window.values, m=reference.values, reason=reason
    )
