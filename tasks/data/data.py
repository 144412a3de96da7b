"""Dataset versions: which files one consists of, verified byte for byte, read in place from DVC's cache.

DVC itself trusts what it fetches: a damaged object in a remote enters its cache without a word, and a folder that is
missing there is a warning. So every byte is hashed here, once on arrival and again only when a file has changed.
DVC is imported only when something has to be fetched, added or pushed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from penstock.config import DataConfig
from penstock.errors import DataError, PenstockError
from penstock.refs import DataFile, Dataset
from tasks.data.dvc_config import DEFAULT, azure_login, cached, remote_url
from tasks.data.git import git
from tasks.machine.redaction import redacted
from tasks.machine.settings import settings
from tasks.store import locks, store
from tasks.store.caching import task

CHUNK = 1 << 22
JOBS = 8


@task(reads=True)
def resolve_dataset(data: DataConfig, revision: str = "") -> Dataset:
    """The dataset as its .dvc file has it: in the working tree, at a git revision, or as a version's own hash.

    What the cache lacks is fetched from the remote. Raises DataError when there is no such version, when an object
    is nowhere to be had, or when the remote's bytes are not what their name says.
    """
    version = _version(data, revision)
    _require([version])
    try:
        entries = json.loads(cached(version).read_bytes())
        listed = {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
    except (ValueError, KeyError, TypeError):
        raise DataError("The dataset's list of files cannot be read.", where=str(cached(version))) from None
    if not listed:
        raise DataError(f"The dataset `{data.path}` has no files.", next_step="ingest a batch")
    strange = sorted(path for path in listed if not path.endswith(".parquet"))
    if strange:
        raise DataError(
            f"The dataset `{data.path}` has files that are not Parquet.",
            found=", ".join(strange[:3]),
            next_step=f"remove them from {data.path}/, then: dvc add {data.path} && dvc push",
        )
    _require(sorted(set(listed.values())))
    files = (DataFile(path=path, md5=md5, size=cached(md5).stat().st_size) for path, md5 in sorted(listed.items()))
    return Dataset(path=data.path, version=version, files=tuple(files))


def data_path(file: DataFile) -> Path:
    """Where the file's bytes are: DVC's cache, read only."""
    return cached(file.md5)


def fetched(file: DataFile) -> Path:
    """As `data_path`; what is not in the cache is fetched. Raises DataError as `resolve_dataset` does."""
    _require([file.md5])
    return data_path(file)


def dataset_paths(dataset: Dataset) -> list[Path]:
    return [data_path(file) for file in dataset.files]


def tracked_files(data: DataConfig) -> dict[str, str]:
    """``{path: MD5}`` of the version in the working tree; empty before anything was ingested."""
    if not _dvc_file(data).is_file():
        return {}
    return {file.path: file.md5 for file in resolve_dataset.fn(data).files}


def track(data: DataConfig) -> None:
    """`dvc add` and `dvc push` of the dataset's folder. Raises DataError when the remote cannot be written."""
    with locks.exclusive("dvc"), repository() as repo:
        try:
            repo.scm_context.quiet = True  # git is the user's, or `--commit`'s
            repo.add([data.path])
            repo.push(targets=[f"{data.path}.dvc"])
        except Exception as error:  # DVC, fsspec and every remote's library have their own
            raise _remote_error(error, "write") from error


def _version(data: DataConfig, revision: str) -> str:
    if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", revision):
        return revision.removesuffix(".dir") + ".dir"
    name = f"{data.path}.dvc"
    if revision:
        text = _at_revision(name, revision)
    elif _dvc_file(data).is_file():
        text = _dvc_file(data).read_text(encoding="utf-8")
    else:
        raise DataError(
            f"There is no data yet: `{name}` does not exist.",
            where=str(settings().root),
            next_step=f"penstock run {Path(data.path).name}, or penstock ingest",
        )
    try:
        version = str(yaml.safe_load(text)["outs"][0]["md5"])
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        version = ""
    if not re.fullmatch(r"[0-9a-f]{32}\.dir", version):
        raise DataError(
            f"`{name}` is not a DVC file of a folder.",
            where=f"{name}{'@' + revision if revision else ''}",
            found=text.strip()[:80] or "nothing",
            next_step=f"git checkout -- {name}, or remove it and ingest again",
        )
    return version


def _at_revision(name: str, revision: str) -> str:
    found = git("show", f"{revision}:{name}")
    if found is None:
        raise DataError("A revision was asked for, and git is not installed.", found=revision)
    if found.returncode:
        raise DataError(
            f"`{name}` is not in git at `{revision}`.",
            found=found.stderr.strip().removeprefix("fatal: ")[:200],
            allowed="a commit, branch or tag that has the file, or a dataset version (32 hexadecimal digits)",
            next_step=f"git log --oneline -- {name}",
        )
    return found.stdout


def _require(oids: list[str]) -> None:
    """Make sure that the cache holds these objects, whole. Fetches what it lacks."""
    lacking = [oid for oid in oids if not _whole(oid)]
    if not lacking:
        return
    with locks.exclusive("dvc-fetch"):
        lacking = [oid for oid in lacking if not _whole(oid)]  # another process may have fetched them meanwhile
        if not lacking:
            return
        with repository() as repo:
            try:
                remote = repo.cloud.get_remote_odb()
            except Exception as error:
                raise _remote_error(error, "read") from error
            with ThreadPoolExecutor(JOBS) as pool:
                for done in [pool.submit(_fetch, remote, oid) for oid in lacking]:
                    done.result()


def _whole(oid: str) -> bool:
    path = cached(oid)
    try:
        return store.digest(path, "md5") == oid.removesuffix(".dir")
    except OSError:
        return False


def _fetch(remote: Any, oid: str) -> None:
    """One object from the remote into the cache, hashed as it streams, renamed into place when it is right."""
    target = cached(oid)
    with store.readable_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
    draft = Path(name)
    md5 = hashlib.md5(usedforsecurity=False)
    try:
        try:
            with os.fdopen(handle, "wb") as out, remote.fs.open(remote.oid_to_path(oid), "rb") as source:
                while chunk := source.read(CHUNK):
                    md5.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
        except FileNotFoundError:
            raise DataError(
                "An object of the dataset is in neither the cache nor the remote.",
                where=remote_url(),
                found=oid,
                next_step="push it from a machine that has it (dvc push), or name another dataset version",
            ) from None
        except PenstockError:
            raise
        except Exception as error:
            raise _remote_error(error, "read") from error
        if md5.hexdigest() != oid.removesuffix(".dir"):
            raise DataError(
                "An object in the DVC remote is damaged: its bytes are not what its name says.",
                where=f"{remote_url()}: {oid}",
                found=md5.hexdigest(),
                next_step="remove it there and push it again from a machine that has it (dvc push)",
            )
        draft.chmod(0o444)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _dvc_file(data: DataConfig) -> Path:
    return settings().root / f"{data.path}.dvc"


@contextlib.contextmanager
def repository() -> Iterator[Any]:
    """DVC's repository of the checkout, with our remote if a setting names one; without git where there is none."""
    from dvc.repo import Repo

    root = settings().root
    if not (root / ".dvc" / "config").is_file():
        store.write_atomic(root / ".dvc" / "config", DEFAULT.encode())
    config: dict[str, Any] = {"core": {"analytics": False, "autostage": False}}
    if not (root / ".git").exists():
        config["core"]["no_scm"] = True
    if settings().remote:
        config["core"]["remote"] = "penstock"
        config["remote"] = {"penstock": {"url": settings().remote, **azure_login(settings().remote)}}
    with Repo(str(root), config=config, _wait_for_lock=True) as repo:
        yield repo


def _remote_error(error: Exception, verb: str) -> DataError:
    if isinstance(error, DataError):
        return error
    text = redacted(re.sub(r"://[^/\s@]*@", "://", str(error))).strip() or type(error).__name__
    return DataError(
        f"The DVC remote cannot be {'read' if verb == 'read' else 'written'}.",
        where=remote_url() or "no remote is configured",
        found=text.splitlines()[0][:300],
        next_step="correct PENSTOCK_REMOTE or .dvc/config, or make it reachable; then run the command again",
    )
