"""What is seen of releases while they serve: Envoy's counters as windows of traffic, and answers to compare."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from penstock.agreement import Agreement, compare, compare_classes, compare_numbers
from penstock.candidate import Candidate
from penstock.envoy_bootstrap import BUCKETS
from penstock.prediction_log import Record, records
from penstock.task_type import TaskName
from penstock.traffic import Traffic, delta
from tasks.data.label_facts import spread
from tasks.registry.releases import Packaged
from tasks.serving import envoy
from tasks.serving.release_server import log_folder
from tasks.store import store

# a failed try counts where it failed, also when the champion then answered in its place
FAILED = (
    "upstream_rq_xx{5}",
    "retry_upstream_rq_xx{5}",
    "upstream_rq{429}",
    "retry_upstream_rq{429}",
    "upstream_rq_per_try_timeout",
    "upstream_rq_rx_reset",
    "upstream_rq_pending_failure_eject",
    "upstream_cx_destroy_remote_with_active_rq",  # it died, or hung up, while it had a request to answer
)
SAMPLE = re.compile(r"^envoy_cluster_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Watch:
    """Counts what some releases do from now on, over all gateways, through the restarts of any of them."""

    def __init__(self, *versions: str) -> None:
        self.windows = {version: Traffic() for version in versions}
        self._last = {number: self._reading(number) or {} for number in range(envoy.COUNT)}

    def look(self) -> dict[str, Traffic]:
        """Each version's traffic since the watch began."""
        for number in range(envoy.COUNT):
            now = self._reading(number)
            if now is None:
                continue
            last = self._last[number]
            for version in self.windows:
                seen = delta(last.get(version, Traffic()), now.get(version, Traffic()))
                self.windows[version] = self.windows[version] + seen
            self._last[number] = now
        return dict(self.windows)

    def _reading(self, number: int) -> dict[str, Traffic] | None:
        """Counters of one gateway; None when it does not answer, which says nothing."""
        try:
            return counters(number, list(self.windows))
        except envoy.SILENT:
            return None


def counters(number: int, versions: Sequence[str]) -> dict[str, Traffic]:
    """What one gateway has counted of each version since it started. Raises one of `envoy.SILENT`."""
    names = "|".join(map(re.escape, versions))
    pattern = rf"^cluster\.({names})\.((retry\.)?upstream_rq(_|$)|upstream_cx_destroy_remote_with_active_rq)"
    text = envoy.ask(number, f"/stats/prometheus?filter={quote(pattern)}")
    counts: dict[str, dict[str, float]] = {version: {} for version in versions}
    buckets: dict[str, dict[float, float]] = {version: {} for version in versions}
    for name, written, value in SAMPLE.findall(text):
        labels = dict(LABEL.findall(written))
        version = labels.get("envoy_cluster_name", "")
        if version not in counts:
            continue
        if name == "upstream_rq_time_bucket":
            buckets[version][float(labels["le"])] = float(value)
        else:
            code = labels.get("envoy_response_code_class") or labels.get("envoy_response_code")
            counts[version][f"{name}{{{code}}}" if code else name] = float(value)
    return {version: _traffic(counts[version], buckets[version]) for version in versions}


def _traffic(counts: dict[str, float], cumulative: dict[float, float]) -> Traffic:
    refused = counts.get("upstream_rq_pending_failure_eject", 0)
    latency, below = [], 0.0
    for bound in sorted(cumulative):
        latency.append((bound, int(cumulative[bound] - below)))
        below = cumulative[bound]
    return Traffic(
        requests=int(counts.get("upstream_rq_total", 0) + refused),
        errors=int(sum(counts.get(name, 0) for name in FAILED)),
        latency=tuple(latency),
    )


def measured(milliseconds: Iterable[float], errors: int) -> Traffic:
    """Latencies that were measured one by one, in the gateway's buckets; ``errors`` have none."""
    bounds = [*map(float, BUCKETS), math.inf]
    counts = [0] * len(bounds)
    for took in milliseconds:
        counts[bisect.bisect_left(bounds, took)] += 1
    return Traffic(requests=sum(counts) + errors, errors=errors, latency=tuple(zip(bounds, counts, strict=True)))


class Tail:
    """The records that a release's servers log from now on. Every record comes once, when its line is whole."""

    def __init__(self, project: str, version: str) -> None:
        self.folder = log_folder(project, version)
        self._read = self._sizes()

    def new(self) -> list[Record]:
        found: list[Record] = []
        for path in self._segments():
            try:
                with path.open("rb") as file:
                    inode = path.stat().st_ino
                    file.seek(self._read.get(inode, 0))
                    whole, end, _ = file.read().rpartition(b"\n")
            except FileNotFoundError:  # closed meanwhile: it has another name, and comes at the next look
                continue
            self._read[inode] = self._read.get(inode, 0) + len(whole) + len(end)
            found += records((whole + end).splitlines(keepends=True))
        return found

    def _sizes(self) -> dict[int, int]:
        while True:
            try:
                return {found.st_ino: found.st_size for found in (path.stat() for path in self._segments())}
            except FileNotFoundError:  # closed meanwhile: it has another name, and is listed again
                continue

    def _segments(self) -> list[Path]:
        return sorted((*self.folder.glob("*.open"), *self.folder.glob("*.jsonl")))


class Pairs:
    """The answers of champion and challenger to the same requests, matched by request id as they come in."""

    def __init__(self, project: str, champion: str, challenger: str, slices: Sequence[str], unit: Unit) -> None:
        self.slices, self.unit = tuple(slices), unit
        self.tails = Tail(project, champion), Tail(project, challenger)
        self.waiting: tuple[dict[str, Record], dict[str, Record]] = ({}, {})
        self.agreement = Agreement()

    def look(self) -> Agreement:
        """The agreement over every pair so far."""
        for tail, waiting, shadow in zip(self.tails, self.waiting, (False, True), strict=True):
            waiting.update({record.id: record for record in tail.new() if record.shadow == shadow and record.scores})
        mine, theirs = self.waiting
        both = [(mine.pop(name), theirs.pop(name)) for name in list(theirs) if name in mine]
        self.agreement = self.agreement + agreement(both, self.slices, self.unit)
        return self.agreement


def expected_agreement(candidate: Candidate, champion: Packaged, slices: Sequence[str]) -> Agreement | None:
    """How far a candidate and the ``champion`` are apart on the test rows, by which the gates judged the one beside
    the other; None if it was another champion, or none that could be scored.

    Each decides by the threshold that it serves with: the gates gave the champion the best one for their rows.
    """
    import numpy as np
    import polars as pl

    beside, test = candidate.baseline, store.locate(candidate.splits.test)
    if candidate.champion is None or candidate.champion.version != champion.version or beside is None:
        return None
    if "incomparable" in store.read_json(beside.metrics):
        return None
    metrics = [store.read_json(one.evaluation.metrics) for one in (champion.candidate, candidate)]
    task = metrics[1].get("task", "binary")
    column = {"binary": "score", "multiclass": "probabilities", "regression": "prediction"}[task]
    scores = [
        pl.read_parquet(store.locate(one.predictions))[column].to_numpy() for one in (beside, candidate.evaluation)
    ]
    labels = {name: np.array([str(value) for value in pl.read_parquet(test, columns=[name])[name]]) for name in slices}
    if task == "multiclass":
        return compare_classes(scores[0], scores[1], tuple(metrics[1]["classes"]), labels)
    if task == "regression":
        return compare_numbers(scores[0], scores[1], spread(candidate.splits), labels)
    decided = [score >= found["threshold"] for score, found in zip(scores, metrics, strict=True)]
    return compare(scores[0], scores[1], decided[0], decided[1], labels)


class Answered(Protocol):
    """A request's rows, and what a release said to each."""

    @property
    def scores(self) -> list[Any]: ...
    @property
    def decisions(self) -> list[Any]: ...
    @property
    def rows(self) -> list[dict[str, Any]]: ...


class Unit(NamedTuple):
    """How answers are compared. ``spread``: see `tasks.data.label_facts.spread`."""

    task: TaskName
    spread: float


def agreement(pairs: Sequence[tuple[Answered, Answered]], slices: Sequence[str], unit: Unit) -> Agreement:
    """The agreement of (champion's, challenger's) answers to the same requests."""
    import numpy as np

    by_class = unit.task == "multiclass"  # a champion of another task says nothing that could be compared
    same = [
        (one, other)
        for one, other in pairs
        if one.scores
        and len(one.scores) == len(other.scores)
        and isinstance(one.scores[0], dict) == isinstance(other.scores[0], dict) == by_class
    ]
    if not same:
        return Agreement()
    rows = [row for one, _ in same for row in one.rows] if slices else []
    labels = {
        name: np.array([str(row.get(name)) for row in rows]) for name in slices if any(name in row for row in rows)
    }
    mine = [score for one, _ in same for score in one.scores]
    theirs = [score for _, other in same for score in other.scores]
    if by_class:
        classes = tuple(sorted({name for score in (*mine, *theirs) for name in score}))
        before, after = (
            np.array([[score.get(name, 0.0) for name in classes] for score in scores], np.float64)
            for scores in (mine, theirs)
        )
        return compare_classes(before, after, classes, labels)
    if unit.task == "regression":
        return compare_numbers(np.array(mine, np.float64), np.array(theirs, np.float64), unit.spread, labels)
    return compare(
        np.array(mine, np.float64),
        np.array(theirs, np.float64),
        np.array([decision for one, _ in same for decision in one.decisions]),
        np.array([decision for _, other in same for decision in other.decisions]),
        labels,
    )
