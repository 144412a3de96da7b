"""Messages of real automations, which a real server on loopback receives."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from penstock.notice import notice
from tasks.platform import alerting, events
from tasks.registry import ledger_store
from tasks.rollout.telling import tell_later
from tests.alerts import NOWHERE, append, automations, deployed
from tests.conftest import REPOSITORY
from tests.receiver import SECRET, receiver
from tests.waiting import until

SLOW = """
import time
from pathlib import Path
from prefect import flow

@flow
def slow():
    Path("slow.began").touch()
    time.sleep(300)
"""


TYPED = """
import time
from pathlib import Path
from flows.lifecycle import flow

@flow
def typed(config):
    Path("typed.began").touch()
    time.sleep(300)

typed("configs/tiny.yaml")
"""


def test_a_channel_gets_what_it_asks_for_and_nothing_else(live, client, monkeypatch):
    reason = 'rows "fail" & <b>{{ 7 * 7 }}</b> \\ {% raw %}\nsecond line'
    with receiver() as (ops, to_ops), receiver() as (science, to_science):
        monkeypatch.setenv("PENSTOCK_ALERT_OPS", ops)
        monkeypatch.setenv("PENSTOCK_ALERT_SCIENCE", science)
        deployed(live, ops=["rollout", "retraining"], science=["drift"])
        append("alarm", "size: PSI 0.6 above 0.2", cause="value drift")
        append("promoted", "took over from tiny-v1")
        append("rolled back", "tiny-v2 failed: errors", version="tiny-v1", verdict="failed")
        append("failed", "errors 0.5 above 0.02", serving="tiny-v1")
        append("retraining stopped", reason)
        until(lambda: len(to_ops) >= 2 and to_science, "not all came")
        time.sleep(1)
    assert {each["event"] for each in to_science} == {"penstock.alarm.raised"}
    assert [each["event"] for each in sorted(to_ops, key=lambda each: each["payload"]["sequence"])] == [
        "penstock.rollout.failed",
        "penstock.retraining.stopped",
    ]
    said = {each["event"].rpartition(".")[2]: each["text"] for each in to_ops}
    assert said["failed"].startswith("tiny: the rollout of tiny-v2 failed; tiny-v1 serves\n\nerrors 0.5")
    assert f'person resumes it\n\n{reason}\n\nnext: penstock resume tiny --reason "..."' in said["stopped"]


def test_what_the_caller_follows_up_itself_is_marked_so(live, client):
    with events.chained():
        append("registered", "passed", version="tiny-v7")
    append("registered", "passed", version="tiny-v8")
    body = {"filter": {"event": {"name": ["penstock.release.blessed"]}}}

    def told() -> dict[str, str]:
        found = client.request("POST", "/events/filter", json=body).json()["events"]
        return {each["payload"]["version"]: each["resource"]["penstock.follow-up"] for each in found}

    until(lambda: {"tiny-v7", "tiny-v8"} <= set(told()), "the server has not heard of both")
    assert (told()["tiny-v7"], told()["tiny-v8"]) == ("run", "trigger")


def test_what_is_appended_outside_of_a_flow_is_told_by_a_process_of_its_own(live, client):
    """As the warden does, which ends a dead deploy's rollout and imports no Prefect."""
    fields = {
        "kind": "stopped",
        "version": "tiny-v9",
        "identity": "1" * 64,
        "record": NOWHERE,
        "reason": "broke off",
        "facts": {},
    }
    event = ledger_store.append("tiny", lambda _: fields)
    tell_later([event])
    body = {"filter": {"event": {"name": [f"penstock.{notice(event).event}"]}}}

    def told() -> list[str]:
        found = client.request("POST", "/events/filter", json=body).json()["events"]
        return [each["payload"]["reason"] for each in found if each["payload"]["version"] == "tiny-v9"]

    assert until(told, "the server has not heard of it") == ["broke off"]


def test_a_mail_arrives(live, client, monkeypatch):
    got: list[str] = []

    class Smtp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 loopback\r\n")
            data = False
            for line in self.rfile:
                text = line.decode().rstrip("\r\n")
                if data:
                    got[-1] += text + "\n"
                    data = text != "."
                    if not data:
                        self.wfile.write(b"250 kept\r\n")
                elif text.upper() == "DATA":
                    data = True
                    got.append("")
                    self.wfile.write(b"354 go on\r\n")
                elif text.upper() == "QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        address = f"mailto://127.0.0.1:{port}?from=penstock@localhost.test&to=ops@localhost.test&mode=insecure"
        monkeypatch.setenv("PENSTOCK_ALERT_MAIL", address)
        deployed(live, mail=["approval"])
        append("waiting", 'penstock approve tiny tiny-v2 --reason "..."')
        until(lambda: any("--reason" in each for each in got), "no mail came")
        server.shutdown()
    assert "tiny: tiny-v2 waits for a person's word" in got[0].replace("=\n", "").replace("_", " ").replace("=27", "'")


def test_runs_that_die_unheard_are_marked_crashed_and_a_deployments_is_told_of(live, client, monkeypatch):
    monkeypatch.setattr(alerting, "silent_seconds", lambda: 10)  # the least that Prefect takes
    (live.root / "slow.py").write_text(SLOW)
    (live.root / "typed.py").write_text(TYPED)
    deployment = {
        "name": "tiny",
        "entrypoint": "slow.py:slow",
        "work_pool": {"name": "penstock"},
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $PWD }}"}}],
    }
    (live.root / "prefect.yaml").write_text(yaml.safe_dump({"name": "tiny", "deployments": [deployment]}))
    with receiver() as (address, got):
        monkeypatch.setenv("PENSTOCK_ALERT_OPS", address)
        deployed(live, ops=["crash"])
        run = client.create_flow_run_from_deployment(client.read_deployment_by_name("slow/tiny").id)
        command = [sys.executable, "-m", "prefect", "flow-run", "execute", str(run.id)]
        place = {"cwd": live.root, "env": {**os.environ, "PYTHONPATH": str(REPOSITORY)}, "start_new_session": True}
        begun = [subprocess.Popen(each, **place) for each in (command, [sys.executable, "typed.py"])]
        try:
            for name in ("slow", "typed"):
                until((live.root / f"{name}.began").exists, f"{name} never began")
            time.sleep(1)  # the first heartbeats are on the way
        finally:
            for process in begun:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        until(lambda: got, "nobody was told")
        until(lambda: "Crashed" in states(client, "typed"), "the run that was typed was not marked")
    assert client.read_flow_run(run.id).state.name == "Crashed"
    assert len(got) == 1
    assert got[0]["headline"] == "tiny: slow crashed"
    assert "no heartbeat for 10 s" in got[0]["text"]
    assert f"/runs/flow-run/{run.id}" in got[0]["text"]
    assert "next: penstock status tiny" in got[0]["text"]


def test_addresses_are_in_no_output_file_or_log_also_when_sending_fails(live, client):
    from prefect.client.schemas.objects import BlockDocument

    live.change(alerts={"ops": ["gate"], "mail": ["gate"], "lost": ["gate"]})
    mail = f"mailto://ops:{SECRET}@127.0.0.1:9?from=a@localhost.test&to=b@localhost.test&mode=insecure"
    with receiver(status=500) as (address, got):
        said = live.penstock("deploy-flows", PENSTOCK_ALERT_OPS=address, PENSTOCK_ALERT_MAIL=mail)
        assert (said.returncode, "PENSTOCK_ALERT_LOST" in said.stderr) == (2, True)
        assert "created  channel     ops" in said.stdout
        append("rejected", "auc 0.5 below 0.6", version="")
        until(lambda: got, "no webhook came")
    append("rejected", "auc 0.4 below 0.6", version="")  # nobody listens any more
    failed = until(lambda: len(found := failures(client)) >= 3 and found, "Prefect did not say that three failed")
    wrong = live.penstock("deploy-flows", PENSTOCK_ALERT_OPS=f"ftp://{SECRET}")
    assert (wrong.returncode, "PENSTOCK_ALERT_OPS" in wrong.stderr) == (2, True)

    logs = server_logs(live)
    assert "Action failed" in "".join(logs)
    shown = [said.stdout, said.stderr, wrong.stdout, wrong.stderr, *map(repr, automations(client).values()), *logs]
    shown += [json.dumps(failed), *(path.read_text(errors="replace") for path in files(live.home))]
    blocks = client.request("POST", "/block_documents/filter", json={}).json()
    shown += [repr(BlockDocument.model_validate(each)) for each in blocks]
    assert not [text for text in shown if SECRET in text]


def failures(client) -> list[Any]:
    """What Prefect's events say of messages that could not be sent."""
    body = {"filter": {"event": {"name": ["prefect.automation.action.failed"]}}}
    found: list[Any] = client.request("POST", "/events/filter", json=body).json()["events"]
    return found


def states(client, flow: str) -> set[str]:
    body = {"flows": {"name": {"any_": [flow]}}}
    return {each["state"]["name"] for each in client.request("POST", "/flow_runs/filter", json=body).json()}


def server_logs(live) -> list[str]:
    """What the session's server wrote: it is the process that listens where PREFECT_API_URL points."""
    port = int(live.environment["PREFECT_API_URL"].split(":")[2].split("/")[0])
    server = next(
        found for found in psutil.net_connections("tcp") if found.status == "LISTEN" and found.laddr.port == port
    )
    home = Path(psutil.Process(server.pid).environ()["PREFECT_HOME"]).parent
    return [path.read_text() for path in (home / "logs").glob("*")]


def files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and "environments" not in path.parts]
