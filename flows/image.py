"""image: a release as a container image, and the word of it in the ledger. Needs no Prefect."""

from __future__ import annotations

import shlex
from datetime import datetime

from penstock import ledger
from penstock.refs import Value
from tasks.data.project import config_path
from tasks.packaging.containers import Image, build_image
from tasks.packaging.image_push import push_image
from tasks.registry.ledger_store import read_all
from tasks.registry.releases import packaged, tell

RUN = (
    "run --rm --read-only --tmpfs /tmp:rw,size=64m,mode=1777 --cap-drop all --security-opt no-new-privileges "
    "--memory 1g --publish 127.0.0.1:3000:3000 --stop-timeout 35"
)


class Built(Value):
    """The image of a release, and a command that runs it."""

    version: str
    image: Image
    new: bool  # False when the ledger had this very image already
    command: str
    pushed: str = ""  # repository@digest, as a cluster is told

    def __str__(self) -> str:
        lines = [f"{self.version}: {self.image.tag}", f"  image:   {self.image.id}"]
        lines += [f"  digest:  {self.image.digest}"] if self.image.digest else []
        lines += [f"  pushed:  {self.pushed}"] if self.pushed else []
        lines += [f"  Bento:   {self.image.bento}", f"  run it:  {self.command}"]
        return "\n".join(lines)


def image(
    config: str, version: str = "", backend: str = "", tag: str = "", options: tuple[str, ...] = (), push: str = ""
) -> Built:
    """Build the image of ``version``, or of the newest release, and record it: an event `containerized`.

    ``push``: a repository (registry and path) that it is pushed to; the ledger then also has the registry's digest.

    The very image that was recorded last is not recorded twice. See `tasks.packaging.containers.build_image` for the
    rest and for what it raises.
    """
    project = config_path(config).stem
    release = packaged(project, version)
    made = ledger.find(read_all(project), release.version)
    assert made is not None  # or it would not have been found
    registered = int(datetime.fromisoformat(made.time).timestamp())
    built = build_image(release.package, release.version, registered, backend, tag, options)
    facts = {
        "image": built.id, "digest": built.digest, "bento": built.bento, "tag": built.tag, "backend": built.backend,
    }  # fmt: skip
    if push:
        digest = push_image(built, push, release.version.rpartition("-")[2])
        facts |= {"repository": push, "registry_digest": digest}
    last = next((event for event in reversed(read_all(project)) if _is_of(event, release.version)), None)
    new = last is None or last.facts != facts
    if new:
        tell(project, "containerized", release.version, f"{built.tag} {built.id[:19]}", **facts)
    runner = "docker" if built.backend == "docker" else "podman"
    command = f"{runner} {RUN} {shlex.quote(built.tag)}"
    return Built(
        version=release.version, image=built, new=new, command=command, pushed=f"{push}@{digest}" if push else ""
    )


def _is_of(event: ledger.Event, version: str) -> bool:
    return event.kind == "containerized" and event.version == version
