"""A push to a real registry: the digest that is recorded is the one that the registry answers to."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from penstock.errors import PackagingError
from tasks.packaging.containers import Image
from tasks.packaging.image_push import push_image
from tasks.platform import ports

MISSING = [name for name in ("docker-registry", "podman") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"skipped: no {' and no '.join(MISSING)} here; apt-get install")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def registry(home, tmp_path, monkeypatch):
    """Its address; podman and buildah may speak plain HTTP with it."""
    address = f"127.0.0.1:{ports.free(0)}"
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path / 'data'}}}}}"
    (tmp_path / "config.yml").write_text(f"version: 0.1\n{storage}\nhttp: {{addr: {address}}}\n")
    (tmp_path / "registries.conf").write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "config.yml")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def built(tmp_path) -> Image:
    """An image of one file, on nothing."""
    folder: Path = tmp_path / "context"
    folder.mkdir()
    (folder / "blob").write_bytes(bytes(range(256)) * 999)
    (folder / "Containerfile").write_text("FROM scratch\nCOPY blob /blob\n")
    command = ["podman", "build", "--quiet", "--format", "docker", "--tag", "penstock-test/push", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    identity = done.stdout.split()[-1]
    yield Image(tag="penstock-test/push", id=f"sha256:{identity}", digest="", bento="", backend="podman")
    subprocess.run(["podman", "rmi", "--force", identity], capture_output=True, check=False)


@pytest.mark.parametrize("backend", ["podman", "buildah"])
def test_the_digest_is_the_registry_s(registry, built, backend):
    if not shutil.which(backend):
        pytest.skip(f"no {backend} here")
    digest = push_image(built.model_copy(update={"backend": backend}), f"{registry}/team/tiny", "v1")
    request = urllib.request.Request(f"http://{registry}/v2/team/tiny/manifests/v1", headers={"Accept": MANIFEST})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        assert answer.headers["Docker-Content-Digest"] == digest


def test_a_registry_that_does_not_answer_says_so(home, built, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(PackagingError, match="could not be pushed") as caught:
        push_image(built, f"127.0.0.1:{ports.free(0)}/team/tiny", "v1")
    assert "refused" in caught.value.found
