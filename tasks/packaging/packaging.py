"""Packages a model as a Bento: an immutable tar of the model, the compiled schema, the service, its requirements, the
bill of materials of what those install, and the recipe of a container image."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.recipe import container_files
from penstock.config import FeaturesConfig, PackageConfig
from penstock.errors import PackagingError
from penstock.refs import Evaluation, FileRef, Model, Package, Splits
from penstock.schema import compile_spec, parse_schema
from penstock.task_type import TASK_TYPES
from tasks.machine.mortal import MORTAL
from tasks.machine.settings import settings
from tasks.packaging.sbom import bill_of_materials
from tasks.packaging.serving_env import serving_python
from tasks.store import store
from tasks.store.archives import extract
from tasks.store.caching import task
from tasks.store.source import CODE, closure
from tasks.training.samples import example_row

if TYPE_CHECKING:
    import bentos.build  # never imported here, but what they do makes the result: part of the cache key
    import bentos.health
    import bentos.launch
    import bentos.service  # noqa: F401

MEASURED = ("latency_ms",)  # of metrics.json: different each time, and no reason for another tag


@task(libraries=("bentoml",))
def package_model(
    model: Model,
    evaluation: Evaluation,
    splits: Splits,
    schema: str,
    features: FeaturesConfig,
    package: PackageConfig,
    requirements: FileRef,
    name: str,
) -> Package:
    """A Bento of project ``name``. Its tag says what is in it: equal inputs get equal tags.

    Waits for the serving environment, whose bill of materials is in it. Raises PackagingError with the installer's or
    BentoML's words if that cannot be installed, or the Bento not built.
    """
    categories = store.read_json(splits.categories)
    spec = compile_spec(parse_schema(schema, "the project's schema"), features, categories, package)
    spec_ref = store.put_json(spec, "schema.json")
    pins = store.read_bytes(requirements)
    sbom = store.put_json(bill_of_materials(serving_python(store.locate(requirements)), pins), "sbom.cdx.json")
    container = container_files(".".join(map(str, sys.version_info[:2])))
    sources = _sources()
    example = example_row(splits, features)
    parts = [
        model.booster.sha256,
        spec_ref.sha256,
        requirements.sha256,
        sbom.sha256,
        container,
        {name: part for name, part in store.read_json(evaluation.metrics).items() if name not in MEASURED},
        package.model_dump(),
        example,
    ]
    code = {path: hashlib.sha256(content).hexdigest() for path, content in sources.items()}
    version = hashlib.sha256(json.dumps([parts, code], sort_keys=True).encode()).hexdigest()[:16]
    about = _about(f"{name}:{version}", model, evaluation, splits, package, name) | {"example": example}
    # not below the home: BentoML refuses to read a path with a part that starts with a dot, such as `.penstock`
    with store.readable_errors(settings().store), tempfile.TemporaryDirectory(prefix="penstock-") as scratch:
        folder = Path(scratch)
        carried = {"requirements.txt": pins, "sbom.cdx.json": store.read_bytes(sbom)}
        _lay_out(folder / "context", {**sources, **carried})
        contents = {"schema.json": store.read_bytes(spec_ref), "model.ubj": store.read_bytes(model.booster)}
        _lay_out(folder / "model", {**contents, "about.json": json.dumps(about, indent=1).encode()})
        tar = folder / "bento.tar"
        _build(folder, tar, name, version, about, package, container)
        unpack(tar, folder / "unpacked")
        digest = content_digest(folder / "unpacked")
        with store.new_file("bento.tar") as draft:
            shutil.move(tar, draft.path)
    return Package(bento=draft.ref, tag=about["bento"], digest=digest, schema_spec=spec_ref, sbom=sbom)


class _Builder:
    """A fresh process that has begun to import BentoML, with a home of its own: parallel builds share nothing."""

    def __init__(self) -> None:
        self.home = tempfile.TemporaryDirectory(prefix="penstock-", ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [*MORTAL, sys.executable, "-m", "bentos.build"],
            cwd=self.home.name,
            env={
                **os.environ,
                "BENTOML_HOME": self.home.name,
                "BENTOML_DO_NOT_TRACK": "true",
                "PYTHONPATH": str(CODE),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def build(self, order: Path) -> tuple[int, list[str]]:
        """(exit code, what it said) of the build that the file ``order`` describes."""
        try:
            said, _ = self.process.communicate(f"{order}\n")
        except BrokenPipeError:
            said = ""
        finally:
            self.stop()
        return self.process.returncode, said.strip().splitlines()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.home.cleanup()


_builders: list[_Builder] = []


def start_builder() -> None:
    """Begin to import BentoML in a process that `package_model` will use: training has the second to spare."""
    if not _builders:
        _builders.append(_Builder())
        atexit.register(stop_builder)


def stop_builder() -> None:
    """End the process that was started early and not used, because a gate closed before it."""
    while _builders:
        _builders.pop().stop()


def unpack(tar: Path, folder: Path) -> None:
    """Extract a Bento, refusing members that would land outside of ``folder``."""
    with tarfile.open(tar) as archive:
        extract(archive, folder)


def content_digest(folder: Path) -> str:
    """SHA-256 over the sorted names and contents of a folder's files, wherever and whenever it was unpacked."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        with path.open("rb") as file:
            total.update(f"{path.relative_to(folder)}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _sources() -> dict[str, bytes]:
    """The files of ours that the server needs: the service, the launcher and what they import."""
    paths = {path for module in ("bentos.service", "bentos.launch", "bentos.health") for path in closure(module)}
    paths |= {"bentos/__init__.py", "penstock/__init__.py"}
    return {path: (CODE / path).read_bytes() for path in sorted(paths)}


def _about(
    tag: str, model: Model, evaluation: Evaluation, splits: Splits, package: PackageConfig, name: str
) -> dict[str, Any]:
    metrics = store.read_json(evaluation.metrics)
    summary = store.read_json(splits.summary)
    return {
        "bento": tag,
        "project": name,
        "purpose": package.purpose,
        "intended_use": package.intended_use,
        "owner": package.owner,
        "model_sha256": model.booster.sha256,
        "dataset": summary["dataset"],
        "task": metrics["task"],
        **{key: metrics[key] for key in ("threshold", "classes", "quantile") if key in metrics},
        "test_rows": metrics["rows"],
        "metrics": {
            key: value
            for key in TASK_TYPES[metrics["task"]].shown
            if (value := metrics["metrics"].get(key)) is not None
        },
    }


def _build(
    folder: Path,
    tar: Path,
    name: str,
    version: str,
    about: dict[str, Any],
    package: PackageConfig,
    container: dict[str, str],
) -> None:
    labels = {
        "penstock.project": name,
        "penstock.model": about["model_sha256"][:16],
        "penstock.dataset": about["dataset"].removesuffix(".dir"),
    }
    request = {
        "name": name,
        "version": version,
        "context": str(folder / "context"),
        "container": container,
        "model": str(folder / "model"),
        "labels": labels,
        "metadata": {key: about[key] for key in ("task", "threshold", "metrics") if key in about},
        "description": f"{package.purpose}\n\n{package.intended_use}".strip(),
        "python": ".".join(map(str, sys.version_info[:2])),
        "tar": str(tar),
    }
    order = folder / "request.json"
    order.write_text(json.dumps(request))
    builder = _builders.pop() if _builders else _Builder()
    code, words = builder.build(order)
    if code or not tar.is_file():
        raise PackagingError(
            "BentoML could not build the package.",
            where=f"{name}:{version}",
            found=(words[-1] if words else f"exit code {code}")[:400],
            next_step="PENSTOCK_DEBUG=1 shows where; then run the command again, finished steps are kept",
        )


def _lay_out(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
