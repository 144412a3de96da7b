"""Writes the files of CI systems into the checkout, and never over one that somebody else wrote."""

from __future__ import annotations

from penstock.ci_files import MARK, System, files
from penstock.config import Project
from penstock.errors import ConfigError
from tasks.machine.settings import settings
from tasks.store.store import readable_errors, write_atomic


def generate(systems: tuple[System, ...], projects: list[Project], force: bool = False) -> list[str]:
    """Write the files of ``systems``, all or none; returns the paths of those that were not so already.

    Raises ConfigError where a file is there that `penstock ci generate` has not written and ``force`` is not given, or
    where there is no pyproject.toml for `uv sync` to install.
    """
    root = settings().root
    if not (root / "pyproject.toml").is_file():
        raise ConfigError(
            "CI installs what pyproject.toml says, and there is none.",
            where=str(root),
            next_step="uv init --bare && uv add penstock",
        )
    urls = (project.data.source.sql.url_env for project in projects if project.data.source.sql)
    passwords = ["PENSTOCK_SQL_PASSWORD" for project in projects if project.data.source.sql]
    known = files(tuple(sorted({*filter(None, urls), *passwords})))
    wanted = {root / path: text for path, text in (known[system] for system in systems)}
    strange = [path for path in wanted if path.exists() and MARK not in path.read_text(encoding="utf-8")]
    if strange and not force:
        raise ConfigError(
            "These files are not Penstock's.",
            found=", ".join(str(path.relative_to(root)) for path in strange),
            next_step="move what is in them elsewhere, or: penstock ci generate --force; what they say is lost",
        )
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in changed:
        with readable_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, wanted[path].encode())
    return [str(path.relative_to(root)) for path in changed]
