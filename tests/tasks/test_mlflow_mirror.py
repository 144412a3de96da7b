"""The mirror in MLflow, on SQLite: the same as the ledger, told once, and made up for when it was away."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.candidate import Candidate, Release
from penstock.errors import PlatformError
from penstock.refs import FileRef
from tasks.data.project import load_project
from tasks.machine.settings import settings
from tasks.registry.registry import find_champion, register
from tasks.reports import mlflow_mirror
from tasks.reports.mlflow_mirror import is_mirrored, mirror_to_mlflow, tracking_uri
from tasks.reports.reporting import find_report
from tasks.store import store
from tests.candidates import made
from tests.loopback import free_port
from tests.waiting import PATIENCE

SECRET = "s3cret"


def released(candidate: Candidate) -> tuple[Candidate, Release, FileRef]:
    """Registered, with a report where `find_report` looks for it."""
    release = register(candidate)
    ref = store.put_bytes(b"<html>", "report.html")
    name = release.version or f"rejected-{release.sequence}"
    folder = settings().home / "reports" / "tiny"
    for suffix, content in ((".html", b"<html>"), (".json", ref.model_dump_json().encode())):
        store.write_atomic(folder / (name + suffix), content)
    assert find_report(release) == ref
    return candidate, release, ref


def tell(candidate: Candidate, release: Release, report: FileRef) -> None:
    mirror_to_mlflow(candidate, release, report, load_project("tiny"))


def client():
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri(), tracking_uri())


def runs() -> dict[str, object]:
    """The runs by name; two of one name are an error."""
    experiment = client().get_experiment_by_name("tiny").experiment_id
    found = [(run.info.run_name, run) for run in client().search_runs([experiment])]
    assert len(dict(found)) == len(found)
    return dict(found)


def use(monkeypatch, uri: str) -> None:
    monkeypatch.setenv("PENSTOCK_MLFLOW_URI", uri)
    settings.cache_clear()


def test_a_release_is_a_run_and_a_model_version_and_telling_twice_is_once(checkout):
    told = released(made())
    assert not is_mirrored(told[1])
    tell(*told)
    assert is_mirrored(told[1])
    tell(*told)
    run = runs()["tiny-v1"]
    assert run.data.metrics["auc"] == 0.7
    assert run.data.metrics["validation_auc"] == 0.65
    assert "f1" not in run.data.metrics  # it has no value: none is told
    assert run.data.params["train.params.max_depth"] == "3"
    assert run.data.tags["penstock.commit"] == "c0ffee"
    curve = client().get_metric_history(run.info.run_id, "loss_validation")
    assert [(point.step, point.value) for point in curve] == [(0, 0.6), (1, 0.55), (2, 0.5)]
    names = {file.path for file in client().list_artifacts(run.info.run_id)}
    assert names == {"report.html", "record.json", "metrics.json", "curves.json", "sbom.cdx.json", "model", "plots"}
    (version,) = client().search_model_versions("name = 'tiny'")
    assert version.run_id == run.info.run_id
    assert version.tags["penstock.blessing"] == "blessed"


def test_a_rejection_is_a_run_and_no_model_version(checkout):
    tell(*released(made(passed=False)))
    assert runs()["rejected-1"].data.tags["penstock.blessing"] == "rejected"
    assert client().search_model_versions("name = 'tiny'") == []


def test_blessed_stays_on_the_newest_when_an_older_release_is_made_again(checkout):
    tell(*released(made()))
    second = released(made("d2", champion=find_champion(made("d2").lineage)))
    tell(*second)
    again = register(made(auc=0.71))
    assert again.version == "tiny-v1"
    tell(made(auc=0.71), again, second[2])
    assert client().get_model_version_by_alias("tiny", "blessed").tags["penstock.version"] == "tiny-v2"
    remade = client().get_model_version_by_alias("tiny", "v1-release")
    assert remade.tags["penstock.record"] == again.record.sha256


def test_what_broke_off_before_its_alias_is_completed(checkout):
    told = released(made())
    tell(*told)
    client().delete_registered_model_alias("tiny", "blessed")
    tell(*told)
    assert client().get_model_version_by_alias("tiny", "blessed").tags["penstock.version"] == "tiny-v1"
    assert len(client().search_model_versions("name = 'tiny'")) == 1


def test_a_run_that_broke_off_is_gone_on_with(checkout, monkeypatch):
    told = released(made())
    with monkeypatch.context() as away:
        away.setattr(mlflow_mirror, "plots", lambda candidate: (_ for _ in ()).throw(ConnectionError("gone")))
        with pytest.raises(PlatformError, match="tiny-v1 is registered"):
            tell(*told)
    (begun,) = runs().values()
    assert begun.info.status == "RUNNING"
    tell(*told)
    (ended,) = runs().values()
    assert (ended.info.run_id, ended.info.status) == (begun.info.run_id, "FINISHED")
    curve = client().get_metric_history(ended.info.run_id, "loss_validation")
    assert [point.step for point in curve] == [0, 1, 2]


def test_what_an_earlier_run_could_not_tell_is_told_by_the_next(checkout, monkeypatch):
    first = released(made())
    use(monkeypatch, "sqlite:////proc/nowhere/mlflow.db")
    with pytest.raises(PlatformError, match="tiny-v1 is registered"):
        tell(*first)
    assert not is_mirrored(first[1])
    gone = released(made("gone", passed=False))
    store.locate(gone[0].model.booster).unlink()  # cannot be told any more, and stops nobody
    monkeypatch.delenv("PENSTOCK_MLFLOW_URI")
    settings.cache_clear()
    tell(*released(made("d2", champion=find_champion(made("d2").lineage))))
    assert set(runs()) == {"tiny-v1", "tiny-v2"}
    assert is_mirrored(first[1])
    assert not is_mirrored(gone[1])
    assert client().get_model_version_by_alias("tiny", "blessed").tags["penstock.version"] == "tiny-v2"


def test_another_server_has_not_been_told(checkout, monkeypatch):
    told = released(made())
    tell(*told)
    use(monkeypatch, "http://me:one@mlflow.example")
    assert not is_mirrored(told[1])
    mark = mlflow_mirror._mark(told[1])
    use(monkeypatch, "http://me:two@mlflow.example")  # a new password is not another server
    assert mlflow_mirror._mark(told[1]) == mark


@pytest.mark.parametrize("uri", [
    f"http://bob:{SECRET}@127.0.0.1:9/mlflow?token={SECRET}",
    f"http://bob:{SECRET}/{SECRET}@127.0.0.1:9",
    f"http://[bob:{SECRET}@127.0.0.1:9",
    f"postgresql://bob:{SECRET}@127.0.0.1:9/mlflow",
])  # fmt: skip
def test_a_server_that_is_away_loses_no_release_and_tells_no_secret(checkout, monkeypatch, capfd, uri):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told = released(made())
    use(monkeypatch, uri)
    with pytest.raises(PlatformError) as caught:
        tell(*told)
    assert "tiny-v1 is registered" in caught.value.what
    assert caught.value.found
    shown = [caught.value.text(), *traceback.format_exception(caught.value), *capfd.readouterr()]
    assert SECRET not in "".join(shown)
    assert SECRET.encode() not in pickle.dumps(caught.value)
    assert find_champion(made("d2").lineage).version == "tiny-v1"


def test_an_error_without_words_is_named(checkout, monkeypatch):
    told = released(made())
    monkeypatch.setattr(mlflow_mirror, "_tell", lambda *arguments: (_ for _ in ()).throw(TimeoutError()))
    with pytest.raises(PlatformError) as caught:
        tell(*told)
    assert caught.value.found == "TimeoutError"


@pytest.fixture
def server(tmp_path: Path, template: Path) -> Iterator[str]:
    """The host and port of a real MLflow server."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes((template / "mlflow" / "mlflow.db").read_bytes())
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)


def test_a_server_is_told_like_a_file_and_its_credentials_are_not_printed(checkout, monkeypatch, capfd, server):
    use(monkeypatch, f"http://bob:{SECRET}@{server}")
    told = released(made())
    tell(*told)
    assert is_mirrored(told[1])
    printed = capfd.readouterr()
    assert printed.out == ""
    assert SECRET not in printed.err
    assert client().get_model_version_by_alias("tiny", "blessed").run_id == runs()["tiny-v1"].info.run_id
    assert "model" in {file.path for file in client().list_artifacts(runs()["tiny-v1"].info.run_id)}
