"""What `deploy_flows` did, in one line."""

from __future__ import annotations

from tasks.platform.changes import Change
from tasks.platform.deploying import Deployed


def test_one_thing_has_its_name_and_many_are_counted():
    changes = [Change(done="kept", kind="work pool", name="penstock")]
    assert Deployed(changes=tuple(changes), unreached={}).news() == ""
    changes += [
        Change(done="created", kind="deployment", name=f"{flow}/tiny") for flow in ("ingest", "train", "deploy")
    ]
    changes += [Change(done="removed", kind="deployment", name="train/old")]
    found = Deployed(changes=tuple(changes), unreached={"ops": "PENSTOCK_ALERT_OPS is not set"})
    assert found.news() == (
        "3 deployments created; deployment train/old removed; "
        "alerts for `ops` reach nobody: PENSTOCK_ALERT_OPS is not set"
    )
