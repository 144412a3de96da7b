"""What DVC's configuration files say, read without DVC: importing it costs a second that `penstock plan` has not."""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from penstock.errors import ConfigError
from tasks.machine.settings import settings

DEFAULT = """\
[core]
    analytics = false
    autostage = false
    remote = local
['remote "local"']
    url = ../.penstock/remote
"""
# DVC's option for an Azure remote -> the end of adlfs's variable
AZURE = {
    "connection_string": "CONNECTION_STRING",
    "account_name": "ACCOUNT_NAME",
    "account_key": "ACCOUNT_KEY",
    "sas_token": "SAS_TOKEN",
    "tenant_id": "TENANT_ID",
    "client_id": "CLIENT_ID",
    "client_secret": "CLIENT_SECRET",
}


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


def azure_login(url: str) -> dict[str, str]:
    """What DVC has to be told of an Azure remote: it reads the names of Azure's command line, the shared store adlfs's.

    Kept in memory only.
    """
    if urlsplit(url).scheme != "azure":
        return {}
    given = {option: os.environ.get(f"AZURE_STORAGE_{name}", "") for option, name in AZURE.items()}
    return {option: value for option, value in given.items() if value}


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
