"""What is shared, in a folder and in a bucket: whole objects, and names that only one writer gets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.errors import ConfigError, StorageError, UnreachableError
from tasks import bucket, patience, steps
from tasks.objects import objects
from tests.loopback import Quiet, serving
from tests.s3_server import BUCKET


def test_what_is_written_is_read(store_of):
    store_of.write("a/b.json", b"one")
    store_of.write("a/b.json", b"two")
    assert store_of.read("a/b.json") == b"two"
    assert store_of.size("a/b.json") == 3
    assert store_of.names("a") == ["b.json"]
    assert store_of.names("nothing") == []


def test_files_come_back_as_they_went(store_of, tmp_path):
    content = bytes(range(256)) * 60_000  # more than one part of a multipart upload
    (tmp_path / "in").write_bytes(content)
    store_of.upload("store/ab/x", tmp_path / "in")
    store_of.download("store/ab/x", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    assert store_of.size("store/ab/x") == len(content)


@pytest.mark.parametrize("call", ["read", "size", "download"])
def test_what_is_not_there(store_of, tmp_path, call):
    arguments = ["nothing", tmp_path / "out"] if call == "download" else ["nothing"]
    with pytest.raises(FileNotFoundError):
        getattr(store_of, call)(*arguments)


def test_a_name_is_taken_by_one_writer(store_of):
    def write(number: int) -> int | None:
        try:
            store_of.create("ledger/p/000001.json", b"%d" % number)
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(write, range(24)) if number is not None]
    assert len(winners) == 1
    assert store_of.read("ledger/p/000001.json") == b"%d" % winners[0]


def test_a_missing_bucket_is_not_an_empty_one(s3, use_store):
    use_store("s3://nobody/here")
    for call in (lambda: objects().names("ledger/p"), lambda: objects().write("x", b"")):
        with pytest.raises(StorageError, match="does not exist"):
            call()


def test_a_missing_folder_is_not_made(tmp_path, use_store):
    use_store(str(tmp_path / "not-mounted"))
    with pytest.raises(StorageError, match="not there"):
        objects().write("x", b"")
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize("url", ["s3://", "ftp://host/x", "relative/folder", "s3://key:hunter2@team/x"])
def test_addresses_that_are_none(use_store, url):
    use_store(url)
    with pytest.raises(ConfigError) as caught:
        objects()
    assert caught.value.where == "PENSTOCK_STORE"
    assert "hunter2" not in caught.value.text()


def test_no_credentials(s3, use_store, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    use_store(f"s3://{BUCKET}/nobody")
    with pytest.raises(StorageError, match="no credentials") as caught:
        objects().names("ledger/p")
    assert "AWS_ACCESS_KEY_ID" in caught.value.next_step


@pytest.mark.parametrize("mode", ["refused", "dropped", "errors", "slow"])
def test_a_store_that_is_away_is_waited_for_and_told_of(network, use_store, monkeypatch, mode):
    use_store(f"s3://{BUCKET}/away-{mode}")
    told = []
    monkeypatch.setattr(patience, "TOLD_AFTER", 0.5)
    monkeypatch.setattr(steps, "listeners", [told.append])
    monkeypatch.setattr(bucket, "SECONDS", 1.0)
    back = network.away(mode, 2.5)
    objects().write("x", b"after all")
    back.join()
    assert network.troubled or mode == "refused"
    assert [event.state for event in told] == ["failed", "done"]
    assert "does not answer" in told[0].summary
    assert objects().read("x") == b"after all"


def test_patience_ends(network, use_store, monkeypatch):
    use_store(f"s3://{BUCKET}/gone")
    network.become("refused")
    with patience.within(1.0), pytest.raises(UnreachableError) as caught:
        objects().write("x", b"")
    assert caught.value.where == f"s3://{BUCKET}/gone"
    assert "hunter2" not in caught.value.text()
    assert "run the command again" in caught.value.next_step


def test_a_server_that_ignores_conditions_keeps_no_ledger(use_store, monkeypatch, s3):
    class Careless(Quiet):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer()

    use_store(f"s3://{BUCKET}/x")
    with serving(Careless) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(StorageError, match="conditional"):
            objects().create("ledger/p/000001.json", b"{}")


def test_whoever_shares_nothing_imports_nothing_of_it(checkout):
    code = (
        "import sys; from flows import cli, plan, status, train; from tasks import ledger_store, store\n"
        "store.put_bytes(b'x', 'x'); ledger_store.read_all('tiny')\n"
        "print({'s3fs', 'botocore', 'fsspec', 'tasks.bucket'} & sys.modules.keys())"
    )
    assert checkout.python("-c", code, check=True).stdout == "set()\n"
