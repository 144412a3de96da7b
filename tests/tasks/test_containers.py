"""What a container backend is asked for, and what is said when there is none or it fails.

The backend here is a stand-in on PATH that notes how it was called and builds nothing: these tests are of the command
line only. A real image is built and run in tests/flows/test_image.py, where podman is installed.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from bentos.recipe import container_files
from penstock.errors import DataError, PackagingError, PlatformError
from penstock.refs import Package
from tasks.packaging.containers import build_image, installed
from tasks.packaging.packaging import content_digest
from tasks.store import store

STAND_IN = """\
#!{python}
import json, os, pathlib, sys
words = sys.argv[1:]
if {fails}:
    sys.exit("first line\\n\\nno space left on device")
if "inspect" in words:
    print("sha256:" + "d" * 64)
    sys.exit()
seen = sorted(str(path.relative_to(words[-1])) for path in pathlib.Path(words[-1]).rglob("*") if path.is_file())
call = {{"words": words, "epoch": os.environ.get("SOURCE_DATE_EPOCH"), "seen": seen}}
pathlib.Path({note!r}).write_text(json.dumps(call))
pathlib.Path(words[words.index("--iidfile") + 1]).write_text("{prefix}" + "1" * 64)
"""


@pytest.fixture
def package(checkout, tmp_path) -> Package:
    """A Bento with nothing in it but its recipe."""
    folder = tmp_path / "bento"
    (folder / "env" / "docker").mkdir(parents=True)
    for name, text in container_files("3.11").items():
        (folder / "env" / "docker" / name).write_text(text)
    with store.new_file("bento.tar") as draft, tarfile.open(draft.path, "w") as tar:
        tar.add(folder, ".")
    anything = store.put_json({}, "x.json")
    return Package(bento=draft.ref, tag="tiny:abc", digest=content_digest(folder), schema_spec=anything, sbom=anything)


@pytest.fixture
def backend(tmp_path, monkeypatch):
    """Puts a stand-in on a PATH that has nothing else; returns what it was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, prefix: str = "", fails: bool = False):
        program, note = folder / name, tmp_path / f"{name}.json"
        program.write_text(STAND_IN.format(python=sys.executable, fails=fails, note=str(note), prefix=prefix))
        program.chmod(0o755)
        return lambda: json.loads(note.read_text())

    return put


def option(words: list[str], name: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == name]


@pytest.mark.parametrize("name", ["podman", "buildah"])
def test_the_recipe_of_the_release_is_built_with_its_identity(package, backend, name):
    called = backend(name)
    image = build_image(package, "tiny-v3", 1_700_000_000, "", "", ("--network=host",))
    assert (image.tag, image.id, image.backend) == ("penstock/tiny:v3", "sha256:" + "1" * 64, name)
    assert (image.digest, image.bento) == ("sha256:" + "d" * 64, package.digest)
    words = called()["words"]
    assert words[0] == "build"
    assert words[-2] == "--network=host"
    assert option(words, "--file") == [words[-1] + "/env/docker/Dockerfile"]
    assert option(words, "--timestamp") == ["1700000000"]
    assert option(words, "--build-arg") == ["RELEASE=tiny-v3"]
    assert option(words, "--format") == ["docker"]  # the other one has no health check
    assert f"penstock.bento.digest={package.digest}" in option(words, "--label")
    assert not Path(words[-1]).exists()  # nothing is left behind


def test_docker_is_asked_in_its_own_words_and_last(package, backend):
    called = backend("docker", prefix="sha256:")
    image = build_image(package, "tiny-v3", 1_700_000_000, "", "team/tiny:3", ())
    assert (image.tag, image.id, image.digest) == ("team/tiny:3", "sha256:" + "1" * 64, "")
    assert called()["epoch"] == "1700000000"
    assert not {"--timestamp", "--format"} & set(called()["words"])
    backend("podman")
    assert installed()[0] == "podman"
    assert installed("docker")[0] == "docker"


def test_bytecode_that_a_server_left_is_not_in_the_context(package, backend):
    from tasks.packaging.model_server import unpacked

    cache = unpacked(package) / "src" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "x.pyc").write_bytes(b"")
    called = backend("podman")
    build_image(package, "tiny-v3", 0, "", "", ())
    assert called()["seen"] == ["env/docker/Dockerfile", "env/docker/entrypoint.sh"]


def test_without_a_backend_the_next_step_is_named(package, backend):
    with pytest.raises(PlatformError, match="Nothing that builds container images") as caught:
        build_image(package, "tiny-v3", 0, "", "", ())
    assert "install podman" in caught.value.next_step
    with pytest.raises(PlatformError, match="docker is not installed"):
        build_image(package, "tiny-v3", 0, "docker", "", ())


def test_what_the_backend_said_last_is_in_the_error(package, backend):
    backend("podman", fails=True)
    with pytest.raises(PackagingError) as caught:
        build_image(package, "tiny-v3", 0, "", "", ())
    assert caught.value.found == "first line | no space left on device"


def test_a_release_from_before_there_were_recipes_is_refused(package, backend):
    backend("podman")
    with pytest.raises(DataError, match="no recipe"):
        build_image(package.model_copy(update={"sbom": None}), "tiny-v3", 0, "", "", ())


def test_the_recipe_names_no_host_and_runs_as_a_number():
    text = container_files("3.12")["Dockerfile"]
    assert "python:3.12-slim" in text
    assert "://" not in text and "apt" not in text
    assert "--require-hashes" in text
    assert "USER 10001:10001" in text.splitlines()
    assert os.linesep + "COPY . /bento" + os.linesep in text
