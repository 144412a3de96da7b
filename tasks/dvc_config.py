"""What DVC's configuration files say, read without DVC: importing it costs a second that `penstock plan` has not."""

from __future__ import annotations

import configparser
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from penstock.errors import ConfigError
from tasks.settings import settings

DEFAULT = """\
[core]
    analytics = false
    autostage = false
    remote = local
['remote "local"']
    url = ../.penstock/remote
"""


def cache_folder() -> Path:
    """Where DVC keeps objects by MD5 (`cache.dir`, or `.dvc/cache`)."""
    folder = settings().root / ".dvc"
    named = _read().get("cache", "dir", fallback="")
    return (folder / named if named else folder / "cache").resolve() / "files" / "md5"


def cached(oid: str) -> Path:
    """Where the cache has an object, if it has it. ``oid``: its MD5, with `.dir` for a list of files."""
    return cache_folder() / oid[:2] / oid[2:]


def remote_url() -> str:
    """The remote that datasets are pushed to, without credentials; relative paths made absolute."""
    if settings().remote:
        return without_credentials(settings().remote)
    config = _read()
    section = f"'remote \"{config.get('core', 'remote', fallback='')}\"'"
    url = config.get(section, "url", fallback="")
    if url and "://" not in url:
        return str((settings().root / ".dvc" / url).resolve())
    return without_credentials(url)


def without_credentials(url: str) -> str:
    parts = urlsplit(url)
    if "@" not in parts.netloc and not parts.query:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _read() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    folder = settings().root / ".dvc"
    try:
        config.read([folder / "config", folder / "config.local"], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(
            "DVC's configuration cannot be read.",
            where=str(folder / "config"),
            found=str(error).splitlines()[0][:200],
            next_step="mend the file, or: git checkout -- .dvc/config",
        ) from None
    return config
