"""The control plane: one real server and one real worker of a checkout, however they are started and killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import urllib.request
from pathlib import Path

import psutil

from tests.conftest import REPOSITORY
from tests.place import Place
from tests.waiting import PATIENCE


def test_callers_at_once_share_one_server_that_outlives_them(place):
    callers = [place.start("print(platform.ensure_server())") for _ in range(3)]
    urls = {caller.communicate(timeout=PATIENCE)[0].strip() for caller in callers}
    assert len(urls) == 1
    assert place.ask("print(platform.ensure_server())") in urls
    assert place.api("/health") is True
    assert place.ask("print(platform.address())") + "/api" in urls
    ui = urllib.request.urlopen(f"{place.ask('print(platform.address())')}/ui-settings", timeout=PATIENCE).read()
    assert json.loads(ui)["api_url"] in urls  # the UI looks for the API where it is


def test_only_loopback_listens_and_the_socket_is_ours_alone(place):
    place.ask("platform.ensure_server()")
    listening = psutil.Process(place.pid("prefect-server")).net_connections(kind="inet")
    assert {found.laddr.ip for found in listening if found.status == "LISTEN"} == {"127.0.0.1"}
    code = "from tasks.platform import supervision; print(oct(supervision._socket().stat().st_mode & 0o777))"
    assert place.ask(code) == "0o600"


def test_kill_9_of_the_server_brings_it_back_at_the_same_address(place):
    url = place.ask("print(platform.ensure_server())")
    before = place.pid("prefect-server")
    os.kill(before, signal.SIGKILL)
    assert place.ask("print(platform.ensure_server())") == url
    assert place.pid("prefect-server") != before


def test_kill_9_of_supervisord_leaves_no_orphan_and_the_next_command_heals_it(place):
    url = place.ask("print(platform.ensure_server())")
    server = psutil.Process(place.pid("prefect-server"))
    os.kill(server.ppid(), signal.SIGKILL)
    psutil.wait_procs([server], timeout=PATIENCE)
    assert not server.is_running()
    assert "no services" in place.ask("print(platform.status())")
    assert place.ask("print(platform.ensure_server())") == url


def test_down_leaves_no_process_and_twice_is_fine(place):
    place.ask("platform.ensure_server()")
    processes = psutil.Process(psutil.Process(place.pid("prefect-server")).ppid())
    everything = [processes, *processes.children(recursive=True)]
    place.ask("platform.down(); platform.down()")
    assert not [each for each in everything if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert place.ask("print(repr(platform.address()))") == "''"


def test_a_home_with_a_long_path_gets_a_short_socket(tmp_path):
    root = tmp_path / ("long-" * 20) / "checkout"
    shutil.copytree(REPOSITORY / "tests" / "tiny", root)
    place = Place(root)
    try:
        place.ask("platform.start_server_early()")
        code = "from tasks.platform import supervision as found; print(found._socket(), found.running())"
        socket, running = place.ask(code).split()
        assert (len(socket) < 108, running) == (True, "True")
    finally:
        place.ask("platform.down()")


def test_after_down_only_what_is_asked_for_comes_back(place):
    place.ask("platform.start_server_early(); platform._add_worker('http://127.0.0.1:9/api')")
    assert "prefect-worker" in place.ask("print(platform.status())")
    place.ask("platform.down(); platform.start_server_early()")
    assert "prefect-worker" not in place.ask("print(platform.status())")


def test_services_do_not_inherit_how_quiet_the_command_is(place):
    place.ask("platform.down()")
    place.ask("platform.prefect_environment(); platform.start_server_early()")
    assert "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL" not in psutil.Process(place.pid("prefect-server")).environ()


def test_a_damaged_database_is_named_and_the_server_not_started_for_ever(tmp_path):
    shutil.copytree(REPOSITORY / "tests" / "tiny", tmp_path, dirs_exist_ok=True)
    damaged = Place(tmp_path)
    (damaged.home / "prefect").mkdir(parents=True)
    (damaged.home / "prefect" / "prefect.db").write_bytes(b"not a database " * 1000)
    try:
        said = damaged.start("platform.ensure_server()").communicate(timeout=PATIENCE)[1]
        assert "PlatformError" in said
        assert "file is not a database" in said
        assert "prefect-server  stopped" in damaged.ask("print(platform.status())")
    finally:
        damaged.ask("platform.down()")


def test_a_short_socket_is_found_from_a_shell_with_another_temporary_folder(tmp_path):
    root = tmp_path / ("long-" * 20) / "checkout"
    shutil.copytree(REPOSITORY / "tests" / "tiny", root)
    place = Place(root)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    try:
        socket = Path(
            place.ask("from tasks.platform import supervision as s; platform.start_server_early(); print(s._socket())")
        )
        assert "prefect-server" in place.ask("print(platform.status())", TMPDIR=str(elsewhere))
        assert list(elsewhere.iterdir()) == []
    finally:
        place.ask("platform.down()", TMPDIR=str(elsewhere))
    assert not socket.parent.exists()
