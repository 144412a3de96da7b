"""What serves follows from desired.json, again and again, whatever is damaged, taken or full."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import psutil
import pytest

from benchmarks.rollout_check import settled
from benchmarks.rollout_load import load
from benchmarks.tiny import bodies, serves
from penstock import envoy_bootstrap, gateway
from penstock.desired import Desired, Route, with_route
from penstock.errors import PlatformError, StorageError
from tasks.data.project import load_project
from tasks.packaging.model_server import bentoml_environment
from tasks.platform import platform, ports, supervision
from tasks.registry.releases import packaged, server_of
from tasks.rollout.rollback import answering
from tasks.serving import envoy, release_server, serving
from tasks.store import locks, store
from tests.waiting import until


def files(home: Path) -> dict[str, tuple[int, int]]:
    """Every file of the serving state, with what changes when it is written."""
    found = {}
    for folder in ("serving", "supervisor"):
        for path in (home / folder).rglob("*"):
            if path.is_file() and "metrics" not in path.parts:
                found[str(path)] = (path.stat().st_mtime_ns, path.stat().st_ino)
    return found


def pids() -> dict[str, int]:
    return {name: found["pid"] for name, found in supervision.processes().items()}


def second() -> None:
    """Start tiny-v2's servers, as a deploy does."""
    serving.start(server_of(packaged("tiny", "tiny-v2"), load_project("tiny").serve))


def to_second(desired: Desired) -> Desired:
    return with_route(desired, "production", "tiny", Route(champion="tiny-v2"))


def test_converging_again_changes_no_file_and_restarts_nothing(tiny):
    serves("tiny-v1")
    assert settled("tiny") == []
    before = files(tiny.home), pids()
    assert serving.converge() == []
    tiny.python(
        "-c", "from tasks.serving import serving; serving.converge()"
    )  # also by who has read everything from files
    assert (files(tiny.home), pids()) == before


def test_an_upgraded_gateway_is_replaced_one_envoy_at_a_time(tiny, monkeypatch):
    serves("tiny-v1")
    assert settled("tiny") == []
    before, bootstrap = pids(), envoy_bootstrap.bootstrap
    monkeypatch.setattr(
        envoy_bootstrap, "bootstrap", lambda *given: {**bootstrap(*given), "stats_flush_interval": "2s"}
    )
    with load(serving.address(), "tiny", bodies(), rate=100) as seen:
        assert serving.converge() == []
    assert seen.failed == []
    assert {name for name, pid in pids().items() if pid != before[name]} == set(envoy.NAMES)
    assert settled("tiny") == []


def test_a_model_server_gets_no_secret_of_the_platform(tiny, monkeypatch):
    """Supervisord hands its own environment on to whatever it starts."""
    platform.down()
    # of clouds, databases and alerts, and such as a project's YAML names itself: `sql.url_env`
    for name in ("AWS_SECRET_ACCESS_KEY", "PENSTOCK_SQL_PASSWORD", "PENSTOCK_ALERT_OPS", "SHOP_DATABASE"):
        monkeypatch.setenv(name, f"precious-{name}")
    monkeypatch.setenv("PENSTOCK_API_KEY", "asked-of-clients")
    serves("tiny-v1")
    servers = [found["pid"] for found in supervision.group("tiny-v1")]
    assert servers
    for pid in servers:
        seen = psutil.Process(pid).environ()
        assert "precious" not in "".join(seen.values())
        assert set(seen) <= {*release_server.FOR_MODELS, *bentoml_environment(tiny.home)} | {
            "PENSTOCK_RELEASE", "PENSTOCK_MEMORY_MB", "PENSTOCK_LOG", "PENSTOCK_LOG_DIR", "PENSTOCK_SERVICE",
        }  # fmt: skip
        assert seen["PENSTOCK_API_KEY"] == "asked-of-clients" and seen["PENSTOCK_RELEASE"] == "tiny-v1"
    monkeypatch.undo()
    platform.down()  # nobody else's supervisord has them
    serves("tiny-v1")


def test_ports_stay_through_down_and_up_and_give_way_to_strangers(tiny):
    serves("tiny-v1")
    before = serving.read().ports
    platform.down()
    assert serving.converge() == []
    assert serving.read().ports == before
    platform.down()
    with socket.create_server(("127.0.0.1", before.production)):
        assert serving.converge() == []
        assert serving.read().ports.production != before.production
        assert serving.read().ports.staging == before.staging
        assert settled("tiny") == []


def test_a_port_that_another_gateway_took_at_the_same_moment_is_not_shared(tiny, monkeypatch):
    serves("tiny-v1")
    platform.down()
    port, free = serving.read().ports.production, ports.free
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        looks = iter([port])  # it seemed to be free
        monkeypatch.setattr(
            ports, "free", lambda wanted, *given, **more: next(looks, None) or free(wanted, *given, **more)
        )
        assert serving.converge() == []
        assert serving.read().ports.production != port
        assert settled("tiny") == []


def test_a_damaged_file_is_told_with_its_place_and_touches_nothing(tiny):
    serves("tiny-v1")
    path, running = tiny.home / "serving" / "desired.json", pids()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        for broken in (serving.read, serving.converge, lambda: serving.change(to_second)):
            with pytest.raises(StorageError) as caught:
                broken()
            assert caught.value.where == str(path)
        with pytest.raises(RuntimeError, match="cannot be read") as said:
            tiny.penstock("status", "tiny")
        assert "Traceback" not in str(said.value)
        assert pids() == running
    finally:
        path.write_bytes(content)
    assert settled("tiny") == []


def test_a_configuration_that_envoy_refuses_leaves_everything_as_it_was(tiny, monkeypatch):
    serves("tiny-v1")
    with serving.kept("tiny-v2"), locks.exclusive("deploy-tiny"):
        second()
        assert release_server.becomes_ready("tiny-v2")
        before, routes = serving.read(), gateway.routes
        monkeypatch.setattr(
            gateway, "routes", lambda *given: {**routes(*given), "misspelt": 1} if _new(given) else routes(*given)
        )
        with pytest.raises(PlatformError, match="refused"):  # said so, and was not waited for in vain
            serving.change(to_second)
        assert serving.read().production == before.production
        assert answering("tiny") == "tiny-v1"
        monkeypatch.undo()
    assert settled("tiny") == []


def test_what_envoy_refused_is_given_to_it_again(tiny, monkeypatch):
    """What is insisted on stays desired; the file that has it is no sign that it is in force."""
    serves("tiny-v1")
    with serving.kept("tiny-v2"), locks.exclusive("deploy-tiny"):
        second()
        assert release_server.becomes_ready("tiny-v2")
        routes = gateway.routes
        monkeypatch.setattr(
            gateway, "routes", lambda *given: {**routes(*given), "misspelt": 1} if _new(given) else routes(*given)
        )
        with pytest.raises(PlatformError, match="refused"):
            serving.change(to_second, insist=True)
        for _ in range(2):
            with pytest.raises(PlatformError, match="refused"):
                serving.change(lambda desired: desired)
        assert answering("tiny") == "tiny-v1"
        monkeypatch.undo()
        serving.change(lambda desired: desired)
        assert answering("tiny") == "tiny-v2"
        serving.change(lambda desired: with_route(desired, "production", "tiny", Route(champion="tiny-v1")))
    assert settled("tiny") == []


def _new(given: tuple) -> bool:
    return given[0].production["tiny"].champion == "tiny-v2"


def test_a_damaged_package_keeps_only_its_own_release_from_serving(tiny):
    serves("tiny-v1")
    with serving.kept("tiny-v2"), locks.exclusive("deploy-tiny"):
        second()
        serving.change(lambda desired: with_route(desired, "staging", "tiny", Route(champion="tiny-v2")))
        platform.down()
        package = serving.read().servers["tiny-v2"].package
        tar, folder = store.locate(package.bento), release_server.unpacked(package)
        content = tar.read_bytes()
        tar.chmod(0o644)
        tar.write_bytes(b"not a tar")
        (folder / "bento.yaml").write_text("not the one that was packaged")
        assert serving.converge() == ["tiny-v2"]
        assert answering("tiny") == "tiny-v1"
        tar.write_bytes(content)
        assert serving.converge() == []  # the folder is unpacked again
        assert answering("tiny", "staging") == "tiny-v2"


def test_a_full_disk_leaves_what_was_desired(tiny, monkeypatch):
    serves("tiny-v1")
    assert settled("tiny") == []
    before = serving.read()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tasks.store.store.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        serving.change(lambda desired: with_route(desired, "staging", "tiny", None))
    monkeypatch.undo()
    assert serving.read() == before
    assert not list((tiny.home / "serving").rglob(".tmp-*"))
    assert settled("tiny") == []


def test_nobody_retires_what_somebody_starts(tiny):
    serves("tiny-v1")
    with locks.exclusive("deploy-tiny"):
        with serving.kept("tiny-v2"):
            second()
            assert serving.retire("tiny") == []
            assert release_server.becomes_ready("tiny-v2")
        assert serving.retire("tiny") == ["tiny-v2"]
    assert settled("tiny") == []


def test_converging_does_not_stop_what_a_deploy_starts_meanwhile(tiny, monkeypatch):
    """The warden converges whenever supervisord starts, and waits for the champions: then a deploy begins."""
    serves("tiny-v1")
    ready = release_server.becomes_ready

    def meanwhile(version: str) -> bool:
        second()
        return ready(version)

    with serving.kept("tiny-v2"), locks.exclusive("deploy-tiny"):
        monkeypatch.setattr(release_server, "becomes_ready", meanwhile)
        assert serving.converge() == []
        monkeypatch.undo()
        assert release_server.becomes_ready("tiny-v2")
    # the warden, now that nobody deploys any more, stops what is not needed
    until(lambda: serving.read().servers.keys() == {"tiny-v1"})
    assert settled("tiny") == []


@pytest.mark.parametrize("renames", [True, False])
def test_a_disk_that_fills_up_after_the_file_was_written_takes_the_change_back(tiny, monkeypatch, renames):
    """The change is desired already, and nothing can be written any more: neither for Envoy, nor what was before."""
    serves("tiny-v1")
    assert settled("tiny") == []
    before, write, rename = serving.read(), os.fsync, Path.rename

    def full(descriptor: int) -> None:
        if serving.read() != before:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(descriptor)

    def stuck(self: Path, target: Path) -> Path:
        if self.name == "back.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr("tasks.store.store.os.fsync", full)
    if not renames:
        monkeypatch.setattr(Path, "rename", stuck)
    with pytest.raises(StorageError, match="No space left") as caught:
        serving.change(lambda desired: with_route(desired, "staging", "tiny", None))
    assert ("could not be taken back" in caught.value.what) is not renames
    assert (serving.read().staging == before.staging) is renames
    assert answering("tiny") == "tiny-v1"
    monkeypatch.undo()
    assert not (tiny.home / "serving" / "back.json").exists()
    if not renames:  # as it is desired still, it is done
        serving.change(lambda desired: desired)
        assert "tiny" not in serving.read().staging
    assert settled("tiny") == []
