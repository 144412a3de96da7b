"""The servers of `benchmarks/serve.py`: started, awaited, stopped."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from uv import find_uv_bin

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE = 90.0  # seconds until a server has to be ready


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    process: subprocess.Popen[bytes]
    ready: float


@contextlib.contextmanager
def ours(scratch: Path, bento: Path, python: Path, log: bool) -> Iterator[Server]:
    """As production starts it: the launcher, with a listening socket as its standard input."""
    name = f"penstock, {'log on' if log else 'log off'}"
    state = scratch / name.replace(", ", "-").replace(" ", "-")
    (state / "metrics").mkdir(parents=True)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(state),
        "BENTOML_HOME": str(state / "bentoml"),
        "PROMETHEUS_MULTIPROC_DIR": str(state / "metrics"),
        "BENTOML_DO_NOT_TRACK": "true",
        "OMP_WAIT_POLICY": "PASSIVE",
    } | ({"PENSTOCK_LOG_DIR": str(state / "flights" / "flights-v1")} if log else {})
    command = [str(python), "-I", str(bento / "src" / "bentos" / "launch.py"), str(bento)]
    with listener:
        port = listener.getsockname()[1]
        with _running(name, command, port, "/readyz", state, environment, listener.fileno()) as server:
            yield server


@contextlib.contextmanager
def fastapi(scratch: Path, model: Path) -> Iterator[Server]:
    """In an environment of its own: the serving environment's versions, and FastAPI."""
    folder = scratch / "fastapi"
    uv, requirements = find_uv_bin(), str(REPOSITORY / "bentos" / "requirements.txt")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = str(folder / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--no-config", "--compile-bytecode", "--python", python]
    subprocess.run([*install, "--require-hashes", "-r", requirements], check=True)
    subprocess.run([*install, "fastapi>=0.139,<0.143"], check=True)
    port = _free_port()
    command = [python, str(REPOSITORY / "benchmarks" / "serve_fastapi.py"), str(model), str(port)]
    with _running("FastAPI", command, port, "/openapi.json", scratch, dict(os.environ)) as server:
        yield server


@contextlib.contextmanager
def mlflow(scratch: Path, model: Path) -> Iterator[Server]:
    saved = scratch / "pyfunc"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    save = [sys.executable, str(REPOSITORY / "benchmarks" / "serve_mlflow.py"), str(model), str(saved)]
    subprocess.run(save, check=True, capture_output=True, env=environment)
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(saved), "-p", str(port), "-h", "127.0.0.1"]
    command += ["--env-manager", "local", "--workers", "1"]
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with _running("mlflow models serve", command, port, "/ping", scratch, environment) as server:
        yield server


def cpu_seconds(root: int) -> float:
    """User and system time so far of a process and all below it."""
    top = psutil.Process(root)
    times = [process.cpu_times() for process in [top, *top.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


@contextlib.contextmanager
def _running(
    name: str,
    command: list[str],
    port: int,
    path: str,
    state: Path,
    environment: dict[str, str],
    stdin: int | None = None,
) -> Iterator[Server]:
    began = time.monotonic()
    log = state / f"{name.partition(' ')[0].strip(',')}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=state, env=environment, stdin=stdin, stdout=sink, stderr=sink, start_new_session=True
        )
        try:
            while not _answers(f"http://127.0.0.1:{port}{path}"):
                if process.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise SystemExit(f"{name} does not start:\n{log.read_text(errors='replace')[-3000:]}")
                time.sleep(0.02)
            yield Server(name, port, process, time.monotonic() - began)
        finally:
            processes = [process, *_children(process.pid)]
            for one in processes:
                with contextlib.suppress(psutil.Error, OSError):
                    one.terminate()
            process.wait(40)


def _children(root: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(root).children(recursive=True)
    return []


def _answers(address: str) -> bool:
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(address, timeout=2).status == 200
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
