"""Each of doctor's checks on a checkout in which that thing really is wrong; and that looking changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from email.utils import formatdate
from pathlib import Path

import psutil
import pytest

from penstock.desired import Desired, with_server
from penstock.ledger import Event
from penstock.refs import FileRef
from penstock.release_config import ServeConfig
from tasks.data.dvc_config import DEFAULT
from tasks.machine.settings import settings
from tasks.operations import doctor_addresses, doctor_disk, doctor_environment, doctor_records, doctor_serving
from tasks.operations.doctor import examine
from tasks.registry import ledger_store
from tests.loopback import Quiet, serving


def one(findings):
    """The findings of a check that are not ok."""
    return [(found.check, found.level, f"{found.found} -> {found.mend}") for found in findings if found.level != "ok"]


@pytest.fixture
def with_settings(monkeypatch):
    """Set a variable, and have settings read it."""

    def change(name, value):
        monkeypatch.setenv(name, str(value))
        settings.cache_clear()

    return change


@contextlib.contextmanager
def answering(replies, skew=0.0):
    """A server on loopback with these answers by path, whose clock is ``skew`` seconds ahead."""

    class Handler(Quiet):
        def do_GET(self):
            status, body = replies.get(self.path, (404, None))
            self.send_response_only(status)
            self.send_header("Date", formatdate(time.time() + skew, usegmt=True))
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_POST = do_GET

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"


def state(folder):
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def test_a_fresh_checkout_is_well_and_looking_changes_nothing(checkout):
    checkout.git("init", "-q")
    checkout.git("add", ".")
    checkout.git("commit", "-qm", "first")
    before = state(checkout.root)
    found = examine()
    failed = [str(finding) for finding in found.findings if finding.level == "fail"]
    assert failed == []
    assert {"python", "pins", "disk", "dvc remote", "prefect", "ports", "ledgers"} <= {
        one.check for one in found.findings
    }
    git = checkout.root / ".git" / "index"  # `git status` refreshes what it remembers of the files
    assert {name: at for name, at in state(checkout.root).items() if not name.startswith(str(git.parent))} == {
        name: at for name, at in before.items() if not name.startswith(str(git.parent))
    }


def test_the_command_prints_a_table_or_json_and_fails_with_8(checkout):
    well = checkout.penstock("doctor", "--json")
    assert well.returncode == 0, well.stderr
    assert {"check": "ledgers", "level": "ok", "found": "nothing has happened yet", "mend": ""} in json.loads(
        well.stdout
    )["findings"]
    ill = checkout.penstock("doctor", PENSTOCK_MLFLOW_URI="http://me:hush-hush@127.0.0.1:1")
    assert ill.returncode == 8
    assert "  fail  mlflow" in ill.stdout
    assert "mlflow" in ill.stderr
    assert "hush" not in ill.stdout + ill.stderr


def test_outside_of_a_checkout_it_says_so(tmp_path, monkeypatch, checkout):
    (tmp_path / "else").mkdir()
    elsewhere = checkout.penstock("doctor", PENSTOCK_ROOT="")
    assert elsewhere.returncode == 0, elsewhere.stderr
    settings.cache_clear()
    monkeypatch.delenv("PENSTOCK_ROOT")
    monkeypatch.chdir(tmp_path / "else")
    with pytest.raises(Exception, match="not a Penstock checkout"):
        examine()


def test_a_pin_that_differs_and_one_that_is_missing(checkout):
    installed = doctor_environment.version("pydantic")
    path = checkout.root / "pyproject.toml"
    text = (
        '[project]\ndependencies = ["pydantic>=2"{needed}]\n[tool.uv]\nconstraint-dependencies = ["pydantic=={pin}"]\n'
    )
    path.write_text(text.format(pin=installed, needed=""))
    assert one(doctor_environment.pins()) == []
    path.write_text(text.format(pin="1.0", needed=', "no-such-package-as-this"'))
    assert one(doctor_environment.pins()) == [
        ("pins", "fail", "not installed: no-such-package-as-this -> uv sync"),
        ("pins", "warn", f"1 of other versions than pinned: pydantic {installed}, not ==1.0 -> uv sync"),
    ]
    path.write_text("[project")
    assert one(doctor_environment.pins())[0][1] == "fail"


def test_a_misspelt_variable_is_named_with_the_right_one_and_without_its_value(checkout, monkeypatch):
    monkeypatch.setenv("PENSTOCK_REMOT", "s3://hush")
    monkeypatch.setenv("PENSTCK_APPROVAL", "manual")
    for name in ("PENSTOCK_ALERT_OPS", "PENSTOCK_LOG_KEY", "PENSTOCK_SQL_PASSWORD", "PENSTOCK_GITLAB_TOKEN"):
        monkeypatch.setenv(name, "hush")
    found = one(doctor_environment.variables())
    assert found == [
        ("variables", "warn", "PENSTCK_APPROVAL is set, and nothing reads it -> did you mean PENSTOCK_APPROVAL?"),
        ("variables", "warn", "PENSTOCK_REMOT is set, and nothing reads it -> did you mean PENSTOCK_REMOTE?"),
    ]
    path = checkout.root / "configs" / "tiny.yaml"
    path.write_text(path.read_text() + "# url_env: PENSTOCK_REMOT\n")
    assert len(one(doctor_environment.variables())) == 2  # a comment names nothing
    path.write_text("data:\n  source:\n    sql:\n      url_env: PENSTOCK_REMOT\n")
    assert len(one(doctor_environment.variables())) == 1


def test_no_git_repository(checkout):
    assert one(doctor_environment.git_repository())[0][:2] == ("git", "warn")
    checkout.git("init", "-q")
    checkout.git("commit", "-q", "--allow-empty", "-m", "first")
    assert one(doctor_environment.git_repository()) == []


def test_a_dead_remote_folder_and_one_that_cannot_be_listed(checkout, with_settings, tmp_path):
    with_settings("PENSTOCK_REMOTE", tmp_path / "gone")
    assert one(doctor_addresses.dvc_remote(False))[0][1] == "warn"
    (checkout.root / "data").mkdir()
    (checkout.root / "data" / "tiny.dvc").write_text("outs:\n- md5: " + "0" * 32 + ".dir\n  path: tiny\n")
    assert one(doctor_addresses.dvc_remote(False))[0][1] == "fail"
    (tmp_path / "gone").mkdir()
    assert one(doctor_addresses.dvc_remote(True)) == []
    assert list((tmp_path / "gone").iterdir()) == []  # what it wrote is gone again
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").write_text("a file")
    assert one(doctor_addresses.dvc_remote(False))[0][1] == "fail"


def test_a_remote_elsewhere_that_does_not_answer(checkout, with_settings):
    with_settings("PENSTOCK_REMOTE", "http://me:hush-hush@127.0.0.1:1/data")
    assert one(doctor_addresses.dvc_remote(False)) == []
    assert not (checkout.root / ".dvc").exists()  # it does not set DVC up by itself
    (checkout.root / ".dvc").mkdir()
    (checkout.root / ".dvc" / "config").write_text(DEFAULT)
    ((check, level, text),) = one(doctor_addresses.dvc_remote(False))
    assert (check, level) == ("dvc remote", "fail")
    assert "hush" not in text


def test_mlflow_that_is_away_refuses_or_is_damaged(checkout, with_settings):
    assert one(doctor_addresses.mlflow()) == []
    (checkout.home / "mlflow" / "mlflow.db").write_bytes(b"no database" * 100)
    assert one(doctor_addresses.mlflow())[0][1] == "fail"
    with answering({"/health": (401, None)}) as url:
        with_settings("PENSTOCK_MLFLOW_URI", url)
        assert "MLFLOW_TRACKING_USERNAME" in one(doctor_addresses.mlflow())[0][2]
    assert one(doctor_addresses.mlflow())[0][1] == "fail"  # now nobody listens there
    with answering({"/health": (200, "OK")}) as url:
        with_settings("PENSTOCK_MLFLOW_URI", url)
        assert one(doctor_addresses.mlflow()) == []


def test_prefect_of_another_version_and_without_a_worker(checkout, monkeypatch):
    replies = {
        "/api/health": (200, True),
        "/api/admin/version": (200, "3.0.1"),
        "/api/deployments/count": (200, 4),
        "/api/work_pools/penstock/workers/filter": (200, [{"name": "local", "status": "OFFLINE"}]),
    }
    with answering(replies) as url:
        monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
        assert [(check, level) for check, level, _ in one(doctor_addresses.prefect())] == [
            ("prefect", "warn"),
            ("worker", "fail"),
        ]
        replies["/api/admin/version"] = (200, doctor_addresses.version("prefect"))
        replies["/api/work_pools/penstock/workers/filter"] = (200, [{"name": "local", "status": "ONLINE"}])
        assert one(doctor_addresses.prefect()) == []
        replies["/api/health"] = (403, None)
        assert "PREFECT_API_KEY" in one(doctor_addresses.prefect())[0][2]
    assert one(doctor_addresses.prefect())[0][:2] == ("prefect", "fail")


def test_the_real_prefect_server_is_well(live):
    found = {finding.check: finding for finding in doctor_addresses.prefect()}
    assert found["prefect"].level == "ok", found
    assert doctor_addresses.version("prefect") in found["prefect"].found


def test_a_channel_without_an_address(checkout, monkeypatch):
    checkout.change(alerts={"ops": ["all"], "slack-webhook/team": ["drift"]})
    assert [level for _, level, _ in one(doctor_addresses.alerts())] == ["warn", "warn"]
    monkeypatch.setenv("PENSTOCK_ALERT_OPS", "https://hush")
    with answering({"/api/block_types/slug/slack-webhook/block_documents/name/team": (200, {})}) as url:
        monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
        assert one(doctor_addresses.alerts()) == []


@pytest.mark.parametrize(("skew", "level"), [(30, "warn"), (-7200, "fail")])
def test_a_clock_that_is_not_that_of_a_service(checkout, monkeypatch, skew, level):
    with answering({}, skew) as url:
        monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
        assert one(doctor_records.clock_skew())[0][:2] == ("clock", level)
    with answering({}) as url:
        monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
        assert one(doctor_records.clock_skew()) == []


def event(number, when="2025-01-01T00:00:00+00:00"):
    record = FileRef(name="r", sha256="0" * 64, size=1)
    facts = {"version": "", "identity": "", "by": "me", "reason": "", "facts": {}}
    return Event(sequence=number, time=when, kind="drilled", project="tiny", record=record, **facts)


def test_a_hole_in_a_ledger_and_an_event_of_the_future(checkout):
    folder = checkout.home / "ledger" / "tiny"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / f"00000{number}.json").write_text(event(number).model_dump_json())
    assert one(doctor_records.ledgers()) == one(doctor_records.clock_skew()) == []
    (folder / "000002.json").unlink()
    assert "number 3 where 2 should be" in one(doctor_records.ledgers())[0][2]
    (folder / "000002.json").write_text(event(2).model_dump_json())
    (folder / "000003.json").write_text(event(3, "2999-01-01T00:00:00+00:00").model_dump_json())
    assert one(doctor_records.clock_skew())[0][:2] == ("clock", "fail")
    (folder / "000001.json").write_text("{")
    assert one(doctor_records.ledgers())[0][1] == "fail"


def test_a_damaged_window_and_a_damaged_desired_state(checkout):
    (checkout.home / "ledger" / "tiny").mkdir(parents=True)
    for name in ("monitor/tiny/000002.json", "serving/desired.json"):
        path = checkout.home / name
        path.parent.mkdir(parents=True)
        path.write_text("{}x")
    assert [level for _, level, _ in one(doctor_records.ledgers())] == ["fail", "fail"]
    assert one(examine().findings) != []  # the other checks that read it do not break off


def test_a_config_that_no_longer_parses_and_a_secret_that_is_not_set(checkout, monkeypatch):
    assert one(doctor_records.configs()) == one(doctor_records.secrets()) == []
    checkout.change(serve={"log": {"hash": ["origin"]}})
    assert "PENSTOCK_LOG_KEY" in one(doctor_records.secrets())[0][2]
    monkeypatch.setenv("PENSTOCK_LOG_KEY", "hush-hush")
    assert one(doctor_records.secrets()) == []
    checkout.change(train={"roundz": 3})
    ((_, level, text),) = one(doctor_records.configs())
    assert level == "fail"
    assert "roundz" in text


def test_a_port_that_somebody_else_holds_is_told_with_the_process(checkout, with_settings):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as held:
        port = held.getsockname()[1]
        with_settings("PENSTOCK_PRODUCTION_PORT", port)
        ((_, level, text),) = one(doctor_serving.ports_free())
        assert level == "warn"
        assert f"{port} is held by {psutil.Process().name()} (pid {os.getpid()})" in text
    assert one(doctor_serving.ports_free()) == []


def test_a_port_of_ours_that_other_machines_reach_needs_a_key(checkout, monkeypatch):
    code = "import socket, sys; s = socket.create_server(('0.0.0.0', 0)); print(flush=True); sys.stdin.read()"
    environment = os.environ | {doctor_serving.supervision.OWNER: str(checkout.home)}
    command = [doctor_environment.sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert one(doctor_serving.ports_free())[0][:2] == ("api key", "fail")
        monkeypatch.setenv("PENSTOCK_API_KEY", "hush-hush")
        assert one(doctor_serving.ports_free()) == []
        process.stdin.close()


def test_a_disk_that_is_nearly_full(checkout, with_settings, tmp_path):
    """On a real small file system, where one may be mounted."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("this user may not mount")
    try:
        with_settings("PENSTOCK_HOME", small / "home")
        found = one(doctor_disk.space())
        assert found[0][:2] == ("disk", "fail")
        assert str(small) in found[0][2]
    finally:
        subprocess.run(["umount", small], check=True)


def test_sockets_that_others_may_use_and_a_store_that_cannot_be_written(checkout):
    assert one(doctor_disk.permissions()) == []
    folder = checkout.home / "sockets"
    folder.mkdir(mode=0o700)
    (folder / "supervisor.sock").touch(mode=0o600)
    assert one(doctor_disk.permissions()) == []
    (folder / "supervisor.sock").chmod(0o666)
    assert "chmod 600" in one(doctor_disk.permissions())[0][2]
    if os.getuid():
        (checkout.home / "store").mkdir(mode=0o500)
        assert len(one(doctor_disk.permissions())) == 2


def test_half_written_files_and_a_lock_of_dvc_whose_holder_has_ended(checkout):
    draft = checkout.home / "store" / "tmp" / "tmpabc.parquet"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"half")
    assert one(doctor_disk.leftovers()) == []  # somebody may be writing it
    os.utime(draft, (0, 0))
    assert "penstock gc --yes" in one(doctor_disk.leftovers())[0][2]
    draft.unlink()
    lock = checkout.root / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(json.dumps({"/x": {"write": {"pid": os.getpid(), "cmd": "dvc add"}}}))
    assert one(doctor_disk.leftovers()) == []
    with subprocess.Popen(["true"]) as ended:
        pass
    lock.write_text(json.dumps({"/x": {"read": [{"pid": ended.pid, "cmd": "dvc push"}]}}))
    assert f"{ended.pid} (dvc push)" in one(doctor_disk.leftovers())[0][2]


def test_files_of_a_dataset_that_the_cache_lacks(releases, tmp_path):
    from benchmarks.tiny import within

    with within(releases.copy(tmp_path / "checkout")) as tiny:
        assert one(doctor_disk.datasets()) == []
        listed = next(Path(tiny.root, ".dvc", "cache").glob("files/md5/*/*.dir"))
        oid = json.loads(listed.read_bytes())[0]["md5"]
        Path(tiny.root, ".dvc", "cache", "files", "md5", oid[:2], oid[2:]).unlink()
        assert "1 of 3 files are not in the cache" in one(doctor_disk.datasets())[0][2]


def test_what_is_to_serve_and_does_not(releases, tmp_path):
    from benchmarks.tiny import within
    from tasks.registry.releases import packaged, server_of

    with within(releases.copy(tmp_path / "checkout")) as tiny:
        assert one(doctor_serving.serving_programs()) == []
        release = packaged("tiny", "tiny-v1")
        desired = with_server(Desired(), server_of(release, ServeConfig()))
        path = tiny.home / "serving" / "desired.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(desired.model_dump_json())
        assert one(doctor_serving.serving_programs()) == [
            ("serving", "warn", "tiny-v1 is to serve, and nothing runs -> penstock up")
        ]
        assert ledger_store.read_all("tiny")
