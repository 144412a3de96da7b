"""Reads the rows of a request: validates them as the project's schema does and encodes them for the model.

Works from the specification that `penstock.schema.compile_spec` makes. NumPy only: no pandera, no polars, so that the
server stays small. A value that pandera accepts in training is accepted here, and the other way round.
"""

from __future__ import annotations

import contextlib
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.column_arrays import Coded, Given, Numbers, Times
from penstock.derive import Step, codes, derived
from penstock.fields import MISSING, Field, Time, field
from penstock.inputs import from_column, from_values
from penstock.python_features import function

if TYPE_CHECKING:
    import numpy as np

SHOWN = 20  # problems that a refusal lists
LONGEST_NAME = 100  # characters of a field's name that a refusal repeats
FEW = 8  # rows up to which a loop beats NumPy


@dataclass(frozen=True)
class Problem:
    """What is wrong with one value. ``row`` counts from 0; ``field`` is empty when the row itself is wrong."""

    row: int
    field: str
    message: str


class RowErrors(ValueError):
    """Rows were refused. ``problems`` are the first SHOWN of ``total``, in the order of the rows."""

    def __init__(self, problems: list[Problem], total: int) -> None:
        super().__init__(f"{total} problem{'s' if total != 1 else ''} in the rows")
        self.problems, self.total = problems, total


@dataclass(frozen=True)
class Encoded:
    """Rows as the model takes them: float32, shape (rows, features), categories as codes, missing as NaN.

    ``unknown``: by feature, how many categories were not in the training data and count as missing.
    """

    matrix: np.ndarray
    unknown: dict[str, int]


class RowReader:
    """Validates and encodes rows by a compiled specification.

    ``names``: the fields that a row needs; ``features``: the model's, in its order.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        if spec["format"] != 1:
            raise ValueError(f"a specification of format {spec['format']}; this version reads format 1")
        reject = spec["unknown_category"] == "reject"
        self._columns = [field(column, reject) for column in spec["columns"]]
        self.names: tuple[str, ...] = tuple(column.name for column in self._columns)
        self._recipe = _Recipe(spec["recipe"], self._columns, reject) if "recipe" in spec else None
        self.features = self._recipe.features if self._recipe else self.names
        # the first name twice: of a single one there would be no tuple
        self._all_of: Callable[[Any], Any] = operator.itemgetter(*self.names, self.names[0])
        self.allowed = frozenset(self.names) | frozenset(spec["ignored"])

    def read(self, rows: list[Any]) -> Encoded:
        """Raises RowErrors if any row is refused: then none is answered."""
        import numpy as np

        few = len(rows) <= FEW
        unknown: dict[str, int] = {}
        found = _Found()
        columns = []
        given = self._by_column(rows)
        for column, values in zip(self._columns, given, strict=True):
            known = None if few else column.many(values)
            if known is None:
                known = found.one_by_one(column, values)
            columns.append(known)
            if column.codes is not None and (few or np.isnan(known).any()):
                strangers = sum(isinstance(value, str) and value not in column.codes for value in values)
                if strangers:
                    unknown[column.name] = strangers
        found.refuse()
        if self._recipe:
            arrays = {
                column.name: from_values(column, given[place], columns[place]) for place, column in self._recipe.needed
            }
            columns = self._recipe.features_of(columns, arrays, unknown, found)
        if few:
            return Encoded(np.ascontiguousarray(np.array(columns, np.float32).T), unknown)
        return Encoded(_matrix(columns, len(rows)), unknown)

    def read_columns(self, columns: Mapping[str, Given], rows: int) -> Encoded:
        """``read`` for rows that come by column, such as Arrow's; accepts, refuses and encodes the same.

        A column that is not there is one of nulls. A name that is no field is reported once, at row 0.
        """
        import numpy as np

        strange = [name for name in columns if name not in self.allowed]
        if strange:
            message = "is not a field of this model"
            raise RowErrors([Problem(0, name[:LONGEST_NAME], message) for name in strange[:SHOWN]], len(strange))
        found = _Found()
        unknown: dict[str, int] = {}
        encoded: list[Any] = []
        nothing = Coded([], np.full(rows, -1))
        for column in self._columns:
            given = columns.get(column.name, nothing)
            if isinstance(given, Numbers):
                known = column.array(given.values, given.missing)
                encoded.append(found.one_by_one(column, given.as_list()) if known is None else known)
            elif isinstance(given, Times):
                encoded.append(found.times(column, given))
            else:
                encoded.append(found.coded(column, given))
                strangers = [
                    code
                    for code, value in enumerate(given.distinct)
                    if column.codes is not None and isinstance(value, str) and value not in column.codes
                ]
                count = int(np.isin(given.index, strangers).sum()) if strangers else 0
                if count:
                    unknown[column.name] = count
        found.refuse()
        if self._recipe:
            arrays = {
                column.name: from_column(column, columns.get(column.name, nothing)) for _, column in self._recipe.needed
            }
            encoded = self._recipe.features_of(encoded, arrays, unknown, found)
        return Encoded(_matrix(encoded, rows), unknown)

    def _by_column(self, rows: list[Any]) -> Sequence[Sequence[Any]]:
        """The values of each feature, None where a row has none. Raises RowErrors for rows that are strange."""
        if set(map(type, rows)) == {dict} and set(map(len, rows)) == {len(self.names)}:
            with contextlib.suppress(KeyError):  # as many fields as features, and each feature: there is no other one
                return list(zip(*map(self._all_of, rows), strict=True))[:-1]
        self._refuse_strange(rows)
        return [[row.get(name) for row in rows] for name in self.names]

    def _refuse_strange(self, rows: list[Any]) -> None:
        """Rows that are no objects, and fields that the schema does not have."""
        strange: list[Problem] = []
        total = 0
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                names, message = [""], "must be an object of fields"
            elif row.keys() <= self.allowed:
                continue
            else:
                names, message = [name for name in row if name not in self.allowed], "is not a field of this model"
            total += len(names)
            strange += [Problem(number, name[:LONGEST_NAME], message) for name in names[: SHOWN - len(strange)]]
        if total:
            raise RowErrors(strange, total)


def _matrix(columns: Sequence[Any], rows: int) -> np.ndarray:
    """float32, shape (rows, columns)."""
    import numpy as np

    matrix = np.empty((rows, len(columns)), np.float32)
    for number, values in enumerate(columns):
        matrix[:, number] = values
    return matrix


class _Recipe:
    """The features that are derived from columns. ``needed``: those columns, and their places among all."""

    def __init__(self, spec: dict[str, Any], columns: Sequence[Field], reject: bool) -> None:
        self.features: tuple[str, ...] = tuple(spec["features"])
        self._steps = [Step.read(plain, spec["source"]) for plain in spec["steps"]]
        self._categories: dict[str, list[str]] = spec["categories"]
        self._places = {
            name: {text: float(place) for place, text in enumerate(texts)} for name, texts in self._categories.items()
        }
        for step in self._steps:
            if step.operation == "python":
                function(step.how["call"], step.how["source"])  # what cannot be loaded is no server
        self._direct = len(self.features) - len(self._steps)
        self._reject = reject
        names = {name for step in self._steps for name in step.columns}
        self.needed = [(place, column) for place, column in enumerate(columns) if column.name in names]

    def features_of(
        self, encoded: Sequence[Any], arrays: Mapping[str, Any], unknown: dict[str, int], found: _Found
    ) -> list[Any]:
        """The columns that are features themselves, of ``encoded``, and the derived ones. Counts ``unknown`` ones;
        raises RowErrors where they are rejected."""
        import numpy as np

        features = list(encoded[: self._direct])
        for step, values in derived(self._steps, arrays, self._categories):
            if not isinstance(values, Coded):
                features.append(values.astype(np.float32))
                continue
            features.append(codes(values, self._places[step.name]))
            strangers = np.flatnonzero(np.isnan(features[-1]) & (values.index >= 0)).tolist()
            if strangers and self._reject:
                for row in strangers:
                    found.add(
                        row, step.columns[0], f"makes `{step.name}` a category that the training data did not have"
                    )
            elif strangers:
                unknown[step.name] = len(strangers)
        found.refuse()
        return features


class _Found:
    """The problems so far. Of each field only the first SHOWN are kept: a request may have a million."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.total = 0
        self._of_field: Counter[str] = Counter()

    def add(self, row: int, name: str, message: str) -> None:
        """Within a field, problems are added in the order of the rows."""
        self.total += 1
        self._of_field[name] += 1
        if self._of_field[name] <= SHOWN:
            self.kept.append(Problem(row, name, message))

    def refuse(self) -> None:
        if self.total:
            self.kept.sort(key=lambda problem: problem.row)
            raise RowErrors(self.kept[:SHOWN], self.total)

    def one_by_one(self, column: Field, values: Sequence[Any]) -> list[float]:
        result = []
        for number, value in enumerate(values):
            try:
                result.append(column.one(value))
            except ValueError as error:
                self.add(number, column.name, str(error))
                result.append(MISSING)
        return result

    def times(self, column: Field, given: Times) -> np.ndarray:
        """Nothing of a float32 can be made of times: `penstock.inputs` takes them as they are."""
        import numpy as np

        wrong = column.wrong(given.values) if isinstance(column, Time) else np.ones(len(given.values), bool)
        for row in np.flatnonzero(wrong).tolist():
            if not isinstance(column, Time):
                self.add(row, column.name, "must not be a time")
            else:
                self.add(
                    row, column.name, "is required" if np.isnat(given.values[row]) else "must be a date, not a time"
                )
        return np.full(len(given.values), np.nan, np.float32)

    def coded(self, column: Field, given: Coded) -> np.ndarray:
        """Each distinct value is checked once, however many rows have it."""
        import numpy as np

        codes, wrong = np.empty(len(given.distinct) + 1, np.float32), {}
        for code, value in enumerate([*given.distinct, None]):
            try:
                codes[code] = column.one(value)
            except ValueError as error:
                wrong[code] = str(error)
        index = np.where(given.index < 0, len(given.distinct), given.index)
        if wrong:
            for row in np.flatnonzero(np.isin(index, list(wrong))).tolist():
                self.add(row, column.name, wrong[int(index[row])])
        return codes[index]
