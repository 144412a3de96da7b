"""A model that gives no number answers 500: the gateway then asks another release."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import xgboost

from tests.bentos.conftest import serving


@pytest.fixture
def broken(release, tmp_path):
    """The release with a NaN in every leaf."""
    bento = tmp_path / "bento"
    shutil.copytree(release.bento, bento)
    path = next(bento.glob("models/*/*/model.ubj"))
    booster = xgboost.Booster(model_file=str(path))
    tree = json.loads(booster.save_raw("json"))
    for one in tree["learner"]["gradient_booster"]["model"]["trees"]:
        leaves = [number for number, child in enumerate(one["left_children"]) if child == -1]
        for number in leaves:
            one["split_conditions"][number] = float("nan")
    booster.load_model(bytearray(json.dumps(tree).encode()))
    path.chmod(0o644)
    booster.save_model(path)
    return dataclasses.replace(release, bento=bento)


def test_scores_that_are_not_finite_are_a_500_that_is_counted_and_not_logged_each_time(broken, tmp_path):
    log = tmp_path / "log" / "v1"
    with serving(broken, tmp_path / "run", PENSTOCK_LOG_DIR=str(log)) as server:
        for content in (broken.row, [broken.row] * 100):
            for route in ("predict", "explain"):
                status, answer = server.predict(content, route)
                assert (status, "not a finite number" in answer["error"]) == (500, True)
        assert len(json.dumps(answer)) < 300
        assert server.metric("penstock_scores_not_finite_total") == 4
        assert server.call("GET", "/readyz")[0] == 200
        server.stop()
        assert server.log.count("no finite number") == 1
        assert "Traceback" not in server.log
    assert list(log.glob("*")) == []
