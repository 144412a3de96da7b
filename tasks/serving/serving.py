"""What serves on this machine: `<home>/serving/desired.json` says it, and everything else is derived from that file.

`change()` edits the file and makes Envoy follow; `converge()` can be run at any time, after any crash. Nothing here
needs Prefect. Every function may be called by several processes: the file changes under the lock `serving`.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from penstock import gateway
from penstock.desired import ENVIRONMENTS, Desired, Server, unused, used, with_server, without_servers
from penstock.errors import PenstockError, StorageError
from tasks.machine import environments
from tasks.machine.settings import of_shared_store, settings
from tasks.platform import ports, sockets, supervision
from tasks.platform.programs import OWNER, Program, is_written
from tasks.serving import envoy, gateway_files, release_server
from tasks.store import locks, store
from tasks.store.source import CODE

DRAIN_SECONDS = 10.0


def read() -> Desired:
    """What is desired; nothing yet is a Desired without servers. Raises StorageError if the file is damaged."""
    try:
        return Desired.model_validate_json(_file().read_bytes())
    except FileNotFoundError:
        return Desired()
    except (OSError, ValidationError) as error:
        raise StorageError(
            "The file that says what serves cannot be read.",
            where=str(_file()),
            found=str(error).splitlines()[0],
            next_step="put it back from a backup; without it, `penstock deploy` starts from nothing",
        ) from None


@contextlib.contextmanager
def kept(version: str) -> Iterator[None]:
    """Nobody retires the servers of ``version`` while the block runs: they start, and no route names them yet."""
    with locks.shared(f"server-{version}"):
        yield


def start(server: Server) -> None:
    """Have a release's processes run, without sending them anything. Returns when they are started, not ready.

    Raises what `release_server.program` raises if they cannot be. Others that cannot are left as they are.
    """
    with store.readable_errors(settings().home):
        sockets.prepare()
    own = release_server.program(server)
    with locks.exclusive("serving"):
        desired = read()
        if desired.servers.get(server.version) != server:
            desired = _saved(with_server(desired, server))
        _run_programs(desired, own)


def change(edit: Callable[[Desired], Desired], insist: bool = False) -> Desired:
    """Change who answers, and return when every Envoy has it. The servers of the new routes are ready already.

    Raises PlatformError if an Envoy does not take it, StorageError if a file cannot be written; then what was desired
    before is desired again, unless it is to ``insist``: then the warden goes on trying, because what was before must
    not be gone back to.
    """
    with locks.exclusive("serving"):
        before = read()
        after = edit(before)
        if after == before:
            _route(before)
            return before
        after = after.model_copy(update={"revision": before.revision + 1})
        back = before.model_copy(update={"revision": before.revision + 2})
        with contextlib.ExitStack() as stack:
            if not insist:
                stack.enter_context(_taken_back(back))
            _write(_file(), after)
            _route(after)
        return after


@contextlib.contextmanager
def _taken_back(back: Desired) -> Iterator[None]:
    """``back`` is desired again if the block raises. It is written before: a full disk has room for a rename only."""
    draft = _folder() / "back.json"
    try:
        _write(draft, back)
        try:
            with store.readable_errors(_folder()):
                yield
        except PenstockError as error:
            _put_back(draft, error)
            with contextlib.suppress(PenstockError, OSError):
                _route(back)
            raise
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _put_back(draft: Path, why: PenstockError) -> None:
    try:
        draft.rename(_file())
    except OSError as error:
        raise StorageError(
            f"{why.what} And that change could not be taken back: {error.strerror}.",
            where=str(_file()),
            found=why.found,
            next_step="mend that, then `penstock up`: it makes the change, as it is desired still",
        ) from why
    with contextlib.suppress(OSError):
        store.sync_folder(_folder())


def retire(project: str, keep: str = "") -> list[str]:
    """Drain and stop the servers of a project that no route names, but ``keep``; returns their versions."""
    gone = sorted(unused(read(), project) - {keep})
    end = time.monotonic() + DRAIN_SECONDS
    while gone and time.monotonic() < end and any(envoy.active_requests(version) for version in gone):
        time.sleep(0.05)
    return [version for version in gone if _stopped(project, version)]


def _stopped(project: str, version: str) -> bool:
    """Stop a release's servers, unless they are wanted meanwhile: a route names them, or somebody starts them."""
    with locks.tried(f"server-{version}") as free:
        if not free:
            return False
        with locks.exclusive("serving"):
            desired = read()
            if version not in unused(desired, project):
                return False
            desired = _saved(without_servers(desired, {version}))
            _deliver_clusters(desired, desired.servers.keys() & gateway_files.clusters().keys())
        with locks.exclusive("platform"):
            supervision.remove(version)
        return True


def converge() -> list[str]:
    """Make what runs what is desired: start what is missing, stop what is not, and wait until champions answer.

    Returns the versions that do not become ready. Can be run at any time.
    """
    with locks.exclusive("serving"):
        desired = read()
        if not desired.servers:
            return []
        _run_programs(desired)
    late = [version for version in sorted(used(desired)) if not release_server.becomes_ready(version)]
    change(lambda found: found)
    _stop_strays()
    if not late and envoy.all_live():
        envoy.drain_others()
        supervision.end_orphans()
        sockets.remove_others(supervision.run_id())
    return late


def _stop_strays() -> None:
    """Stop the releases that run and are not desired. As of now: others change what is while we wait."""
    with locks.exclusive("serving"):
        for name in supervision.groups() - read().servers.keys():
            if re.fullmatch(r".+-v\d+", name):
                with locks.exclusive("platform"):
                    supervision.remove(name)


def expose() -> str:
    """Have metrics be served, also before anything else is; returns their address."""
    with store.readable_errors(settings().home), locks.exclusive("serving"), locks.exclusive("platform"):
        desired = _with_ports(read())
        _folder().mkdir(parents=True, exist_ok=True)
        supervision.add(_metrics())
    return f"http://127.0.0.1:{desired.ports.metrics}"


def address(environment: str = "production") -> str:
    """Where the gateway listens, or "" if nothing was ever deployed."""
    port = getattr(read().ports, environment)
    return f"http://127.0.0.1:{port}" if port else ""


def _saved(desired: Desired) -> Desired:
    saved = desired.model_copy(update={"revision": desired.revision + 1})
    _write(_file(), saved)
    return saved


def _write(path: Path, desired: Desired) -> None:
    with store.readable_errors(path):
        _folder().mkdir(parents=True, exist_ok=True)
        store.write_atomic(path, desired.model_dump_json(indent=1).encode())


def _run_programs(desired: Desired, *own: Program) -> None:
    """Envoy's files and supervisor's programs for all that is desired. What runs already goes on untouched."""
    with store.readable_errors(settings().home), locks.exclusive("platform"):
        sockets.prepare()
        servers = {program.name: program for program in own}
        for version in desired.servers.keys() - servers.keys():
            with contextlib.suppress(PenstockError):  # a damaged one keeps no other from serving
                servers[version] = release_server.program(desired.servers[version])
        runs = ports.ours(desired.ports)
        desired = _run_gateway(desired, *servers.values(), _beside("warden", "tasks.rollout.warden"), _metrics())
        while not runs and not ports.alone(desired.ports):
            for name in envoy.NAMES:
                supervision.remove(name)
            desired = _run_gateway(desired)


def _run_gateway(desired: Desired, *others: Program) -> Desired:
    desired = _with_ports(desired)
    gateway_files.bootstrap(desired.ports)
    known = gateway_files.clusters().keys() & desired.servers.keys()
    # after a power cut: with the old sockets, an Envoy that is up before the servers would refuse every request
    programs = gateway_files.programs()
    late = [found for found in programs if supervision.running() and _is_to_be_replaced(found)]
    ready = [found for found in programs if found not in late]
    supervision.add(*others, *ready, starting=lambda: _deliver_clusters(desired, known))
    for program in late:  # after an upgrade: the other one answers meanwhile
        number = envoy.NAMES.index(program.name)
        envoy.drain(number)
        supervision.add(program)
        envoy.is_live(number)
    return desired


def _is_to_be_replaced(program: Program) -> bool:
    return supervision.has(program.name) and not is_written(program)


def _with_ports(desired: Desired) -> Desired:
    chosen = ports.chosen(desired.ports)
    return desired if chosen == desired.ports else _saved(desired.model_copy(update={"ports": chosen}))


def _route(desired: Desired) -> None:
    """Clusters of old and new first, then the routes: none ever names a cluster that is not there."""
    needed, known = used(desired), gateway_files.clusters().keys()
    _deliver_clusters(desired, needed | (known & desired.servers.keys()))
    envoy.wait_healthy({version for version in needed - known if supervision.has(version)})
    for environment in ENVIRONMENTS:
        revision = str(desired.revision)
        gateway_files.deliver(environment, [gateway.routes(desired, environment, revision)], revision)


def _deliver_clusters(desired: Desired, versions: set[str]) -> None:
    paths = {version: str(release_server.socket_of(version)) for version in versions}
    for version, path in gateway_files.clusters().items():
        # after supervisord was killed, servers of before go on at another socket until the new ones are ready
        if version in versions and path != paths[version] and sockets.listening(Path(path)):
            paths[version] = paths[version] if release_server.is_ready(version) else path
    found = gateway.clusters(paths)
    gateway_files.deliver("clusters", found, f"{desired.revision}.{supervision.run_id()}.{len(found)}")


def _metrics() -> Program:
    """Like the gateway it is known for ours by its environment (`ports.alone`), but it ends with supervisord."""
    program = _beside(ports.METRICS, "tasks.monitoring.metrics_server")
    return program.model_copy(update={"environment": program.environment | {OWNER: str(settings().home)}})


def _beside(name: str, module: str) -> Program:
    """A program of ours that runs beside what serves."""
    home = settings()
    environment = {"PENSTOCK_ROOT": str(home.root), "PENSTOCK_HOME": str(home.home), "PYTHONPATH": str(CODE)}
    # a warden that was started otherwise would tell another ledger, or of another environment
    environment |= of_shared_store() | environments.inherited()
    command = (sys.executable, "-m", module)
    return Program(name=name, command=command, environment=environment, directory=_folder())


def _file() -> Path:
    return _folder() / "desired.json"


def _folder() -> Path:
    return settings().home / "serving"
