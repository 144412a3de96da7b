"""Validates rows against the project's schema with pandera, and says exactly which are invalid and why.

Uniqueness is checked here and not by pandera, because it holds over all files, and the first of equals is valid. It
is also checked in this process where a cluster does the rest (`tasks/data/validation_pieces.py`), of which it takes a
fifth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.batch import Unread
from penstock.config import DataConfig
from penstock.errors import DataError
from penstock.refs import Checked, Dataset
from tasks.cluster.pieces import cut
from tasks.data.broken_rows import CHUNK, EXAMPLES, broken, outlier_bounds, without_nan
from tasks.data.data import dataset_paths
from tasks.data.pandera_schema import build, require_structure
from tasks.data.validation_pieces import find_broken, look
from tasks.store import store
from tasks.store.caching import task

if TYPE_CHECKING:
    import polars as pl

ROW = "__row__"


@dataclass(frozen=True)
class BatchCheck:
    """A batch dealt into valid rows and invalid ones; ``bad`` has the reasons in the column `why`."""

    good: pl.DataFrame
    bad: pl.DataFrame
    report: dict[str, Any]


@dataclass
class _Findings:
    """What is wrong in one part. ``rows``: positions in the part, with one reason each."""

    rows: list[tuple[int, str]] = field(default_factory=list)
    checks: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(self, column: str, check: str, positions: list[int], examples: list[str]) -> None:
        known = self.checks.setdefault((column, check), {"column": column, "check": check, "failed": 0, "examples": []})
        known["failed"] += len(positions)
        known["examples"] = list(dict.fromkeys([*known["examples"], *examples]))[:EXAMPLES]
        self.rows += [(position, f"{column}: {check}" if column else check) for position in positions]


def check_batch(
    rows: pl.DataFrame, schema_text: str, data: DataConfig, where: str, unread: tuple[Unread, ...] = ()
) -> BatchCheck:
    """Deal a batch's rows into valid and invalid. NaN counts as null, and is null in what is returned.

    ``unread``: what the source could not read; those rows are invalid.

    Raises DataError when the batch is empty, has a column too many, too few or of the wrong type, has more invalid
    rows than `data.max_invalid_fraction`, or has any under `data.on_invalid: fail`.
    """
    import polars as pl

    if rows.is_empty():
        raise DataError("The batch has no rows.", where=where, next_step="check the data source for this batch")
    rules = build(schema_text)
    rows = without_nan(rows)
    require_structure(rules, rows.lazy(), where)
    bounds = outlier_bounds(rows.lazy(), data.outliers)
    findings = _Findings(warnings=list(bounds.warnings))
    for found in broken(rows.lazy(), rows.iter_slices(CHUNK), rules, bounds.inside):
        findings.add(*found)
    for each in unread:
        findings.add(each.column, f"cannot be read as {each.dtype}", each.rows, each.examples)
    for columns in rules.unique:
        findings.add(", ".join(columns), "unique", _repeated(rows, columns), [])
    report = _report(rows.height, [findings])
    _judge(report, data, where)
    if not findings.rows:
        return BatchCheck(rows, rows.clear().with_columns(why=pl.lit("")), report)
    reasons = (
        pl.DataFrame(findings.rows, schema={ROW: pl.UInt32, "why": pl.String}, orient="row")
        .group_by(ROW, maintain_order=True)
        .agg(pl.col("why").str.join("; "))
    )
    numbered = rows.with_row_index(ROW)
    good = numbered.join(reasons, on=ROW, how="anti", maintain_order="left").drop(ROW)
    bad = numbered.join(reasons, on=ROW, how="inner", maintain_order="left").drop(ROW)
    return BatchCheck(good, bad, report)


@task(libraries=("pandera", "polars"))
def validate_dataset(dataset: Dataset, schema: str, data: DataConfig) -> Checked:
    """Check every row of a dataset version. Training leaves the invalid ones out; raises what `check_batch` raises."""
    import polars as pl

    rules = build(schema)
    paths = dataset_paths(dataset)
    pieces = {file.path: cut(file, path) for file, path in zip(dataset.files, paths, strict=True)}
    rows = sum(piece.rows for of_file in pieces.values() for piece in of_file)
    if not rows:
        raise DataError("The dataset has no rows.", where=str(dataset), next_step="ingest a batch that has some")
    bounds = look(pieces, schema, data.outliers, dataset.path)
    found = {name: _Findings(warnings=list(of_file.warnings)) for name, of_file in bounds.items()}
    for name, each in find_broken(pieces, schema, bounds):
        found[name].add(*each)
    for columns in rules.unique:
        for file_path, positions in _repeated_in_files(dataset, paths, columns).items():
            found[file_path].add(", ".join(columns), "unique", positions, [])
    report = _report(rows, list(found.values()))
    _judge(report, data, str(dataset))
    excluded = None
    bad = sorted({(name, row) for name, findings in found.items() for row, _ in findings.rows})
    if bad:
        with store.new_file("excluded.parquet") as draft:
            pl.DataFrame(bad, schema={"file": pl.String, "row": pl.UInt32}, orient="row").write_parquet(draft.path)
        excluded = draft.ref
    ref = store.put_json(report, "validation.json")
    return Checked(report=ref, excluded=excluded, rows=rows, invalid=report["invalid"])


def _repeated(rows: pl.DataFrame, columns: tuple[str, ...]) -> list[int]:
    """Positions of rows whose values were there before."""
    import polars as pl

    return rows.select(~pl.struct(columns).is_first_distinct()).to_series().arg_true().to_list()


def _repeated_in_files(dataset: Dataset, paths: list[Path], columns: tuple[str, ...]) -> dict[str, list[int]]:
    """By file, the rows whose values were there before, in the order of the files."""
    import numpy as np
    import polars as pl
    import pyarrow.parquet as pq

    # 8 bytes a row instead of the values, sorted instead of in a hash table: what repeats must repeat here too
    scans = [pl.scan_parquet(path).select(columns) for path in paths]
    hashes = np.empty(sum(pq.read_metadata(path).num_rows for path in paths), np.uint64)
    start = 0
    for scan in scans:
        found = scan.select(pl.struct(columns).hash(7)).collect(engine="streaming").to_series()
        hashes[start : start + len(found)] = found.to_numpy()
        start += len(found)
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return {}
    scan = pl.concat(scans)
    bad = scan.select(~pl.struct(columns).is_first_distinct()).collect().to_series().arg_true().to_list()
    result: dict[str, list[int]] = {}
    start = 0
    for file, path in zip(dataset.files, paths, strict=True):
        end = start + pl.scan_parquet(path).select(pl.len()).collect().item()
        inside = [position - start for position in bad if start <= position < end]
        if inside:
            result[file.path] = inside
        start = end
    return result


def _report(rows: int, parts: list[_Findings]) -> dict[str, Any]:
    checks: dict[tuple[str, str], dict[str, Any]] = {}
    for findings in parts:
        for key, found in findings.checks.items():
            if not found["failed"]:
                continue
            known = checks.setdefault(key, {**found, "failed": 0})
            known["failed"] += found["failed"]
    return {
        "rows": rows,
        "invalid": sum(len({row for row, _ in findings.rows}) for findings in parts),
        "checks": sorted(checks.values(), key=lambda check: (-check["failed"], check["column"])),
        "warnings": [warning for findings in parts for warning in findings.warnings],
    }


def _judge(report: dict[str, Any], data: DataConfig, where: str) -> None:
    invalid, rows = report["invalid"], report["rows"]
    if not invalid:
        return
    worst = "; ".join(
        f"{check['column']}: {check['check']}, {check['failed']:,} rows"
        + (f", such as {', '.join(check['examples'])}" if check["examples"] else "")
        for check in report["checks"][:EXAMPLES]
    )
    if data.on_invalid == "fail":
        raise DataError(
            f"{invalid:,} of {rows:,} rows are not what the schema says.",
            where=where,
            found=worst,
            allowed="none, because `data.on_invalid` is `fail`",
            next_step="mend the source or the schema, or set `data.on_invalid: quarantine`",
        )
    if invalid / rows > data.max_invalid_fraction:  # a product would round 0.29 * 100 below 29
        raise DataError(
            f"{invalid:,} of {rows:,} rows ({invalid / rows:.1%}) are not what the schema says.",
            where=where,
            found=worst,
            allowed=f"at most {data.max_invalid_fraction:.1%} (`data.max_invalid_fraction`)",
            next_step="mend the source or the schema",
        )
