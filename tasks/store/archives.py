"""Unpacks tar archives so that nothing lands outside of the folder it is meant for."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

from penstock.errors import StorageError


def extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Everything in ``archive`` into ``folder``.

    Raises tarfile.FilterError, or StorageError where Python has no filters, for what would land outside.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    for member in archive:  # Python before 3.11.4 has no filters
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise StorageError(
                "An archive has a member that this Python cannot unpack safely.",
                where=member.name,
                allowed="files and folders with relative names",
                next_step="use Python 3.11.4 or newer",
            )
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        archive.extract(member, folder, set_attrs=True)
