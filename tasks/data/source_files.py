"""Finds a source's files, here or behind a URL, and gives each as a plain local file that polars can read in pieces.

A file that is remote, packed or not UTF-8 is copied once per process, in pieces, into a folder that goes with the
process. Credentials are what fsspec's libraries find in the environment; none passes through here.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import gzip
import hashlib
import re
import shutil
import tempfile
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from penstock.errors import DataError, PenstockError
from tasks.machine.redaction import redacted
from tasks.machine.settings import settings
from tasks.store import store

PIECE = 1 << 20
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
FORESEEN = (OSError, EOFError, ValueError, ImportError, zlib.error)
LIBRARIES = ("polars", "pyarrow", "aiohttp", "botocore", "s3fs", "gcsfs", "google", "azure", "adlfs")
# what fsspec knows to be of other installations
NEEDS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs"}
ENDINGS = (".gz", ".zst", ".zstd", ".csv", ".tsv", ".txt", ".parquet", ".pq", ".jsonl", ".ndjson", ".json", ".arrow",
           ".feather", ".ipc", ".data")  # fmt: skip


@dataclass(frozen=True)
class SourceFile:
    """One file. ``name`` is its path as a batch's name; ``stamp`` changes with its content."""

    url: str
    name: str
    stamp: str


def find_files(files: str) -> list[SourceFile]:
    """What ``files`` (a path, a glob or a URL) names, in order. Raises DataError if the place cannot be looked at."""
    if "://" not in files:
        root = settings().root
        pattern = str(root / Path(files).expanduser())
        with readable(files):
            found = _local(pattern)
            below = _fixed_part(pattern)
            return [SourceFile(str(path), _batch_name(str(path), below), store.digest(path)[:12]) for path in found]
    with readable(files):
        system, path = _filesystem(files)
        magic = any(sign in path for sign in "*?[") and not files.startswith("http")
        found_urls = sorted(system.glob(path)) if magic else ([path] if system.exists(path) else [])
        below = _fixed_part(path)
        return [
            SourceFile(system.unstrip_protocol(each), _batch_name(each, below), _remote_stamp(system, each))
            for each in found_urls
        ]


def plain_file(file: SourceFile, encoding: str | None) -> Path:
    """A local file with the content of ``file``: unpacked, and as UTF-8 where it is text of ``encoding``.

    Raises DataError when it cannot be read, unpacked or decoded.
    """
    home = settings().home
    path = _plain(home, file, encoding)
    if path.exists() or str(path) == file.url:
        return path
    _plain.cache_clear()  # somebody has cleared the folder away
    _folder.cache_clear()
    return _plain(home, file, encoding)


@functools.lru_cache(maxsize=64)
def _plain(home: Path, file: SourceFile, encoding: str | None) -> Path:
    with readable(file.url), _opened(file.url) as (stream, packing):
        local = "://" not in file.url
        if local and not packing and (encoding is None or _is_utf8(encoding)) and not _has_mark(stream):
            return Path(file.url)
        target = Path(_folder(home).name) / hashlib.sha256(f"{file}{encoding}".encode()).hexdigest()[:24]
        with target.open("wb") as copy:
            if encoding is None:
                shutil.copyfileobj(stream, copy, PIECE)
            else:
                _transcode(stream, copy, "utf-8-sig" if _is_utf8(encoding) else encoding)
        return target


def head_of(file: SourceFile, size: int) -> bytes:
    """The first ``size`` bytes, unpacked."""
    with readable(file.url), _opened(file.url) as (stream, _):
        pieces, left = [], size
        while left and (piece := stream.read(min(left, PIECE))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def pieces_of(file: SourceFile) -> Iterator[bytes]:
    """The whole file, unpacked, in pieces."""
    with readable(file.url), _opened(file.url) as (stream, _):
        while piece := stream.read(PIECE):
            yield piece


@contextlib.contextmanager
def readable(where: str) -> Iterator[None]:
    """Turns what may be raised while a source's file is read into DataError, without any secret."""
    try:
        yield
    except PenstockError:
        raise
    except UnicodeError as error:
        raise DataError(
            "The file's text cannot be decoded.",
            where=where,
            found=redacted(str(error))[:200],
            next_step="correct `data.source.encoding`, or save the file as UTF-8",
        ) from None
    except Exception as error:
        # those of polars, pyarrow and fsspec's libraries by where they are from: importing them costs a second
        if not isinstance(error, FORESEEN) and type(error).__module__.partition(".")[0] not in LIBRARIES:
            raise
        protocol = where.partition("://")[0] if "://" in where else ""
        package = NEEDS.get(protocol) if isinstance(error, ImportError) else None
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"Reading `{protocol}://` needs the package {package}." if package else "The source cannot be read.",
            where=redacted(where),
            found=redacted(said)[:300],
            next_step=f"install it beside Penstock: uv pip install {package}"
            if package
            else "check the file" + (", the address, and the credentials in the environment" if protocol else ""),
        ) from None


def _local(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    anchor = Path(path.anchor)
    return sorted(found for found in anchor.glob(str(path.relative_to(anchor))) if found.is_file())


@contextlib.contextmanager
def _opened(url: str) -> Iterator[tuple[Any, str]]:
    """A stream of the unpacked content, and how it was packed: by its first bytes, whatever it is called."""
    import pyarrow as pa

    with contextlib.ExitStack() as stack:
        raw: BinaryIO
        if "://" in url:
            system, path = _filesystem(url)
            raw = stack.enter_context(system.open(path, "rb"))
        else:
            raw = stack.enter_context(Path(url).open("rb"))
        first = raw.read(4)
        packing = next((name for magic, name in MAGIC.items() if first.startswith(magic)), "")
        raw.seek(0)
        if packing == "gzip":
            yield stack.enter_context(gzip.open(raw)), packing
        elif packing == "zstd":
            yield stack.enter_context(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")), packing
        else:
            yield raw, packing


def _transcode(stream: Any, copy: BinaryIO, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    while piece := stream.read(PIECE):
        copy.write(decoder.decode(piece).encode())
    copy.write(decoder.decode(b"", final=True).encode())


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    return system, path


def _remote_stamp(system: Any, path: str) -> str:
    info = system.info(path)
    marks = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "Last-Modified", "LastModified",
             "mtime", "updated", "last_modified", "created")  # fmt: skip
    # the path too: not every server says more than the size
    kept = [path, str(info.get("size")), *(str(info[name]) for name in marks if info.get(name))]
    return hashlib.sha256("\0".join(kept).encode()).hexdigest()[:12]


def _fixed_part(pattern: str) -> str:
    """The folders of a pattern that are no pattern."""
    parts = []
    for part in PurePosixPath(pattern).parts[:-1]:
        if any(sign in part for sign in "*?["):
            break
        parts.append(part)
    return str(PurePosixPath(*parts)) if parts else ""


def _batch_name(path: str, below: str) -> str:
    """The path below the pattern's folder, without endings, as a batch's name."""
    relative = path.removeprefix(below).strip("/") if below else path
    name = relative.partition("?")[0]
    while (ending := PurePosixPath(name).suffix) and ending.lower() in ENDINGS:
        name = name[: -len(ending)]
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only).strip("-._")
    return clean[:70] or "rows"


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


def _has_mark(stream: Any) -> bool:
    mark: bytes = stream.read(3)
    stream.seek(0)
    return mark == codecs.BOM_UTF8


@functools.cache
def _folder(home: Path) -> tempfile.TemporaryDirectory[str]:
    """Removed when this process ends."""
    parent = home / "sources"
    with store.readable_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=parent, prefix="tmp-")
