"""Container images of releases: built by podman, buildah or Docker from the recipe that the release itself carries.

Reads the release's Bento in the store; writes into the backend's own image storage. Needs none of the three until it
is asked to build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from penstock.errors import DataError, PackagingError, PlatformError, StorageError
from penstock.refs import Package, Value
from tasks.machine.settings import settings
from tasks.machine.steps import observed
from tasks.packaging.model_server import unpacked
from tasks.store import store

Backend = Literal["podman", "buildah", "docker"]
# in the order they are looked for: the command-line program of Docker is often there without its engine
BACKENDS: tuple[Backend, ...] = ("podman", "buildah", "docker")
RECIPE = "env/docker/Dockerfile"
# podman and buildah would leave the health check out of their own format
BUILD = {
    "podman": ("build", "--format", "docker"),
    "buildah": ("build", "--layers", "--format", "docker"),
    "docker": ("build",),
}
MANIFEST = {
    "podman": ("image", "inspect", "--format", "{{.Digest}}"),
    "buildah": ("inspect", "--type", "image", "--format", "{{.FromImageDigest}}"),
}


class Image(Value):
    """A container image that was built here.

    ``id`` is the hash of its config, which names every layer by content: it is the same after a push. ``digest`` is
    that of its manifest in this machine's storage, or "" where the backend has none before a push. A registry that
    compresses layers anew gives it another.
    """

    tag: str
    id: str
    digest: str
    bento: str  # digest of the Bento's contents, as in the release's record
    backend: str


def build_image(package: Package, release: str, time: int, backend: str, tag: str, options: tuple[str, ...]) -> Image:
    """The image of ``package``, whose server answers as ``release``.

    ``time``: seconds since 1970 that files of the image are dated, so that equal files are equal layers.
    ``backend``: "" takes the first that is installed. ``tag``: "" is `penstock/<project>:<version>`. ``options`` are
    handed on to the backend's build.

    Raises PlatformError without a backend, DataError for a release from before there were recipes, PackagingError
    with the backend's words if it cannot build.
    """
    if package.sbom is None:
        raise DataError(
            f"`{release}` carries no recipe of an image: it is older than those.",
            next_step=f"penstock run {release.rpartition('-')[0]}: the next release does",
        )
    name, program = installed(backend)
    project, _, version = release.rpartition("-")
    tag = tag or f"penstock/{project}:{version}"
    with store.readable_errors(settings().home), tempfile.TemporaryDirectory(prefix="penstock-") as scratch:
        context, said = Path(scratch) / "bento", Path(scratch) / "id"
        # a copy: servers have left bytecode beside the sources of the folder that is unpacked
        shutil.copytree(unpacked(package), context, ignore=shutil.ignore_patterns("__pycache__"))
        labels = {
            "org.opencontainers.image.title": project,
            "org.opencontainers.image.version": release,
            "penstock.bento": package.tag,
            "penstock.bento.digest": package.digest,
            "penstock.sbom": package.sbom.sha256,
        }
        command = [program, *BUILD[name], "--file", str(context / RECIPE), "--iidfile", str(said), "--tag", tag]
        command += ["--build-arg", f"RELEASE={release}"]
        command += [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        command += [] if name == "docker" else ["--timestamp", str(time)]
        with observed("build image") as step:
            _run([*command, *options, str(context)], name, time)
            step.summary = f"{tag}, by {name}"
        built = said.read_text().strip() if said.is_file() else ""
    if not built:
        raise StorageError(f"{name} built an image and did not say which.", where=tag, next_step=f"{name} images")
    built = built if built.startswith("sha256:") else f"sha256:{built}"
    digest = _run([program, *MANIFEST[name], built], name, time).strip() if name in MANIFEST else ""
    return Image(tag=tag, id=built, digest=digest, bento=package.digest, backend=name)


def run_backend(name: str, *arguments: str) -> str:
    """What a backend's program said. Raises PlatformError if it is not installed, PackagingError if it refuses."""
    return _run([installed(name)[1], *arguments], name, 0, "be pushed")


def installed(backend: str = "") -> tuple[str, str]:
    """(backend, its program) of the one that is asked for, or the first there is. Raises PlatformError if none is."""
    for name in (backend,) if backend else BACKENDS:
        program = shutil.which(name)
        if program:
            return name, program
    raise PlatformError(
        f"{backend} is not installed." if backend else "Nothing that builds container images is installed.",
        where="PATH",
        allowed=", ".join(BACKENDS),
        next_step="install podman (no service has to run for it), then run the command again",
    )


def _run(command: list[str], name: str, time: int, what: str = "be built") -> str:
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(time)} if name == "docker" else None
    # its output is kept back: a build says hundreds of lines, of which the last few matter when it fails
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        words = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise PackagingError(
            f"The container image could not {what}.",
            where=f"{name} {command[1]}",
            found=" | ".join(words[-4:])[-700:] or f"exit code {done.returncode}",
            next_step=f"see that `{name} info` works; docs/container.md has what networks and machines may need",
        )
    return done.stdout
