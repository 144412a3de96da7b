"""Builds a Bento and exports it as a tar. Run in a process of its own: `python -m bentos.build`.

BentoML keeps the first service it imported for the life of a process, and reads BENTOML_HOME when it is imported.
The process imports BentoML at once, which takes a second, and then waits for one line on stdin: the path of a JSON
file. So it can be started while the model still trains. Without a line, it ends. The file has: name, version, context
(folder of the sources), container (files of `env/docker`: text by name), model (folder of the model's files), labels,
metadata, description, python, tar (where to write).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

SERVICE = "bentos.service:Model"


def main() -> None:
    import bentoml
    import bentoml.models  # what the build itself would import later

    order = sys.stdin.readline().strip()
    if not order:
        return
    request: dict[str, Any] = json.loads(Path(order).read_text())
    tag = f"{request['name']}:{request['version']}"
    with bentoml.models.create(tag, labels=request["labels"], metadata=request["metadata"]) as model:
        for path in Path(request["model"]).iterdir():
            shutil.copyfile(path, model.path_of(path.name))
    bento = bentoml.build(
        service=SERVICE,
        name=request["name"],
        version=request["version"],
        build_ctx=request["context"],
        include=["**/*.py", "requirements.txt", "sbom.cdx.json"],
        labels=request["labels"],
        description=request["description"],
        models=[{"tag": tag, "alias": "model"}],
        # everything is pinned already: locking again would ask the network
        python={"requirements_txt": "requirements.txt", "lock_packages": False},
        docker={"python_version": request["python"]},
    )
    folder = Path(bento.path)
    # BentoML's own recipe starts another server, installs without checking hashes and drops a template of ours; its
    # list of requirements repeats one without a hash
    for file, content in request["container"].items():
        (folder / "env" / "docker" / file).write_text(content)
    shutil.copyfile(Path(request["context"]) / "requirements.txt", folder / "env" / "python" / "requirements.txt")
    bentoml.export_bento(bento.tag, request["tar"], "tar")  # an absolute path: a relative one lands in the root folder


if __name__ == "__main__":
    main()
