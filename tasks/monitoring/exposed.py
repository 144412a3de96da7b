"""The platform's metrics by name: what each says, and by which labels. `Exposition` makes of values what a scrape gets.

Labels have few values, none of which a client can choose. Units are seconds, bytes and ratios.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

Buckets: TypeAlias = tuple[tuple[float, int], ...]


class About(NamedTuple):
    """Of what kind a metric is, its labels' names, and what it says (HELP)."""

    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    text: str


class Sample(NamedTuple):
    """One value of a metric; of a histogram, its buckets: (upper bound, how many in that bucket alone)."""

    name: str
    labels: tuple[str, ...]
    value: float | Buckets


P, V = "project", "version"
METRICS: dict[str, About] = {
    # what serves
    "penstock_release_info": About("gauge", (P, V, "state"), "A release whose servers are to run, and as what"),
    "penstock_release_weight_ratio": About("gauge", (P, V), "Share of production requests that it answers first"),
    "penstock_release_mirrored": About("gauge", (P, V), "1 if it gets a copy of every production request"),
    "penstock_release_processes_running": About("gauge", (P, V), "Its server processes that run"),
    "penstock_release_processes_wanted": About("gauge", (P, V), "Its server processes that are to run"),
    "penstock_release_attempts_total": About(
        "counter", (P, V, "gateway"), "Requests that a gateway sent it, retries and copies included"
    ),
    "penstock_release_failed_attempts_total": About(
        "counter", (P, V, "gateway"), "Those that failed: 5xx, 429, timeouts, resets; what a rollout's verdict counts"
    ),
    "penstock_release_latency_seconds": About(
        "histogram", (P, V, "gateway"), "From the gateway's request to the release's answer"
    ),
    "penstock_champion_healthy": About("gauge", (P,), "1 once the champion was found healthy"),
    "penstock_champion_since_timestamp_seconds": About("gauge", (P,), "When the champion took over"),
    "penstock_rollout_since_timestamp_seconds": About("gauge", (P, V), "When the challenger's rollout began"),
    "penstock_approval_waiting": About("gauge", (P,), "1 while a release waits for a person's word"),
    "penstock_quarantined_releases": About("gauge", (P,), "Releases that may not serve"),
    "penstock_ledger_events_total": About("counter", (P, "kind"), "Events in the ledger"),
    # what is watched
    "penstock_alarm": About("gauge", (P, "cause"), "1 while monitoring has raised this alarm and not cleared it"),
    "penstock_windows_total": About("counter", (P,), "Windows of served traffic that monitoring has closed"),
    "penstock_window_max_seconds": About("gauge", (P,), "After this time a window is over: monitor.window_seconds"),
    "penstock_window_end_timestamp_seconds": About("gauge", (P,), "The last request of the last window"),
    "penstock_window_rows": About("gauge", (P,), "Rows of the last window"),
    "penstock_window_requests": About("gauge", (P,), "Requests of the last window"),
    "penstock_window_refused_ratio": About("gauge", (P,), "Share of the last window's requests that were refused"),
    "penstock_window_beyond_limits": About(
        "gauge", (P, "kind"), "How much was beyond its limit in the last window; a kind that was not judged is absent"
    ),
    "penstock_log_pending_since_timestamp_seconds": About(
        "gauge", (P,), "Since when the oldest closed file of the prediction log waits for monitoring; absent if none"
    ),
    "penstock_drift_distance": About(
        "gauge", (P, "column", "statistic"), "How far the last window's column is from training, where it is judged"
    ),
    "penstock_drift_limit": About("gauge", (P, "column", "statistic"), "How far it may be"),
    "penstock_quality_ratio": About(
        "gauge", (P, "column", "check"), "Share of the last window's values; of nulls, how it differs from training"
    ),
    "penstock_quality_limit_ratio": About("gauge", (P, "column", "check"), "What that share may be"),
    # labels and live quality
    "penstock_label_last_batch_timestamp_seconds": About("gauge", (P,), "When the last labels were recorded"),
    "penstock_label_coverage_ratio": About(
        "gauge",
        (P, V, "state"),
        "Share of labelled predictions in the latest final and provisional period",
    ),
    "penstock_label_coverage_required_ratio": About("gauge", (P,), "What is enough: labels.min_coverage"),
    "penstock_label_period_end_timestamp_seconds": About("gauge", (P, V, "state"), "When that period ended, or will"),
    "penstock_label_overdue_periods": About(
        "gauge", (P,), "Periods after the latest final one that are old enough and have too few labels"
    ),
    "penstock_live_metric": About(
        "gauge", (P, V, "state", "metric"), "Quality of what was served in that period, by the labels there are"
    ),
    "penstock_live_metric_low": About("gauge", (P, V, "state", "metric"), "Lower end of its 95 % interval"),
    "penstock_live_metric_high": About("gauge", (P, V, "state", "metric"), "Upper end of its 95 % interval"),
    "penstock_holdout_metric": About("gauge", (P, V, "metric"), "The same on the release's own test rows"),
    # retraining
    "penstock_retrain_enabled": About("gauge", (P,), "1 if alarms may start a training: retrain.enabled"),
    "penstock_retrain_metric": About(
        "gauge", (P, "metric"), "What a performance drop is a drop of; 1 where more is better, -1 where less is"
    ),
    "penstock_retrain_stopped": About("gauge", (P,), "1 while retraining is stopped until a person resumes it"),
    "penstock_retrain_attempts_without_help": About("gauge", (P,), "Trainings in a row that cleared no alarm"),
    "penstock_retrain_asked_timestamp_seconds": About("gauge", (P,), "When a training was last asked for"),
    # the machine
    "penstock_program_running": About("gauge", ("program",), "1 if the supervised program runs; releases are above"),
    "penstock_project_readable": About("gauge", (P,), "0 if one of the project's files cannot be read"),
    "penstock_home_free_bytes": About("gauge", (), "Free on the disk that holds Penstock's home"),
    "penstock_home_size_bytes": About("gauge", (), "Size of that disk"),
}


def seconds(time: str) -> float:
    """A time of the ledger (ISO 8601) as seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()


def families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """What prometheus_client writes: each metric once, with all its samples."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.name, []).append(sample)
    for name, about in METRICS.items():
        if name in found:
            yield _family(name, about, found[name])


def _family(name: str, about: About, samples: list[Sample]) -> Metric:
    if about.kind == "histogram":
        histogram = HistogramMetricFamily(name, about.text, labels=about.labels)
        for one in samples:
            if isinstance(one.value, tuple):
                histogram.add_metric(one.labels, _cumulative(one.value), sum_value=None)
        return histogram
    kind = CounterMetricFamily if about.kind == "counter" else GaugeMetricFamily
    family = kind(name, about.text, labels=about.labels)
    for one in samples:
        if not isinstance(one.value, tuple):
            family.add_metric(one.labels, one.value)
    return family


def _cumulative(buckets: Buckets) -> list[tuple[str, float]]:
    found, below = [], 0
    for bound, count in buckets:
        below += count
        if bound != float("inf"):
            found.append((f"{bound:g}", float(below)))
    return [*found, ("+Inf", float(below))]
