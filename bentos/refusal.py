"""A request that is not answered, and why."""

from __future__ import annotations

from typing import Any

from penstock.rows import RowErrors


class Refusal(Exception):
    """Becomes an answer with ``status`` and a JSON body of ``error`` and the facts."""

    def __init__(self, status: int, error: str, **facts: Any) -> None:
        super().__init__(error)
        self.status, self.error, self.facts = status, error, facts

    @classmethod
    def of_rows(cls, errors: RowErrors) -> Refusal:
        problems = [{"row": found.row, "field": found.field, "message": found.message} for found in errors.problems]
        return cls(422, "invalid rows", problems=problems, total=errors.total)


class NotFiniteError(Exception):
    """The model gave a score that is no number: its answer must not be used."""
