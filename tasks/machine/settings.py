"""Machine facts: where things are. Read from the environment (`PENSTOCK_*`), never from a project's YAML.

`settings()` also fixes what every process of Penstock needs in its environment before the libraries load.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from penstock.errors import ConfigError
from penstock.profile import Kind
from penstock.refs import Engine
from tasks.machine import environments, memory, store_endpoint

QUIET = {
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "true",  # BentoML honours the word only, not "1"
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",  # it tells of every migration of its database
    "DVC_NO_ANALYTICS": "true",
    "WHYLOGS_NO_ANALYTICS": "True",
    # else gcsfs asks over gRPC what kind each bucket is, which takes a right of its own and seconds where there is none
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # Arrow's own pool keeps what it was given: a train run of the flights peaks at 700 MB with it, at 510 without.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # libgomp spins while it waits: on a busy machine training costs up to ten times the CPU. Read when it loads.
    "OMP_WAIT_POLICY": "PASSIVE",
}


class Settings(BaseSettings):
    """One environment's addresses, of variables and its profile: `PENSTOCK_<FIELD>`; `shared` is `PENSTOCK_STORE`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", extra="ignore", frozen=True)

    env: str = Field(default="", description="The environment: `environments/NAME.env`; left out, development.")
    env_kind: Kind = Field(default="development", description="What kind it is, said by its profile.")
    confirm_env: str = Field(default="", description="The environment that a job means: as `--env NAME` of a person.")
    promote_from: str = Field(default="", description="Only what was healthy in this environment is deployed here.")
    work_pool: str = Field(
        default="",
        pattern=r"^[\w.@-]*$",
        description="The Prefect work pool; if not set `penstock`, and `penstock-NAME` in an environment.",
    )

    root: Path = Field(default=Path(), description="The checkout: the folder that holds `configs/` and `prefect.yaml`.")
    home: Path = Field(default=Path(), description="State of this machine; `.penstock/` in the checkout if not set.")
    remote: str = Field(default="", description="A DVC remote's URL, in place of the one in `.dvc/config`.")
    shared: str = Field(
        default="",
        validation_alias="PENSTOCK_STORE",
        description="What a team shares: files, task records and ledger, at `s3://`, `gs://`, `az://` or in a folder.",
    )
    cache_gb: float = Field(default=20, gt=0, description="The most that copies of the shared store's files may take.")
    mlflow_uri: str = Field(default="", description="MLflow tracking URI; SQLite under the home if not set.")
    threads: int = Field(default=0, ge=0, description="Threads that training may use; 0: all this process may run on.")

    dask: str = Field(
        default="",
        description="A Dask scheduler, as tcp://host:8786: its workers do what is heavy; not set: this machine does.",
    )
    dask_shards: int = Field(
        default=2,
        ge=1,
        le=1024,
        description="How many workers train one model together, each on its share of the rows; it changes the model.",
    )

    production_port: int = Field(
        default=8700, ge=0, le=65535, description="Where production is reached, on 127.0.0.1; another if it is taken."
    )
    staging_port: int = Field(default=8701, ge=0, le=65535, description="Where staging is reached, on 127.0.0.1.")
    workers: int = Field(default=2, ge=1, le=64, description="Processes that serve one release.")
    worker_memory_mb: int = Field(default=2048, ge=256, description="The most that one of them may allocate.")
    approval: Literal["auto", "manual"] = Field(
        default="auto", description="`manual`: no release reaches production here before `penstock approve`."
    )
    target: Literal["local", "gitops"] = Field(
        default="local", description="Where releases are deployed: on this machine, or by commits that Argo CD follows."
    )
    manifests: Path = Field(default=Path(), description="`gitops`: a git checkout with the manifests.")
    manifests_path: Path = Field(
        default=Path("deploy/kubernetes/releases/production"),
        description="`gitops`: the folder in it that has one for each project; its name is the environment's.",
    )
    manifests_remote: str = Field(
        default="", description="`gitops`: the git remote to push to; none: nothing is pushed."
    )
    kubernetes_api: str = Field(
        default="", description="`gitops`: the API's address (`kubectl proxy`); in a pod of the cluster it is known."
    )

    @property
    def environment(self) -> str:
        """The environment as the ledger names it: "" for development."""
        return "" if self.env == environments.DEVELOPMENT else self.env

    @property
    def store(self) -> Path:
        return self.home / "store"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def ledger(self) -> Path:
        """The ledger's files; of a shared ledger, the copies of what this machine has seen of it."""
        return (self.copies if self.shared else self.home) / "ledger"

    @property
    def copies(self) -> Path:
        """What is known here of the shared store; another store at another address is another folder."""
        place = f"{store_endpoint.endpoint(self.shared)} {self.shared}"
        return self.home / "shared" / hashlib.sha256(place.encode()).hexdigest()[:12]

    @property
    def predictions(self) -> Path:
        """The prediction log: a folder for each project, in it one for each release."""
        return self.home / "predictions"

    @property
    def prefect_home(self) -> Path:
        return self.home / "prefect"

    @property
    def cpus(self) -> int:
        return self.threads or len(os.sched_getaffinity(0))

    @property
    def engine(self) -> Engine | None:
        """What trains models, where it is not this process alone."""
        return Engine(shards=self.dask_shards) if self.dask else None


def of_shared_store() -> dict[str, str]:
    """Where the shared store is, for a program that is kept alive: what its keeper was started with is older.

    No secrets: those are in the environment of whoever started supervisord, or in the service's own files.
    """
    shared, names = settings().shared, store_endpoint.OPEN
    return {"PENSTOCK_STORE": shared} | {name: os.environ[name] for name in names if shared and name in os.environ}


@lru_cache
def settings() -> Settings:
    """This process's settings, with `root` and `home` made absolute. Raises ConfigError outside a checkout."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    memory.share_heaps()
    place = Path(os.environ.get("PENSTOCK_ROOT", ""))
    root = place.resolve() if place != Path() else _checkout(Path.cwd())
    environments.enter(root, variables())
    try:
        given = Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "PENSTOCK_" + str(first["loc"][0]).upper().removeprefix("PENSTOCK_")
        raise ConfigError(
            f"The environment variable {name} is not right: {first['msg']}.", found=repr(first["input"])
        ) from None
    _require_no_credentials(given.shared)
    own = root / ".penstock"
    if given.environment:
        own = own / "env" / given.env  # what serves there is no business of what serves here
    home = given.home.resolve() if given.home != Path() else own
    return given.model_copy(update={"root": root, "home": home})


def _require_no_credentials(address: str) -> None:
    """Raise ConfigError, which does not show them, if the shared store's address has credentials in it.

    A secret may have a `/` in it, so that what is before an `@` need not look like the part before a host. Azure's
    addresses may name `container@account`; a query (`?sig=...`) has no place in any.
    """
    scheme, _, rest = address.partition("://")
    before, at, _ = rest.rpartition("@")
    if "?" in rest or (at and (":" in before or ("/" not in before and scheme not in store_endpoint.OF_ACCOUNTS))):
        raise ConfigError(
            "The shared store's address has credentials in it.",
            where="PENSTOCK_STORE",
            found=f"{scheme}://...",
            allowed="s3://bucket/prefix, gs://..., az://..., or the absolute path of a folder",
            next_step="leave them out; the service's own variables and files have them: docs/team.md",
        )


def variables() -> set[str]:
    """The names of the variables that `Settings` reads."""
    fields = Settings.model_fields.items()
    return {str(field.validation_alias or f"PENSTOCK_{name.upper()}") for name, field in fields}


def _checkout(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / "prefect.yaml").is_file() and (folder / "configs").is_dir():
            return folder
    raise ConfigError(
        "This is not a Penstock checkout.",
        where=str(start),
        allowed="a folder that holds `configs/` and `prefect.yaml`, or one below it",
        next_step="cd to the checkout, or set PENSTOCK_ROOT",
    )
