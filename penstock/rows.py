"""Reads the rows of a request: validates them as the project's schema does and encodes them for the model.

Works from the specification that `penstock.schema.compile_spec` makes. NumPy only: no pandera, no polars, so that the
server stays small. A value that pandera accepts in training is accepted here, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.fields import MISSING, Field, field

if TYPE_CHECKING:
    import numpy as np

SHOWN = 20  # problems that a refusal lists
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

    ``unknown``: by column, how many categories were not in the training data and count as missing.
    """

    matrix: np.ndarray
    unknown: dict[str, int]


class RowReader:
    """Validates and encodes rows by a compiled specification."""

    def __init__(self, spec: dict[str, Any]) -> None:
        if spec["format"] != 1:
            raise ValueError(f"a specification of format {spec['format']}; this version reads format 1")
        reject = spec["unknown_category"] == "reject"
        self._columns = [field(column, reject) for column in spec["columns"]]
        self.names: tuple[str, ...] = tuple(column.name for column in self._columns)
        self._allowed = frozenset(self.names) | frozenset(spec["ignored"])

    def read(self, rows: list[Any]) -> Encoded:
        """Raises RowErrors if any row is refused: then none is answered."""
        import numpy as np

        strange = self._strange(rows)
        if strange:
            raise RowErrors(strange[:SHOWN], len(strange))
        matrix = np.empty((len(rows), len(self._columns)), np.float32)
        unknown: dict[str, int] = {}
        problems: list[Problem] = []
        for number, column in enumerate(self._columns):
            name = column.name
            values = [row.get(name) for row in rows]
            known = column.many(values) if len(values) > FEW else None
            if known is None:
                known = self._one_by_one(column, values, problems)
            matrix[:, number] = known
            if column.codes is not None:
                strangers = sum(isinstance(value, str) and value not in column.codes for value in values)
                if strangers:
                    unknown[name] = strangers
        if problems:
            problems.sort(key=lambda problem: problem.row)
            raise RowErrors(problems[:SHOWN], len(problems))
        return Encoded(matrix, unknown)

    def _strange(self, rows: list[Any]) -> list[Problem]:
        """Rows that are no objects, and fields that the schema does not have."""
        problems = []
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                problems.append(Problem(number, "", "must be an object of fields"))
            elif not row.keys() <= self._allowed:
                problems += [
                    Problem(number, str(name), "is not a field of this model")
                    for name in row
                    if name not in self._allowed
                ]
        return problems

    @staticmethod
    def _one_by_one(column: Field, values: list[Any], problems: list[Problem]) -> list[float]:
        result = []
        for number, value in enumerate(values):
            try:
                result.append(column.one(value))
            except ValueError as error:
                problems.append(Problem(number, column.name, str(error)))
                result.append(MISSING)
        return result
