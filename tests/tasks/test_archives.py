"""Archives: what is in them, and nothing outside of the folder; also by a Python that has no filters."""

from __future__ import annotations

import io
import tarfile

import pytest

from penstock.errors import StorageError
from tasks.store.archives import extract


def archive(*members: tuple[str, bytes], link: str = "") -> tarfile.TarFile:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o777
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    made.seek(0)
    return tarfile.open(fileobj=made)


@pytest.fixture(params=["filters", "no filters"])
def python(request, monkeypatch):
    if request.param == "no filters":
        monkeypatch.delattr(tarfile, "data_filter")


@pytest.mark.usefixtures("python")
def test_files_and_folders(tmp_path):
    extract(archive(("a/b.txt", b"one"), ("c", b"two")), tmp_path)
    assert {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {
        "a/b.txt": b"one",
        "c": b"two",
    }


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    "made", [lambda: archive(("../outside", b"x")), lambda: archive(link="/etc/passwd")], ids=["above", "link"]
)
def test_nothing_lands_outside(tmp_path, made):
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises((tarfile.FilterError, StorageError)):
        extract(made(), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["in"] and list(folder.iterdir()) == []
