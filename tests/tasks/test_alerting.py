"""Alerts: a real Prefect server, real automations, and messages that a real server on loopback receives."""

from __future__ import annotations

from tasks.platform.deploying import Deployed, deploy_flows
from tests.alerts import DIED, automations, deployed
from tests.receiver import SECRET


def done(found: Deployed, *kinds: str) -> set[tuple[str, str]]:
    return {(each.done, each.name) for each in found.changes if each.kind in kinds}


def test_twice_changes_nothing_and_what_is_gone_from_the_file_goes(live, client, monkeypatch):
    from prefect.events.schemas.automations import AutomationCore

    trigger = {"type": "event", "expect": ["penstock.*"], "posture": "Reactive", "threshold": 1, "within": 0}
    theirs = {"name": "penstock: tiny -> pager", "trigger": trigger, "actions": [{"type": "do-nothing"}]}
    client.create_automation(AutomationCore.model_validate(theirs))
    monkeypatch.setenv("PENSTOCK_ALERT_OPS", "https://hooks.example.com/one")
    first = deployed(live, ops=["all"])
    assert ("created", "penstock: tiny -> ops") in done(first, "automation")
    before = automations(client)
    client.pause_automation(before["penstock: tiny -> ops"].id)

    monkeypatch.delenv("PENSTOCK_ALERT_OPS")  # the block has it
    assert {each.done for each in deploy_flows()[0].changes} == {"kept"}
    after = automations(client)
    assert {name: each.id for name, each in after.items()} == {name: each.id for name, each in before.items()}
    assert not after["penstock: tiny -> ops"].enabled

    changed = deployed(live, ops=["gate", "drift"])
    assert done(changed, "automation") == {("kept", DIED), ("updated", "penstock: tiny -> ops")}
    found = automations(client)["penstock: tiny -> ops"]
    assert found.id == before["penstock: tiny -> ops"].id
    assert found.trigger.match["penstock.alert"] == ["gate", "drift"]
    assert not found.enabled

    gone = deployed(live)
    assert ("removed", "ops") in done(gone, "channel")
    assert set(automations(client)) == {DIED, theirs["name"]}


def test_a_project_that_is_gone_takes_its_automations_with_it(live, client, monkeypatch):
    monkeypatch.setenv("PENSTOCK_ALERT_OPS", "https://hooks.example.com/one")
    deployed(live, ops=["all"])
    path = live.root / "configs" / "tiny.yaml"
    text = path.read_text()
    path.write_text("name: [")
    deploy_flows()
    assert "penstock: tiny -> ops" in automations(client)  # a slip of the pen ends no alerts
    path.unlink()
    deploy_flows()
    assert set(automations(client)) == set()
    path.write_text(text)


def test_an_address_that_changes_keeps_its_block_and_one_of_another_kind_replaces_it(live, client, monkeypatch):
    def block() -> tuple[str, str]:
        action = automations(client)["penstock: tiny -> ops"].actions[0]
        return action.type, str(action.block_document_id)

    monkeypatch.setenv("PENSTOCK_ALERT_OPS", f"https://hooks.example.com/{SECRET}")
    deployed(live, ops=["gate"])
    before = block()
    monkeypatch.setenv("PENSTOCK_ALERT_OPS", f"https://hooks.example.com/{SECRET}/2")
    assert ("updated", "ops") in done(deploy_flows()[0], "channel")
    assert block() == before
    monkeypatch.setenv(
        "PENSTOCK_ALERT_OPS", "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    )
    assert ("updated", "ops") in done(deploy_flows()[0], "channel")
    assert block()[0] == "send-notification"
    assert block()[1] != before[1]
    assert client.read_block_document(block()[1], include_secrets=False).data["url"] == "********"


def test_a_channel_that_reaches_nobody_is_told_of_and_the_rest_is_done(live, client, monkeypatch):
    found = deployed(live, ops=["gate"], **{"slack-webhook/nobody": ["drift"]})
    assert found.unreached == {
        "ops": "PENSTOCK_ALERT_OPS is not set",
        "slack-webhook/nobody": "there is no such block on the server",
    }
    assert "alerts for `ops` reach nobody: PENSTOCK_ALERT_OPS is not set" in found.news()
    assert set(automations(client)) == {DIED}

    monkeypatch.setenv("PENSTOCK_ALERT_OPS", "https://hooks.example.com/one")
    deployed(live, ops=["gate"])
    for wrong in (f"ftp://{SECRET}", f"mailto://{SECRET}", f"https://hooks.slack.com/services/{SECRET}"):
        monkeypatch.setenv("PENSTOCK_ALERT_OPS", wrong)
        found = deployed(live, ops=["gate", "drift"])
        assert found.unreached == {"ops": "PENSTOCK_ALERT_OPS holds no address that alerts can be sent to"}
        assert "penstock: tiny -> ops" in automations(client)  # better the old one than none


def test_a_block_that_somebody_saved_is_used_and_left(live, client):
    from prefect.blocks.notifications import SlackWebhook
    from prefect.blocks.system import Secret

    SlackWebhook(url="https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ").save("team")
    Secret(value="x").save("team")
    deployed(live, **{"slack-webhook/team": ["drift"]})
    action = automations(client)["penstock: tiny -> slack-webhook/team"].actions[0]
    assert action.block_document_id == client.read_block_document_by_name("team", "slack-webhook").id
    deployed(live)
    assert client.read_block_document_by_name("team", "slack-webhook")
    assert deployed(live, **{"secret/team": ["drift"]}).unreached == {
        "secret/team": "this block sends no notifications"
    }
