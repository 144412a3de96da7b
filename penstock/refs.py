"""What tasks hand to one another instead of data: small, frozen, hashable, named by content."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """A frozen value that knows its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRef(Value):
    """One file in the store. ``name`` is for people and for the suffix; ``sha256`` is what it is."""

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int

    def cache_token(self) -> Any:
        return self.sha256

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"


class DataFile(Value):
    """One file of a dataset as DVC names it: path inside the dataset, MD5, bytes."""

    path: str
    md5: str
    size: int


class Dataset(Value):
    """A dataset version: DVC's own hash of the dataset's directory, and the files it lists."""

    path: str
    version: str
    files: tuple[DataFile, ...]

    def cache_token(self) -> Any:
        return self.version

    def __str__(self) -> str:
        return f"{self.path}@{self.version[:8]} ({len(self.files)} files)"


class Engine(Value):
    """What trained a model that one process did not: workers of a cluster together, each on one of the ``shards``."""

    name: Literal["dask"] = "dask"
    shards: int

    def __str__(self) -> str:
        return f"Dask, {self.shards} shard{'s' * (self.shards != 1)}"


class Checked(Value):
    """A dataset that has been validated: where the report is, and which rows training leaves out."""

    report: FileRef
    excluded: FileRef | None
    rows: int
    invalid: int

    def cache_token(self) -> Any:
        return self.excluded.sha256 if self.excluded else "no row excluded"

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.invalid:,} invalid"


class Splits(Value):
    """Training, validation and test rows (Parquet: features, label, slice columns), and what is known of them.

    ``classes``: those of a multiclass label, in the order in which models number them.
    """

    train: FileRef
    validation: FileRef
    test: FileRef
    categories: FileRef
    summary: FileRef
    rows: tuple[int, int, int]
    classes: tuple[str, ...] = ()

    def cache_token(self) -> Any:
        return [self.train.sha256, self.validation.sha256, self.test.sha256, self.categories.sha256]

    def __str__(self) -> str:
        return "train {:,}, validation {:,}, test {:,} rows".format(*self.rows)


class Model(Value):
    """A trained booster (UBJ) and its learning curve (JSON)."""

    booster: FileRef
    history: FileRef
    best_iteration: int
    rounds: int
    trees_a_round: int = 1

    @property
    def trees(self) -> int:
        return (self.best_iteration + 1) * self.trees_a_round

    def cache_token(self) -> Any:
        return self.booster.sha256

    def __str__(self) -> str:
        return f"{self.trees} trees, {self.booster.size / 1e6:.1f} MB, {self.booster.sha256[:12]}"


class Evaluation(Value):
    """A model scored on the test split: metrics (JSON), curves (JSON), predictions (Parquet: see
    `penstock.judge.Judge.columns`)."""

    model: str
    metrics: FileRef
    curves: FileRef
    predictions: FileRef
    headline: str

    def cache_token(self) -> Any:
        return [self.model, self.metrics.sha256]

    def __str__(self) -> str:
        return self.headline


class Profiles(Value):
    """A whylogs profile of each split, and their summaries (JSON)."""

    train: FileRef
    validation: FileRef
    test: FileRef
    summary: FileRef

    def __str__(self) -> str:
        return f"3 profiles, {(self.train.size + self.validation.size + self.test.size) / 1e6:.1f} MB"


class Package(Value):
    """A Bento exported as a tar; ``digest`` is a hash over its sorted contents, which the tar's bytes are not.

    ``sbom``: CycloneDX JSON, which the Bento carries too; None in records from before there was one.
    """

    bento: FileRef
    tag: str
    digest: str
    schema_spec: FileRef
    sbom: FileRef | None = None

    def __str__(self) -> str:
        return f"{self.tag}, {self.bento.size / 1e6:.1f} MB"


class InfraCheck(Value):
    """What the packaged model answered in a real server."""

    rows: int
    max_difference: float
    ready_seconds: float
    rejected_status: int

    def __str__(self) -> str:
        ready = f"ready in {self.ready_seconds:.1f} s"
        return f"{self.rows} predictions exact, bad request got {self.rejected_status}, {ready}"
