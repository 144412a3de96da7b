"""A schema file as a pandera schema, and what pandera finds, as rows instead of exceptions."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from penstock.errors import ConfigError, DataError
from penstock.fields import FLOATS
from penstock.schema import parse_schema

if TYPE_CHECKING:
    import polars as pl

KEPT = 20  # failure cases pandera keeps of a check: the whole list of a bad column can be gigabytes
FLOAT32 = 3.4028234663852886e38
NUMBER = "a finite number that a 32-bit float can hold"


@dataclass(frozen=True)
class Rules:
    """A pandera schema without uniqueness, and the column sets that must be unique."""

    schema: Any
    unique: tuple[tuple[str, ...], ...]

    def passes(self, scan: pl.LazyFrame) -> bool:
        """Whether every value of a part is valid, in one lazy pass."""
        import polars as pl
        from pandera.errors import SchemaErrors

        floats = [name for name, kind in scan.collect_schema().items() if kind in (pl.Float32, pl.Float64)]
        if floats:
            sizes = scan.select((pl.col(floats).abs() > FLOAT32).any()).collect(engine="streaming").row(0)
            if any(bool(value) for value in sizes):
                return False
        try:
            self.validate(scan)
        except SchemaErrors:
            return False
        return True

    def validate(self, rows: pl.LazyFrame | pl.DataFrame) -> None:
        """Raise pandera's SchemaErrors with everything that is wrong."""
        from pandera.config import ValidationDepth, config_context

        # of a LazyFrame pandera would check the types only, and every wrong value would pass without a word
        with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA, validation_enabled=True):
            self.schema.validate(rows, lazy=True)


@functools.lru_cache(maxsize=8)
def build(text: str) -> Rules:
    """The rules of a schema file. Raises ConfigError if the file is wrong."""
    from pandera.io import polars_io

    parsed = parse_schema(text, "the project's schema")
    tree = yaml.safe_load(text)
    tree.pop("unique", None)
    tree.pop("api", None)
    tree |= {"schema_type": "polars_dataframe", "strict": parsed.strict}
    for name, column in tree["columns"].items():
        column.pop("unique", None)
        if parsed.columns[name].dtype in FLOATS:  # polars refuses to look for a float among integers
            column |= {
                check: [float(value) for value in column[check]] for check in ("isin", "notin") if check in column
            }
    try:
        schema = polars_io.from_yaml(yaml.safe_dump(tree, sort_keys=False))
    except Exception as error:  # pandera raises what its parser of types and its checks happen to raise
        raise ConfigError(
            "pandera cannot read the schema.",
            found=str(error).splitlines()[0][:200],
            next_step="correct the column that this is about, in the project's schema",
        ) from error
    for column in schema.columns.values():
        for check in column.checks:
            check.n_failure_cases = KEPT
    singles = tuple((name,) for name, column in parsed.columns.items() if column.unique)
    return Rules(schema, singles + ((parsed.unique,) if parsed.unique else ()))


def require_structure(rules: Rules, scan: pl.LazyFrame, where: str) -> None:
    """Raise DataError if a column is missing, unknown or of another type."""
    from pandera.errors import SchemaErrors

    try:
        rules.validate(scan.head(0).collect())
        return
    except SchemaErrors as errors:
        reasons = [(error.reason_code.name, error) for error in errors.schema_errors]
    found = scan.collect_schema()
    wanted = rules.schema.columns
    missing = [name for name, column in wanted.items() if name not in found and column.required]
    unknown = [name for name in found if name not in wanted]
    wrong = [
        f"{name} is {found[name]}, not {wanted[name].dtype}"
        for code, error in reasons
        if code == "WRONG_DATATYPE" and (name := error.schema.name) in found
    ]
    parts = [
        f"missing: {', '.join(missing)}" if missing else "",
        f"not in the schema: {', '.join(unknown)}" if unknown else "",
        "; ".join(wrong),
    ]
    raise DataError(
        "The columns are not those of the schema.",
        where=where,
        found="; ".join(part for part in parts if part) or str(reasons[0][1])[:200],
        allowed=", ".join(f"{name} {column.dtype}" for name, column in wanted.items()),
        next_step="mend the source, or change the schema",
    )


def broken_rules(rules: Rules, rows: pl.DataFrame) -> Iterator[tuple[str, str, pl.Series]]:
    """(column, rule, mask of the rows that break it) for every rule that some row of ``rows`` breaks."""
    import polars as pl
    from pandera.errors import SchemaErrors

    for name, kind in rows.schema.items():
        if kind in (pl.Float32, pl.Float64):
            bad = (rows[name].abs() > FLOAT32).fill_null(False)
            if bad.any():
                yield name, NUMBER, bad
    try:
        rules.validate(rows)
        return
    except SchemaErrors as errors:
        problems = errors.schema_errors
    for error in problems:
        output = error.check_output
        if not isinstance(output, pl.DataFrame) or "check_output" not in output.columns or output.height != rows.height:
            raise DataError(
                "pandera reported a problem that is not one of single rows.",
                where=str(error.schema.name),
                found=str(error)[:200],
            )
        bad = ~output["check_output"].fill_null(True)
        if bad.any():
            yield str(error.schema.name), _words(error), bad


def _words(error: Any) -> str:
    check = error.check
    text = str(getattr(check, "error", None) or getattr(check, "name", None) or check)
    return "must not be null" if error.reason_code.name == "SERIES_CONTAINS_NULLS" else text
