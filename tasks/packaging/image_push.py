"""Pushes a release's image to a registry, and says under which digest the registry has it.

That digest, not the builder's own, is what a cluster can be told to run: a push may compress layers anew.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from penstock.errors import PackagingError
from tasks.machine.steps import observed
from tasks.packaging.containers import Image, run_backend

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def push_image(image: Image, repository: str, tag: str) -> str:
    """The digest of ``image`` in ``repository`` (registry and path, without a tag).

    Raises PackagingError with the backend's words if the registry does not take it, or does not say a digest.
    """
    name = f"{repository}:{tag}"
    with observed("push image") as step, tempfile.TemporaryDirectory(prefix="penstock-") as scratch:
        if image.backend == "docker":
            run_backend("docker", "tag", image.id, name)
            run_backend("docker", "push", "--quiet", name)
            said = run_backend("docker", "image", "inspect", "--format", "{{json .RepoDigests}}", name)
            found = next((each for each in json.loads(said) if each.startswith(f"{repository}@")), "")
        else:
            file = Path(scratch) / "digest"
            run_backend(image.backend, "push", "--digestfile", str(file), image.id, f"docker://{name}")
            found = file.read_text() if file.is_file() else ""
        digest = DIGEST.search(found)
        if digest is None:
            raise PackagingError(
                "The image was pushed, and nobody said under which digest.",
                where=name,
                found=found[:200] or "nothing",
                next_step=f"update {image.backend}, and push again",
            )
        step.summary = f"{name}@{digest[0][:19]}"
        return digest[0]
