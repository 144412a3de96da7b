"""Writes a new project's two files as a person would: every decision with its reason beside it. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from penstock.baseline import Baseline
from penstock.gate_text import gate_lines
from penstock.infer import Inferred
from penstock.infer_roles import Column
from penstock.source_config import SourceConfig

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./*-]*(:[A-Za-z_]\w*)?")
WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"}  # not text to YAML
TEST = 0.15  # share of the rows that judge


def scalar(value: Any) -> str:
    """A value as YAML on one line; text in quotes where it could be read as something else."""
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) and value.lower() not in WORDS else _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{scalar(key)}: {scalar(each)}" for key, each in value.items()) + " }"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    """As JSON has it, which YAML reads; signs that YAML may not hold, or takes for the end of a line, are escaped."""
    marks = json.dumps(text, ensure_ascii=False)
    codes = ((sign, ord(sign)) for sign in marks)
    return "".join(
        sign if sign.isprintable() else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}" for sign, code in codes
    )


def comment(text: str) -> str:
    """``text`` on one line, so that it cannot end the comment it is in."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def project_text(
    name: str, folder: str, found: Inferred, split_by: str, base: Baseline | None, rows: int, invalid: float
) -> str:
    """configs/NAME.yaml. ``rows``: of the whole source; ``invalid``: the share of them that will be set aside."""
    label = found.label
    lines = [
        "# yaml-language-server: $schema=project.schema.json",
        f"# Written by `penstock new` from {rows:,} rows. It is yours now: read it, correct it, commit it. Nothing is",
        "# inferred again. `penstock plan` says what a change would run; docs/config.md has every key.",
        f"name: {scalar(name)}",
        "",
        "data:",
        *_source_lines(found.source),
        f"  path: {folder} # tracked by DVC; only {folder}.dvc goes into git",
        "  on_invalid: quarantine # set bad rows aside with their reasons; `fail` refuses the batch",
        f"  max_invalid_fraction: {_allowed(invalid)} # {invalid:.2%} of the rows seen are bad; more than this refuses "
        "a batch",
        "",
        f"schema: schemas/{name}.yaml",
        "",
        "features:",
        f"  label: {scalar(label)} # {comment(found.target.why)}",
        *(f"  {role}: {scalar(each)} # {comment(_column(found, each).why)}" for role in ("time", "group")
          for each in found.names(role)),
        *_feature_lines(found, "categorical", "categorical"),
        *_feature_lines(found, "numeric", "numeric"),
        *_feature_lines(found, "known_after", "leak"),
        *_left_out(found),
        *_derivable(found),
        "",
        f"split: # {_split_reason(split_by, found.split_by)}",
        f"  by: {split_by}",
        "  validation: 0.15",
        f"  test: {TEST}",
        "",
        "train:",
        *_task_lines(found, base),
        "  rounds: 500",
        "  early_stopping_rounds: 20",
        "  params: { max_depth: 6, eta: 0.1 } # XGBoost's own names",
        "",
        *gate_lines(found.target, base, rows * TEST),
        "",
        "package:",
        f"  purpose: {scalar(_purpose(found))} # say it better",
        '  intended_use: "" # who may use it for which decision, and for which not',
        "  unknown_category: missing # or `reject`: a category that training never saw is a 4xx",
        "",
        "rollout: # how a new release takes over from the one that serves",
        "  traffic: replay # the flow itself sends rows; `live` waits for the requests of clients",
        "  shadow_seconds: 3",
        "  steps: [5, 25, 50]",
        "  step_seconds: 5",
        "  bake_seconds: 5",
        "  max_wait_seconds: 60",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def schema_text(name: str, found: Inferred) -> str:
    """configs/schemas/NAME.yaml."""
    lines = [
        f"# What a row of {name} must be: a pandera schema, read strictly. Written by `penstock new`, yours to change:",
        '# in_range: { min_value: 0, max_value: 100 }, isin: [a, b], unique: true, str_matches: "^[A-Z]{2}$".',
        "schema_type: polars_dataframe",
        "strict: true # a column that is not named here refuses the batch",
        "columns:",
    ]
    for column in found.columns:
        parts = [f"dtype: {scalar(column.values.dtype)}"] + (["nullable: true"] if column.nullable else [])
        said = f"`{column.there}` there; " if column.there != column.name else ""
        lines.append(f"  {scalar(column.name)}: {{ {', '.join(parts)} }} # {comment(said + column.why)}")
    return "\n".join([*lines, ""])


def _source_lines(source: SourceConfig) -> list[str]:
    if source.call:
        return [f"  source: {scalar(source.call)} # a function that returns batches of rows"]
    lines = ["  source: # how rows are read, now and from now on"]
    whats = {
        "files": "each file is a batch; one that is in the dataset already is not read again",
        "encoding": "", "separator": "", "header": "the columns have no names there",
        "missing": "words for a missing value, besides a blank", "decimal": "", "thousands": "1{}234 is 1234",
    }  # fmt: skip
    tree = source.model_dump(exclude_defaults=True)
    if source.sql:
        lines.append("    sql:")
        for key, value in source.sql.model_dump(exclude_none=True).items():
            said = {"url_env": " # the environment variable that has the URL; it is never written down",
                    "url_block": " # the Prefect Secret block that has the URL",
                    "watermark": " # rows above the highest that was read are new"}.get(key, "")  # fmt: skip
            lines.append(f"      {key}: {scalar(value)}{said}")
    for key in ("files", "format", "encoding", "separator", "header", "missing", "decimal", "thousands"):
        if key in tree:
            said = whats.get(key, "").format(source.thousands)
            lines.append(f"    {key}: {scalar(tree[key])}" + (f" # {said}" if said else ""))
    for key, said in (
        ("rename", "what columns are called there: and here"),
        ("dates", "the formats of times, tried in this order"),
        ("booleans", "the words of truth values, without regard to case"),
    ):
        if key in tree:
            lines.append(f"    {key}: # {said}")
            lines += [f"      {scalar(name)}: {scalar(value)}" for name, value in tree[key].items()]
    if "ignore" in tree:
        lines.append(f"    ignore: {scalar(tree['ignore'])} # not read at all")
    return lines


def _feature_lines(found: Inferred, key: str, role: str) -> list[str]:
    names = found.names(role)
    if not names:
        return []
    said = " # tell the target too well: known only afterwards? if not, move them to the features"
    lines = [f"  {key}:{said if role == 'leak' else ''}"]
    for name in names:
        column = _column(found, name)
        lines.append(
            f"    - {scalar(name)} # {comment(column.why + (f'. CHECK: {column.check}' if column.check else ''))}"
        )
    return lines


def _left_out(found: Inferred) -> list[str]:
    columns = [column for column in found.columns if column.role in ("id", "left out")]
    if not columns:
        return []
    return ["  # kept in the data, but no features:"] + [
        f"  #   {comment(column.name)}: {comment(column.why)}" for column in columns
    ]


def _derivable(found: Inferred) -> list[str]:
    """What could be computed of columns that are no features: commented out, because only a person knows its use."""
    lines = []
    for column in found.columns:
        kind = column.values.dtype.partition("(")[0]
        if column.role in ("time", "left out") and kind == "Datetime":
            lines += [f"{scalar(f'{column.name}_{part}')}: {{ part: {part}, of: {scalar(column.name)} }}"
                      for part in ("month", "weekday", "hour")]  # fmt: skip
        elif column.role == "left out" and column.why.startswith("high cardinality"):
            lines.append(f"{scalar(f'{column.name}_top')}: {{ group: {scalar(column.name)}, top: 50 }}")
    said = "  # derive: # features computed from columns, for you to choose: see docs/features.md"
    return [said, *(f"  #   {line}" for line in lines)] if lines else []


def _purpose(found: Inferred) -> str:
    return {
        "binary": f"Says how likely it is that {found.label} is {found.target.positive}.",
        "multiclass": f"Says which {found.label} a row has.",
        "regression": f"Says how large {found.label} will be.",
    }[found.target.task]


def _task_lines(found: Inferred, base: Baseline | None) -> list[str]:
    target = found.target
    lines = [f"  task: {target.task} # {comment(target.why)}"]
    if base is not None and base.objective:
        lines.append(f"  objective: {base.objective} # counts; a quick model by it was as good, and none is below 0")
    if target.imbalanced:
        lines.append("  # class_weights: balanced # rare classes count more; probabilities are then no shares of rows")
    return lines


def _split_reason(split_by: str, wanted: str) -> str:
    lacks = f"; by {wanted}, a part would lack a class" if split_by != wanted else ""
    return {
        "time": "the last rows judge, those before them choose: as it will be when it serves",
        "group": "rows of one group are never in two splits",
        "random": "at random",
    }.get(split_by, "at random, with the same share of each class") + lacks


def _allowed(invalid: float) -> float:
    """Half as much again as was seen, at least one in a hundred."""
    return max(0.01, min(1.0, math.ceil(invalid * 150) / 100))


def _column(found: Inferred, name: str) -> Column:
    return next(column for column in found.columns if column.name == name)
