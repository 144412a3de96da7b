"""The control plane: one real server and one real worker of a checkout, however they are started and killed."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
import yaml

from tests.waiting import PATIENCE, until

REPOSITORY = Path(__file__).resolve().parents[2]
FLOW = """
import sys
from pathlib import Path
from prefect import flow

@flow
def hello(name: str = "nobody"):
    Path("said.txt").write_text(f"{name} {Path.cwd()}")
"""
DEPLOYMENT = {
    "name": "tiny",
    "entrypoint": "hello.py:hello",
    "parameters": {"name": "world"},
    "work_pool": {"name": "penstock"},
    "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $PWD }}"}}],
    "schedules": [{"cron": "0 * * * *", "timezone": "Europe/Berlin", "slug": "hourly"}],
}
DEPLOY = (  # prints what was done
    "from tasks.deployments import ensure_deployments\n"
    "with platform.connected(): done = ensure_deployments().changes\n"
    "print([each.name for each in done if each.done != 'kept'])"
)


class Place:
    """A checkout whose own server runs; everything is asked in new processes, as commands would."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / ".penstock"
        self.environment = {**os.environ, "PENSTOCK_ROOT": str(root), "PENSTOCK_HOME": str(self.home)}
        self.environment["PYTHONPATH"] = str(REPOSITORY)
        self.deploy(DEPLOYMENT)
        (root / "hello.py").write_text(FLOW)

    def deploy(self, *deployments: dict) -> None:
        (self.root / "prefect.yaml").write_text(yaml.safe_dump({"name": "tiny", "deployments": list(deployments)}))

    def start(self, code: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", f"from tasks import platform\n{code}"]
        return subprocess.Popen(
            command, cwd=self.root, env={**self.environment, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, code: str, **environment: str) -> str:
        process = self.start(code, **environment)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        return out.strip()

    def api(self, path: str, body: dict | None = None):
        url = json.loads((self.home / "prefect" / "server.json").read_text())["port"]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{url}/api{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def pid(self, service: str) -> int:
        found = json.loads(self.ask("print(platform.status().model_dump_json())"))["services"]
        return next(each["pid"] for each in found if each["name"] == service)


def stranger(port: int) -> socketserver.TCPServer:
    """Another program on the port that says "200 OK" to whatever it is asked."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    end = time.monotonic() + PATIENCE
    while True:
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
            break
        except OSError:
            assert time.monotonic() < end, "the port did not become free"
            time.sleep(0.002)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def supervisord(place: Place) -> psutil.Process:
    return psutil.Process(psutil.Process(place.pid("prefect-server")).ppid())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("platform")
    shutil.copytree(REPOSITORY / "tests" / "tiny", root, dirs_exist_ok=True)
    found = Place(root)
    try:
        yield found
    finally:
        found.ask("platform.down()")


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
    code = "from tasks import supervision; print(oct(supervision._socket().stat().st_mode & 0o777))"
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


def test_deployments_are_those_of_the_file_and_their_schedules_fire(place):
    place.ask("platform.up()")
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["tiny"]
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until(lambda: place.api("/flow_runs/filter", scheduled), "the scheduler made no runs")
    assert place.ask(DEPLOY) == "[]"

    renamed = {**DEPLOYMENT, "schedules": [{"cron": "5 * * * *", "timezone": "UTC", "slug": "other"}]}
    place.deploy(renamed)
    place.ask("platform.up()")
    (deployment,) = place.api("/deployments/filter", {})
    assert [schedule["slug"] for schedule in deployment["schedules"]] == ["other"]

    place.deploy({**DEPLOYMENT, "name": "second"})
    place.ask("platform.up()")
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["second"]
    place.deploy(DEPLOYMENT)


def test_only_what_changed_is_deployed_again(place):
    place.deploy(DEPLOYMENT, {**DEPLOYMENT, "name": "second"})
    place.ask(DEPLOY)
    other = {"cron": "5 * * * *", "timezone": "UTC", "slug": "other"}
    place.deploy(DEPLOYMENT, {**DEPLOYMENT, "name": "second", "schedules": [other]})
    assert place.ask(DEPLOY) == "['hello/second', 'hello/second, hourly']"
    place.deploy(DEPLOYMENT)
    assert place.ask(DEPLOY) == "['hello/second']"
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["tiny"]


def test_a_deployment_that_was_deleted_on_the_server_comes_back(place):
    place.ask("platform.up()")
    (deployment,) = place.api("/deployments/filter", {})
    request = urllib.request.Request(f"{place.ask('print(platform.address())')}/api/deployments/{deployment['id']}")
    request.method = "DELETE"
    urllib.request.urlopen(request, timeout=PATIENCE).close()
    assert place.api("/deployments/filter", {}) == []
    place.ask("platform.up()")
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["tiny"]


def test_another_checkout_on_this_server_starts_none_and_leaves_its_deployments(place, tmp_path):
    place.ask("platform.up()")
    shutil.copytree(REPOSITORY / "tests" / "tiny", tmp_path, dirs_exist_ok=True)
    guest = Place(tmp_path)
    team = {"PREFECT_API_URL": place.ask("print(platform.address())") + "/api"}
    guest.deploy({**DEPLOYMENT, "name": "guest"})
    assert guest.ask(DEPLOY, **team) == "['hello/guest']"
    guest.deploy()
    guest.ask(DEPLOY, **team)
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["tiny"]
    assert not (guest.home / "supervisor").exists()


def test_prefects_own_command_finds_all_of_it_with_nothing_exported(place):
    place.ask("platform.up()")
    shell = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    shell["PWD"] = str(place.root)
    prefect = [sys.executable, "-m", "prefect"]
    deploy = subprocess.run(
        [*prefect, "--no-prompt", "deploy", "--all"], cwd=place.root, env=shell, capture_output=True, text=True
    )
    assert deploy.returncode == 0, deploy.stdout + deploy.stderr
    command = [*prefect, "deployment", "run", "hello/tiny", "--watch", "-p", "name=you"]
    run = subprocess.run(command, cwd=place.root, env=shell, capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (place.root / "said.txt").read_text() == f"you {place.root}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deployments: [{name: x}]", "cannot be read"),
        ("deployments: 3", "cannot be read"),
        ("deployments: [{name: x, entrypoint: 'a.py:b', schedules: [{cron: '* * * * *'}]}]", "has no slug"),
    ],
)
def test_a_wrong_file_is_named(place, text, said):
    (place.root / "prefect.yaml").write_text(text)
    try:
        process = place.start("platform.up()")
        assert said in process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 1
    finally:
        place.deploy(DEPLOYMENT)


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
        code = "from tasks import supervision as found; print(found._socket(), found.running())"
        socket, running = place.ask(code).split()
        assert (len(socket) < 108, running) == (True, "True")
    finally:
        place.ask("platform.down()")


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
    Path(place.ask("from tasks import supervision; print(supervision._socket())")).unlink()
    place.ask("platform.start_server_early()")
    assert not lost.is_running() or lost.status() == psutil.STATUS_ZOMBIE
    assert supervisord(place).pid != lost.pid


def test_after_down_only_what_is_asked_for_comes_back(place):
    place.ask("platform.start_server_early(); platform._add_worker('http://127.0.0.1:9/api')")
    assert "prefect-worker" in place.ask("print(platform.status())")
    place.ask("platform.down(); platform.start_server_early()")
    assert "prefect-worker" not in place.ask("print(platform.status())")


def test_a_process_finds_the_server_again_at_its_new_address(place):
    code = (
        "import os, socket, subprocess, sys\n"
        "platform.start_server_early(); before = os.environ['PREFECT_API_URL']; platform.down()\n"
        "taken = socket.create_server(('127.0.0.1', int(before.split(':')[2].split('/')[0])))\n"
        "plain = {name: value for name, value in os.environ.items() if name != 'PREFECT_API_URL'}\n"
        "other = [sys.executable, '-c', 'from tasks import platform; platform.start_server_early()']\n"
        "subprocess.run(other, env=plain, check=True)\n"
        "platform.start_server_early(); print(os.environ['PREFECT_API_URL'] != before)"
    )
    assert place.ask(code) == "True"


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
            place.ask("from tasks import supervision as s; platform.start_server_early(); print(s._socket())")
        )
        assert "prefect-server" in place.ask("print(platform.status())", TMPDIR=str(elsewhere))
        assert list(elsewhere.iterdir()) == []
    finally:
        place.ask("platform.down()", TMPDIR=str(elsewhere))
    assert not socket.parent.exists()
