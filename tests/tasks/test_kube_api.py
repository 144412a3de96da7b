"""Asking the API as a pod does: over TLS with the cluster's certificate, and with the account's token."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess

import pytest

from penstock.errors import ConfigError, PlatformError
from tasks.rollout import kube_api
from tests.loopback import Quiet, serving

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="skipped: no `openssl` here to make a certificate")


def certificate(folder, name):
    key, path = folder / f"{name}.key", folder / f"{name}.crt"
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(path)], check=True, capture_output=True)
    return key, path


@pytest.fixture
def pod(home, tmp_path, monkeypatch):
    """A folder as a service account's, and a server that it belongs to."""
    key, path = certificate(tmp_path, "cluster")

    class Handler(Quiet):
        def do_GET(self) -> None:
            if self.headers["Authorization"] != "Bearer secret-7":
                self.send_error(401)
            elif "gone" in self.path:
                self.send_error(404)
            else:
                self.answer(json.dumps({"path": self.path}).encode())

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    shutil.copyfile(path, tmp_path / "ca.crt")
    (tmp_path / "token").write_text("secret-7\n")
    monkeypatch.setattr(kube_api, "ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    with serving(Handler, context) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        yield tmp_path


def test_a_pod_asks_with_its_account_s_token(pod):
    found = kube_api.rollout("flights-production", "model")
    assert found == {"path": "/apis/argoproj.io/v1alpha1/namespaces/flights-production/rollouts/model"}
    assert kube_api.analysis_run("n", "gone") is None


def test_a_token_that_was_renewed_is_read_anew_and_a_wrong_one_is_not_shown(pod):
    (pod / "token").write_text("another")
    with pytest.raises(ConfigError, match="refuses") as caught:
        kube_api.rollout("n", "model")
    assert "another" not in caught.value.text()
    (pod / "token").write_text("secret-7")
    assert kube_api.rollout("n", "model")


def test_a_server_with_another_certificate_is_not_believed(pod):
    shutil.copyfile(certificate(pod, "stranger")[1], pod / "ca.crt")
    with pytest.raises(PlatformError, match="does not answer") as caught:
        kube_api.rollout("n", "model")
    assert "certificate" in caught.value.found


def test_where_no_api_is_known_the_error_says_what_to_do(home, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="No Kubernetes API") as caught:
        kube_api.require()
    assert "kubectl proxy" in caught.value.next_step
