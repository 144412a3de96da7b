"""Whose port it is: strangers on it, team servers that do not answer, records and processes that are spoiled."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from tests.place import stranger, supervisord
from tests.waiting import PATIENCE


@pytest.mark.parametrize("greeting", [None, b"220 mail ready\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n"])
def test_a_team_server_that_does_not_answer_is_not_replaced(place, greeting):
    """Nobody there; a program that does not speak HTTP; a web server that is not Prefect."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(greeting)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        port = server.server_address[1] if greeting else 9
        threading.Thread(target=server.serve_forever, daemon=True).start()
        process = place.start("platform.ensure_server()", PREFECT_API_URL=f"http://127.0.0.1:{port}/api")
        said = process.communicate(timeout=PATIENCE)[1]
        server.shutdown()
    assert "does not answer" in said


def test_a_team_address_that_is_none_is_named(place):
    said = place.start("platform.ensure_server()", PREFECT_API_URL="nonsense").communicate(timeout=PATIENCE)[1]
    assert "PlatformError" in said and "nonsense" in said


def test_a_stranger_on_the_servers_port_is_not_taken_for_the_server(place):
    url = place.ask("print(platform.ensure_server())")
    os.kill(place.pid("prefect-server"), signal.SIGKILL)
    with stranger(int(url.rsplit(":", 1)[1].removesuffix("/api"))) as taken:
        other = place.ask("print(platform.ensure_server())")
        assert other != url
        assert place.ask("print(platform.address())") + "/api" == other
        taken.shutdown()


def test_after_a_reboot_the_port_is_a_strangers_and_the_worker_follows_the_server(place):
    place.ask("platform.up()")
    os.kill(supervisord(place).pid, signal.SIGKILL)  # as a power cut leaves it: files, and no process
    with stranger(json.loads((place.home / "prefect" / "server.json").read_text())["port"]) as taken:
        url = place.ask("platform.start_server_early(); print(platform.address())") + "/api"
        assert str(taken.server_address[1]) not in url
        assert psutil.Process(place.pid("prefect-worker")).environ()["PREFECT_API_URL"] == url
        taken.shutdown()


@pytest.mark.parametrize("record", ["", "[]", '{"port": null}', "\0"])
def test_a_spoiled_record_of_the_port_is_made_again(place, record):
    place.ask("platform.start_server_early(); platform.down()")
    (place.home / "prefect" / "server.json").write_text(record)
    assert place.ask("print(repr(platform.address()))") == "''"
    assert place.ask("platform.start_server_early(); print(platform.address())").startswith("http://127.0.0.1:")


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(place):
    place.ask("platform.start_server_early(); platform.down()")
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (place.home / "supervisor" / "supervisord.pid").write_text(f"{bystander.pid}\n")
        place.ask("platform.down(); platform.start_server_early()")
        assert bystander.poll() is None
        bystander.kill()


def test_a_supervisord_whose_socket_was_cleaned_out_is_replaced_not_doubled(place):
    place.ask("platform.start_server_early()")
    lost = supervisord(place)
    Path(place.ask("from tasks.platform import supervision; print(supervision._socket())")).unlink()
    place.ask("platform.start_server_early()")
    assert not lost.is_running() or lost.status() == psutil.STATUS_ZOMBIE
    assert supervisord(place).pid != lost.pid


def test_a_process_finds_the_server_again_at_its_new_address(place):
    code = (
        "import os, socket, subprocess, sys\n"
        "platform.start_server_early(); before = os.environ['PREFECT_API_URL']; platform.down()\n"
        "taken = socket.create_server(('127.0.0.1', int(before.split(':')[2].split('/')[0])))\n"
        "plain = {name: value for name, value in os.environ.items() if name != 'PREFECT_API_URL'}\n"
        "other = [sys.executable, '-c', 'from tasks.platform import platform; platform.start_server_early()']\n"
        "subprocess.run(other, env=plain, check=True)\n"
        "platform.start_server_early(); print(os.environ['PREFECT_API_URL'] != before)"
    )
    assert place.ask(code) == "True"
