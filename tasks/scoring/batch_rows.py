"""Scores rows with a release: its own schema, categories, model and threshold, as its server would.

What a column must be is what the release's schema says: of features and of what names a row. Other columns of the
schema are not looked at, as in a request. Uniqueness is not asked: that a row is scored twice is no fault of the row.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from penstock.conform import conformed, fits
from penstock.errors import DataError
from penstock.features import encode_frame, unknown_texts
from penstock.model import load
from penstock.predicted import predictor
from penstock.schema import parse_schema
from tasks.data.pandera_schema import Rules, broken_rules, build
from tasks.data.project import recorded_project
from tasks.scoring.batch_basis import Basis
from tasks.store import store

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

STRANGE = "is a category that the training data did not have"
LONGEST_VALUE = 100  # characters of a refused value that are kept

Problem = tuple[str, str, "pl.Series"]


@dataclass(frozen=True)
class Answered:
    """Rows that were scored, and what was wrong with the others.

    ``read``: how many all of them are; ``place``: of valid rows in the input, from 0; ``rows``: what was read of them;
    ``scores``: the model's own, see `penstock/predicted.py`. ``refused``: `row`, `column`, `reason`, `value`, one line
    for each thing that is wrong; None if nothing is.
    """

    read: int
    place: pl.Series
    rows: pl.DataFrame
    scores: np.ndarray
    refused: pl.DataFrame | None


@dataclass
class Scorer:
    """A release, ready to score. ``unknown``: by feature, the texts so far that training did not have."""

    basis: Basis
    threads: int
    unknown: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        given = self.basis
        self.features = recorded_project(given.config).features
        text = store.read_bytes(given.schema_text).decode()
        self.schema = parse_schema(text, f"the schema of {given.version}")
        spec = store.read_json(given.schema_spec)
        self.reject = spec["unknown_category"] == "reject"
        self.categories = {one["name"]: one["categories"] for one in spec["columns"] if one["categories"] is not None}
        self.categories |= spec.get("recipe", {}).get("categories", {})
        self.booster = load(store.read_bytes(given.booster), self.threads)
        self.predictor = predictor(store.read_json(given.metrics))
        named = [name for name in given.named if name in self.schema.columns]
        self.needed = list(dict.fromkeys([*self.features.inputs, *named, *given.keys]))
        self.checked = [name for name in self.needed if name in self.schema.columns]
        beside = [name for name in given.beside if name in self.schema.columns]
        self.wanted = list(dict.fromkeys([*self.needed, *beside]))
        self.rules: Rules = build(_narrowed(text, self.checked))
        every = build(_narrowed(text, [name for name in self.wanted if name in self.schema.columns]))
        self.kinds: dict[str, Any] = {name: column.dtype.type for name, column in every.schema.columns.items()}

    def require(self, found: dict[str, pl.DataType], where: str, *, text: bool) -> list[str]:
        """The columns to read of a file that has these. Raises DataError if it lacks one that is needed, has one that
        nobody knows, or one of a type that cannot be right."""
        missing = [name for name in self.needed if name not in found]
        strange = [name for name in found if name not in self.schema.columns and name not in self.basis.keys]
        wrong = [
            f"{name} is {found[name]}, not {kind}"
            for name, kind in self.kinds.items()
            if name in found and not fits(found[name], kind, text=text)
        ]
        parts = [
            f"missing: {', '.join(missing)}" if missing else "",
            f"not in the schema: {', '.join(strange)}" if strange and self.schema.strict else "",
            "; ".join(wrong),
        ]
        if any(parts):
            raise DataError(
                f"The columns are not those that {self.basis.version} scores.",
                where=where,
                found="; ".join(part for part in parts if part),
                allowed="needed: " + ", ".join(f"{name} {self.kinds.get(name, '')}".strip() for name in self.needed),
                next_step="mend the file, or name a column that the schema does not have under --keys",
            )
        return [name for name in self.wanted if name in found]

    def answer(self, frame: pl.DataFrame, start: int) -> Answered:
        """Score the rows of ``frame``, the first of which is row ``start`` of the input.

        Raises DataError if the model gives a score that is not a finite number.
        """
        import numpy as np
        import polars as pl

        rows, problems = self._conformed(frame)
        # a function may count on what the schema says, as in a request: it is not given rows that are refused
        bad = _any(problems) if self.features.python and problems else None
        given = rows if bad is None else rows.filter(~bad)
        encoded = encode_frame(given, self.features, self.categories)
        found = [each for each in unknown_texts(given, encoded, self.features) if each[2].any()]
        if bad is not None:
            places = ((~bad).cast(pl.Int64).cum_sum() - 1).set(bad, None)
            encoded = pl.DataFrame([column.gather(places) for column in encoded])
            found = [(name, column, mask.gather(places).fill_null(False)) for name, column, mask in found]
        if self.reject:
            problems += [
                (column, STRANGE if name == column else f"makes `{name}` {STRANGE.removeprefix('is ')}", bad)
                for name, column, bad in found
            ]
        strangers = {name: mask for name, _, mask in found}
        place = pl.arange(start, start + frame.height, dtype=pl.Int64, eager=True).alias("row")
        refused = None
        if problems:
            refused = pl.concat([_lines(place, frame[name], reason, bad) for name, reason, bad in problems])
            good = ~_any(problems)
            place, rows, encoded = place.filter(good), rows.filter(good), encoded.filter(good)
            strangers = {name: mask.filter(good) for name, mask in strangers.items()}
        for name, mask in strangers.items():
            self.unknown[name] += int(mask.sum())
        scores = self.booster.inplace_predict(encoded) if encoded.height else self.predictor.nothing()
        if not np.isfinite(scores).all():
            wild = ~np.isfinite(scores.reshape(len(scores), -1)).all(1)
            raise DataError(
                f"{self.basis.version} gave a score that is not a finite number.",
                found=f"row {place[int(np.flatnonzero(wild)[0])]}",
                next_step="score with another release: --version",
            )
        return Answered(frame.height, place, rows, scores, refused)

    def _conformed(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
        """The columns in their types, and what is wrong with them: (column, reason, mask of the rows)."""
        import polars as pl

        problems: list[Problem] = []
        lost: dict[str, pl.Series] = {}
        columns = []
        for given in frame:
            kind = self.kinds.get(given.name)
            values = given if kind is None else conformed(given, kind)
            columns.append(values.alias(given.name))
            if given.dtype != kind and given.name in self.checked and kind is not None:
                bad = values.is_null() & ~(given.is_null() | (given.is_nan() if given.dtype.is_float() else False))
                if bad.any():
                    lost[given.name] = bad
                    problems.append((given.name, f"is no {kind}", bad))
        rows = pl.DataFrame(columns)
        for name, reason, bad in broken_rules(self.rules, rows.select(self.checked)):
            left = bad & ~lost[name] if name in lost else bad
            if left.any():
                problems.append((name, reason, left))
        return rows, problems


def _any(problems: list[Problem]) -> pl.Series:
    """The rows that something is wrong with."""
    return functools.reduce(operator.or_, (bad for _, _, bad in problems))


def _lines(place: pl.Series, values: pl.Series, reason: str, bad: pl.Series) -> pl.DataFrame:
    """The refused values of one column, one a line."""
    import polars as pl

    text = values.filter(bad).cast(pl.String).str.head(LONGEST_VALUE)
    return pl.DataFrame({"row": place.filter(bad), "value": text}).select(
        "row", pl.lit(values.name).alias("column"), pl.lit(reason).alias("reason"), "value"
    )


def _narrowed(text: str, names: list[str]) -> str:
    """The schema's YAML with only these columns, each required, and nothing unique."""
    tree = yaml.safe_load(text)
    tree.pop("unique", None)
    tree["columns"] = {name: {**tree["columns"][name], "required": True} for name in names}
    return yaml.safe_dump(tree, sort_keys=False)
