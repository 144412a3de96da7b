"""A checkout of its own for each test, and one Prefect server for all of them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings as hypothesis_settings

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = REPOSITORY / "tests" / "tiny"

# examples are drawn from a fixed seed: a run that fails, fails again
hypothesis_settings.register_profile("penstock", deadline=None, derandomize=True, database=None)
hypothesis_settings.load_profile("penstock")

OTHERS = ("PENSTOCK_", "PREFECT_", "AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_HOST")
for name in [name for name in os.environ if name.startswith(OTHERS)]:
    del os.environ[name]  # whatever the developer's shell says
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every process the tests start would compile everything anew
sys.path.insert(0, str(REPOSITORY))

# Penstock waits for the disk at whatever it writes; in memory there is nothing to wait for
MEMORY, ROOM = Path("/dev/shm"), 4_000_000_000
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# whole files go to a worker: the long ones first, so that both end at the same time
LAST = ("tests/tasks", "tests/bentos", "tests/penstock")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order of what they cost: flows, tasks, services, values."""
    items.sort(key=lambda item: next((n for n, name in enumerate(LAST, 1) if item.nodeid.startswith(name)), 0))


@dataclass(frozen=True)
class Checkout:
    """A folder with the tiny project, its home, and ways to change both."""

    root: Path
    home: Path
    environment: dict[str, str]

    def change(self, **sections: Any) -> None:
        """Merge into configs/tiny.yaml; a value of None takes a key out."""
        path = self.root / "configs" / "tiny.yaml"
        tree = yaml.safe_load(path.read_text())
        _merge(tree, sections)
        path.write_text(yaml.safe_dump(tree, sort_keys=False))

    def source(self, **options: Any) -> None:
        """What the source yields from now on: see tiny_source.py."""
        (self.root / "tiny_source.json").write_text(json.dumps(options))

    def task(self, name: str, **sections: Any) -> None:
        """Make the label one of another task type; ``sections`` as in `change`."""
        self.source(task=name)
        schema = self.root / "configs" / "schemas" / "tiny.yaml"
        dtype = {"multiclass": "String", "regression": "Float64"}[name]
        schema.write_text(schema.read_text().replace("late: { dtype: Boolean }", f"late: {{ dtype: {dtype} }}"))
        bounds = {"multiclass": {"macro_f1": {"min": 0.5}}, "regression": {"r2": {"min": 0.5}}}[name]
        gate = {"metrics": {"auc": None, "log_loss": None, **bounds}}
        self.change(train={"task": name}, gate=gate)
        self.change(**sections)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command line, in a new process that goes on; what it says can be read meanwhile."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def penstock(self, *arguments: str, check: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command line, in a new process."""
        return self.python("-m", "flows.cli", *arguments, check=check, **environment)

    def python(self, *arguments: str, check: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, "PYTHONPATH": str(REPOSITORY), **environment},
            capture_output=True,
            text=True,
            check=check,
            timeout=600,
        )

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home for this process's settings."""
    from tasks.machine.settings import settings

    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PENSTOCK_ROOT", str(tmp_path))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Path]:
    """``once(name, make)``: a folder that ``make`` has filled, by whichever worker came first; the others wait."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], Any]) -> Path:
        folder, done = root / f"once-{name}", root / f"once-{name}.done"
        with (root / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker whose attempt failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def environments(once: Any) -> Path:
    """Serving environments, installed once for all tests."""
    return once("environments", lambda folder: None)


@pytest.fixture(scope="session")
def releases(once: Any, environments: Path) -> Any:
    """A checkout with tiny-v1 and tiny-v2, trained once. Nothing of it runs: tests take copies."""
    from benchmarks.tiny import Tiny, trained

    return Tiny(once("releases", lambda folder: trained(folder / "checkout", environments)) / "checkout")


@pytest.fixture(scope="module")
def tiny(releases: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A copy for all tests of a module, which serve from it; this process's settings point there."""
    from benchmarks.tiny import within

    with within(releases.copy(tmp_path_factory.mktemp("tiny") / "checkout")) as found:
        yield found


@pytest.fixture(scope="session")
def template(once: Any) -> Path:
    """What a home has in it after a first command, which would take each test seconds to make again.

    MLflow's database, migrated; and what is remembered of our own source files, see tasks/store/source.py.
    """
    return once("template", _make_template)


@pytest.fixture
def released(live: Checkout, once: Any, environments: Path, template: Path) -> Checkout:
    """`live` with tiny-v1, as `ingest` and `train` leave it: trained once for all tests."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, new_checkout(folder, environments, template, patch) as first:
            for command in (["ingest", "tiny", "--until", "b3"], ["train", "tiny"]):
                done = first.penstock(*command, PREFECT_API_URL=live.environment["PREFECT_API_URL"])
                assert done.returncode == 0, done.stderr

    made = once("released", make) / "checkout"
    shutil.rmtree(live.root)
    shutil.copytree(made, live.root, symlinks=True)
    os.chdir(live.root)
    return live


def _make_template(home: Path) -> None:
    (home / "mlflow").mkdir()
    mlflow = f"import mlflow; mlflow.set_tracking_uri('sqlite:///{home}/mlflow/mlflow.db'); mlflow.search_experiments()"
    memory = (
        "from tasks.store import source\nfrom tasks.training import lineage\nlineage.environment_hash()\n"
        "for folder in ('tasks', 'flows'):\n"
        "    for path in (source.CODE / folder).rglob('*.py'):\n"
        "        source.closure('.'.join(path.relative_to(source.CODE).with_suffix('').parts))"
    )
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    environment |= {"PENSTOCK_HOME": str(home), "PENSTOCK_ROOT": str(home), "PYTHONPATH": str(REPOSITORY)}
    for code in (mlflow, memory):
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)


@pytest.fixture
def checkout(tmp_path: Path, environments: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """The tiny project in a folder of its own; this process's settings point there."""
    with new_checkout(tmp_path, environments, template, monkeypatch) as made:
        yield made


@contextlib.contextmanager
def new_checkout(folder: Path, environments: Path, template: Path, patch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """``checkout`` for fixtures that live longer than one test."""
    from tasks.machine.settings import settings

    root = folder / "checkout"
    shutil.copytree(TINY, root, ignore=shutil.ignore_patterns("__pycache__"))
    home = root / ".penstock"
    shutil.copytree(template, home)
    (home / "environments").symlink_to(environments)
    variables = {"PENSTOCK_ROOT": str(root), "PENSTOCK_HOME": str(home), "PENSTOCK_THREADS": "2"}
    variables |= {"PENSTOCK_PRODUCTION_PORT": "0", "PENSTOCK_STAGING_PORT": "0"}  # any free one
    for name, value in variables.items():
        patch.setenv(name, value)
    patch.chdir(root)
    path = list(sys.path)
    settings.cache_clear()
    yield Checkout(root, home, variables)
    settings.cache_clear()
    sys.path[:] = path
    sys.modules.pop("tiny_source", None)


def _merge(tree: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            tree.pop(key, None)
        elif isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one real Prefect server, started as Penstock starts it, for every test that runs a flow."""
    root = tmp_path_factory.mktemp("server")
    shutil.copytree(TINY, root, dirs_exist_ok=True)
    environment = {**os.environ, "PENSTOCK_ROOT": str(root), "PENSTOCK_HOME": str(root / ".penstock")}
    environment |= {"PYTHONPATH": str(REPOSITORY)}

    def ask(code: str) -> str:
        command = [sys.executable, "-c", f"from tasks.platform import platform; {code}"]
        return subprocess.run(
            command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    try:
        yield ask("print(platform.ensure_server())").splitlines()[-1]
    finally:
        if "prefect" in sys.modules:
            from prefect.events.worker import EventsWorker

            EventsWorker.drain_all(timeout=5)  # without it the client keeps asking for a server that is gone
        ask("platform.down()")


@pytest.fixture
def live(checkout: Checkout, prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """A checkout whose flows run against the session's Prefect server."""
    from tasks.machine.settings import settings

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    checkout.environment["PREFECT_API_URL"] = prefect_api
    settings.cache_clear()
    yield checkout
    if (checkout.home / "supervisor").is_dir():
        checkout.penstock("down")  # the worker that `run` leaves up


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Which commands of the docs were run, and which were not, and why."""
    told = [text for report in terminalreporter.getreports("passed") for name, text in report.user_properties
            if name == "docs" and report.when == "call"]  # fmt: skip
    if told:
        terminalreporter.section("commands of the docs")
        terminalreporter.write_line("\n".join(told))


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """A server of S3 with a bucket, for all tests; each uses a prefix of its own."""
    from tests.s3_server import s3_server

    with s3_server() as port:
        yield port


@pytest.fixture
def s3(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """The server's port, with this process's environment pointing to it."""
    from tests.s3_server import CREDENTIALS

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_port}")
    return s3_port


@pytest.fixture(scope="session")
def gcs_port() -> Iterator[int]:
    from tests.clouds import gcs_server

    with gcs_server() as port:
        yield port


@pytest.fixture(scope="session")
def azure_port() -> Iterator[int]:
    from tests.clouds import azurite

    with azurite() as port:
        yield port


@pytest.fixture(params=["s3", "gcs", "azure"])
def cloud(request: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each service of objects, with this process's environment pointing to its server: see tests/clouds.py."""
    from tests.clouds import Cloud

    found = Cloud(request.param, request.getfixturevalue(f"{request.param}_port"))
    for name, value in found.variables().items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def cloud_network(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Between this process and the service's server."""
    from tests.bad_network import bad_network

    with bad_network(cloud.port) as found:
        for name, value in cloud.variables(found.port).items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def network(s3: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Between this process and the server of S3: see tests/bad_network.py."""
    from tests.bad_network import bad_network

    with bad_network(s3) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        yield found


@pytest.fixture
def use_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Point `PENSTOCK_STORE` to an address."""
    from tasks.machine.settings import settings

    def use(url: str) -> None:
        monkeypatch.setenv("PENSTOCK_STORE", url)
        settings.cache_clear()

    return use


@pytest.fixture(params=["folder", "s3", "gcs", "azure"])
def store_of(request: Any, tmp_path: Path, use_store: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty shared store of each kind."""
    return empty_store(request, tmp_path, use_store, monkeypatch)


def empty_store(request: Any, tmp_path: Path, use_store: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty shared store of the kind `request.param`, which `PENSTOCK_STORE` names."""
    from tasks.store.objects import objects
    from tests.clouds import Cloud

    if request.param == "folder":
        (tmp_path / "mounted").mkdir()
        use_store(str(tmp_path / "mounted"))
        return objects()
    found = Cloud(request.param, request.getfixturevalue(f"{request.param}_port"))
    for name, value in found.variables().items():
        monkeypatch.setenv(name, value)
    use_store(found.url(tmp_path.name))
    return objects()
