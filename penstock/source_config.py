"""Where a project's rows come from, and how they are read: `data.source` of its YAML.

`penstock new` infers it once and writes it down; every later batch is read exactly so. No secret is ever part of it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from penstock.section import Section

CALL = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
SECRETS = ("password", "passwd", "pwd", "passphrase", "secret", "token", "signature", "credential", "apikey", "api_key")
EPOCHS = {"epoch s": 1_000_000, "epoch ms": 1_000}  # microseconds of one

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Format = Literal["csv", "parquet", "jsonl", "arrow"]


def has_secret(url: str) -> bool:
    """Whether ``url`` holds a password or what looks like one: anybody can read it in a file or an argument."""
    parts = urlsplit(url)
    names = [name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    odd = any(word in name for name in names for word in SECRETS) or "sig" in names or "odbc_connect" in names
    return odd or (":" in parts.netloc.rpartition("@")[0])


def _secret(step: str) -> PydanticCustomError:
    """An error of a type by which `penstock/yaml_errors.py` knows not to repeat what it found."""
    return PydanticCustomError("secret", f"the URL has a secret in it; take it out, change it, and {step}")  # type: ignore[arg-type]


class BooleanWords(Section):
    """The words of a column of truth values, without regard to case."""

    as_true: tuple[str, ...] = Field(min_length=1, description="What stands for True.")
    as_false: tuple[str, ...] = Field(min_length=1, description="What stands for False.")

    @model_validator(mode="after")
    def _check(self) -> BooleanWords:
        both = {word.lower() for word in self.as_true} & {word.lower() for word in self.as_false}
        if both:
            raise ValueError(f"stands for True and for False: {', '.join(sorted(both))}")
        return self


class SqlConfig(Section):
    """A query on a database that SQLAlchemy can reach. Exactly one of the three says where it is."""

    url: str | None = Field(default=None, description="A URL without any secret; PENSTOCK_SQL_PASSWORD has it.")
    url_env: Variable | None = Field(default=None, description="The environment variable that holds the whole URL.")
    url_block: str | None = Field(default=None, description="The Prefect Secret block that holds the whole URL.")
    query: str = Field(min_length=1, description="A SELECT, without a semicolon.")
    watermark: str | None = Field(
        default=None,
        description="A column that only grows, such as a time of change: rows above what was read last are new. The "
        "newest moment is left until a later one is there, as it may still be growing. Without: read once.",
    )

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str | None) -> str | None:
        if url and has_secret(url):
            raise _secret("use `url_env` or `url_block`")
        return url

    @field_validator("query")
    @classmethod
    def _one_select(cls, query: str) -> str:
        query = query.strip().removesuffix(";").strip()
        if ";" in re.sub(r"'[^']*'", "", query):
            raise ValueError("one SELECT, without a semicolon")
        return query

    @model_validator(mode="after")
    def _one_place(self) -> SqlConfig:
        if sum(place is not None for place in (self.url, self.url_env, self.url_block)) != 1:
            raise ValueError("give exactly one of `url`, `url_env` and `url_block`")
        return self


class SourceConfig(Section):
    """Exactly one of `call`, `files` and `sql` says where rows come from; `module:function` alone is short for `call`.

    Types are the schema's: a column that it calls Float64 is read as one. What cannot be read so makes its row invalid.
    """

    call: str | None = Field(default=None, description="A function of the checkout that returns batches.", pattern=CALL)
    files: str | None = Field(
        default=None,
        min_length=1,
        description="A path from the checkout, a glob, or a URL (s3, gs, abfs, http); gzip and zstd are recognised. "
        "Each file is a batch, known by its content.",
    )
    sql: SqlConfig | None = None
    format: Format | None = Field(default=None, description="Of the files.")
    separator: str = Field(default=",", min_length=1, max_length=1, description="Between the values of a CSV file.")
    quote: str = Field(default='"', min_length=1, max_length=1)
    encoding: str = Field(default="utf-8", pattern=r"^[A-Za-z0-9_-]+$", description="Of CSV and JSON files.")
    header: bool = Field(default=True, description="Without a header, columns are called `column 1`, `column 2`, ...")
    missing: tuple[str, ...] = Field(default=(), description="Words for a missing value; a blank always is one.")
    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", " ", "'"] | None = Field(default=None, description="Between groups of three digits.")
    rename: dict[str, str] = Field(
        default_factory=dict,
        description="What columns are called there, and here. A name that stands twice there is `x` and `x (2)`.",
    )
    ignore: tuple[str, ...] = Field(default=(), description="Columns, as they are called there, that are not read.")
    dates: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="For each column of times, its formats, tried in this order: those of strftime, `epoch s`, "
        "`epoch ms`. A time with a zone becomes UTC.",
    )
    booleans: dict[str, BooleanWords] = Field(
        default_factory=dict, description="The words of columns of truth values; left out: true, yes, 1 and the like."
    )
    batch_rows: int = Field(default=500_000, ge=1000, description="More rows than this are several batches.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, found: Any) -> Any:
        return {"call": found} if isinstance(found, str) else found

    @field_validator("files")
    @classmethod
    def _no_secret(cls, files: str | None) -> str | None:
        if files and has_secret(files):
            raise _secret("let the storage's own library read it from the environment")
        return files

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError(f"`{encoding}` is no encoding that Python knows") from None
        return encoding

    @model_validator(mode="after")
    def _check(self) -> SourceConfig:
        if sum(place is not None for place in (self.call, self.files, self.sql)) != 1:
            raise ValueError("give exactly one of `call`, `files` and `sql`")
        if (self.files is None) != (self.format is None):
            raise ValueError("`files` need a `format`, and only they have one")
        if self.thousands == self.decimal:
            raise ValueError(f"`{self.decimal}` cannot be both `decimal` and `thousands`")
        twice = sorted({name for name in self.rename.values() if list(self.rename.values()).count(name) > 1})
        if twice:
            raise ValueError(f"two columns are renamed to one: {', '.join(twice)}")
        return self

    def __str__(self) -> str:
        return self.call or self.files or "the database"

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Editors accept both the short form and the long."""
        long = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "pattern": CALL}, dict(long)], "description": long.get("description", "")}
