"""Tries what the section `behaviour` declares on a model, and says what the gate makes of it. Pure.

Counter-examples name rows by their place in the dataset and by their scores: the rows' values stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.behaviour_config import BehaviourTest, Cell, Direction, Example, Invariance
from penstock.gate_checks import Check
from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

SHOWN = 3  # counter-examples kept of a test
ROW = "__row__"


class CounterExample(Value):
    """``row``: its place in the dataset, or in the test's own list (from 1). ``before``: None where nothing changed."""

    row: int
    before: float | None
    after: float

    def __str__(self) -> str:
        return f"row {self.row}: " + ("" if self.before is None else f"{self.before:.4g} -> ") + f"{self.after:.4g}"


class Tried(Value):
    """What became of one test: how many of the ``rows`` are ``broken``, the worst of them, or why it was not tried."""

    rows: int = 0
    broken: int = 0
    worst: tuple[CounterExample, ...] = ()
    problem: str = ""


class Behaviour(Value):
    """Every test of a model, by name."""

    tried: dict[str, Tried]

    def __str__(self) -> str:
        clean = sum(not one.broken and not one.problem for one in self.tried.values())
        return f"{clean} of {len(self.tried)} tests without a counter-example"


@dataclass(frozen=True)
class Asked:
    """The model that is tested. ``score``: of rows as the dataset has them; (n,), or (n, classes) of a multiclass one.

    ``columns``: those that it asks for; ``words``: which of them are texts, or times, which may be ISO 8601 texts;
    ``known``: the training categories of those that are features themselves.
    """

    score: Callable[[pl.DataFrame], np.ndarray]
    columns: tuple[str, ...]
    words: frozenset[str]
    known: Mapping[str, Sequence[str]]
    classes: tuple[str, ...] = ()
    threshold: float = 0.5


def try_test(test: BehaviourTest, asked: Asked, rows: pl.DataFrame) -> Tried:
    """``rows``: a sample of the test split, `__row__` and the features."""
    kind = test.kind
    problem = _problem(kind, asked)
    if problem:
        return Tried(problem=problem)
    if isinstance(kind, Direction):
        return _direction(kind, asked, rows)
    return _invariance(kind, asked, rows) if isinstance(kind, Invariance) else _example(kind, asked)


def behaviour_checks(tests: Mapping[str, BehaviourTest], found: Behaviour | None) -> Iterator[Check]:
    """A check for each declared test; what was not tried, or on no row, is not passed."""
    for name, test in tests.items():
        tried = found.tried.get(name) if found else None
        problem = "it was not tried" if tried is None else tried.problem
        if tried is None or problem or not tried.rows:
            yield Check(
                name=f"behaviour: {name}",
                value=None,
                baseline=None,
                bound=_bound(test),
                passed=False,
                note=problem or "no test row could be changed so",
            )
            continue
        share = tried.broken / tried.rows
        most = 0.0 if isinstance(test.kind, Example) else test.kind.max_share
        note = f"{tried.broken:,} of {tried.rows:,} rows"
        if tried.worst:
            note += "; the worst: " + ", ".join(map(str, tried.worst))
        yield Check(
            name=f"behaviour: {name}", value=share, baseline=None, bound=_bound(test), passed=share <= most, note=note
        )


def _bound(test: BehaviourTest) -> str:
    kind = test.kind
    if isinstance(kind, Example):
        within = [f"at least {kind.min:g}"] if kind.min is not None else []
        within += [f"at most {kind.max:g}"] if kind.max is not None else []
        within += [str(kind.answer).lower() if isinstance(kind.answer, bool) else str(kind.answer)] * (
            kind.answer is not None
        )
        return f"0: every row's answer is {' and '.join(within)}"
    beyond = f" by more than {kind.tolerance:g}" if kind.tolerance else ""
    if isinstance(kind, Invariance):
        return f"at most {kind.max_share:g} of rows whose score moves{beyond} with `{kind.feature}`"
    change = f"{kind.add:+g}" if kind.add is not None else f"times {kind.factor:g}"
    wrong = "falls" if kind.score == "up" else "rises"
    return f"at most {kind.max_share:g} of rows whose score {wrong}{beyond} with `{kind.feature}` {change}"


def _problem(kind: Direction | Invariance | Example, asked: Asked) -> str:
    """What is wrong with a test beside this model; "" if nothing is."""
    named = [kind.of, kind.answer if isinstance(kind, Example) else None]
    for name in named:
        if asked.classes and name is not None and str(name) not in asked.classes:
            return f"there is no class `{name}`: {', '.join(asked.classes[:10])}"
    rows: Sequence[dict[str, Cell]] = ()
    if isinstance(kind, Example):
        rows = kind.rows
    elif isinstance(kind, Invariance):
        rows = [{kind.feature: value} for value in kind.values]
    for row in rows:
        for name, value in row.items():
            if name in asked.known and value is not None and value not in asked.known[name]:
                return f"training never saw `{value}` in `{name}`: to the model it is a missing value, which is null"
    return ""


def _direction(rule: Direction, asked: Asked, rows: pl.DataFrame) -> Tried:
    import polars as pl

    before = rows.with_columns(pl.col(rule.feature).cast(pl.Float64))
    raised = pl.col(rule.feature) + rule.add if rule.add is not None else pl.col(rule.feature) * rule.factor
    before = before.filter((raised.is_finite() & (raised != pl.col(rule.feature))).fill_null(False))
    if before.is_empty():
        return Tried()
    old = _score(asked, before, rule.of)
    new = _score(asked, before.with_columns(raised), rule.of)
    return _changed(before[ROW], old, new, old - new if rule.score == "up" else new - old, rule.tolerance)


def _invariance(rule: Invariance, asked: Asked, rows: pl.DataFrame) -> Tried:
    """Of each row, the value that moves its score most."""
    import numpy as np
    import polars as pl

    if rows.is_empty():
        return Tried()
    kind = pl.String if rule.feature in asked.words else pl.Float64
    old = _score(asked, rows, rule.of)
    every = []
    for value in rule.values:
        cell = pl.lit(value).cast(kind).alias(rule.feature)
        every.append(_score(asked, rows.with_columns(cell), rule.of))
    new = np.stack(every)
    most = new[np.abs(new - old).argmax(0), np.arange(len(old))]
    return _changed(rows[ROW], old, most, np.abs(most - old), rule.tolerance)


def _example(rule: Example, asked: Asked) -> Tried:
    import numpy as np
    import polars as pl

    columns = {
        name: pl.Series(
            [row.get(name) if name in asked.words else _number(row.get(name)) for row in rule.rows],
            dtype=pl.String if name in asked.words else pl.Float64,
        )
        for name in asked.columns
    }
    scores = asked.score(pl.DataFrame(columns))
    bad = np.zeros(len(scores), bool)
    shown = scores.astype(np.float64) if scores.ndim == 1 else None
    if rule.answer is not None and asked.classes:
        at = asked.classes.index(str(rule.answer))
        bad |= scores.argmax(1) != at
        shown = scores[:, at].astype(np.float64)
    elif rule.answer is not None:
        bad |= (scores >= asked.threshold) != bool(rule.answer)
    if rule.min is not None or rule.max is not None:
        shown = _picked(asked, scores, rule.of)
        # bounds are inclusive, and scores float32: 0.4 as the model says it is a little more than 0.4
        bad |= shown < np.float32(-np.inf if rule.min is None else rule.min)
        bad |= shown > np.float32(np.inf if rule.max is None else rule.max)
    assert shown is not None
    worst = tuple(CounterExample(row=int(at) + 1, before=None, after=float(shown[at])) for at in np.flatnonzero(bad))
    return Tried(rows=len(scores), broken=int(bad.sum()), worst=worst[:SHOWN])


def _changed(row: pl.Series, old: np.ndarray, new: np.ndarray, wrong: np.ndarray, tolerance: float) -> Tried:
    """``wrong``: by how much each row's score went where it must not."""
    import numpy as np

    broken = int((wrong > tolerance).sum())
    order = np.argsort(-wrong, kind="stable")[: min(broken, SHOWN)]
    worst = tuple(CounterExample(row=int(row[int(at)]), before=float(old[at]), after=float(new[at])) for at in order)
    return Tried(rows=len(wrong), broken=broken, worst=worst)


def _score(asked: Asked, rows: pl.DataFrame, of: str | None) -> np.ndarray:
    return _picked(asked, asked.score(rows), of)


def _picked(asked: Asked, scores: np.ndarray, of: str | None) -> np.ndarray:
    """(n,) float64: the scores, or the probabilities of the class ``of``."""
    import numpy as np

    one = scores if scores.ndim == 1 else scores[:, asked.classes.index(str(of))]
    return one.astype(np.float64)


def _number(value: Cell) -> float | None:
    return None if value is None else float(value)
