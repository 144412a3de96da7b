"""What is shared, in a folder and in a bucket: whole objects, and names that only one writer gets."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.errors import ConfigError, StorageError, UnreachableError
from tasks.machine import steps
from tasks.machine.settings import settings
from tasks.store import bucket, patience
from tasks.store.objects import objects
from tests.azure_server import KEY, connection_string
from tests.loopback import Quiet, serving
from tests.s3_server import BUCKET


def test_what_is_written_is_read(store_of):
    store_of.write("a/b.json", b"one")
    store_of.write("a/b.json", b"two")
    assert store_of.read("a/b.json") == b"two"
    assert store_of.size("a/b.json") == 3
    assert store_of.names("a") == ["b.json"]
    assert store_of.names("nothing") == []


def test_nothing_can_be_kept_too(store_of, tmp_path):
    store_of.write("empty", b"")
    store_of.download("empty", tmp_path / "out")
    assert (store_of.read("empty"), store_of.size("empty"), (tmp_path / "out").read_bytes()) == (b"", 0, b"")


def test_all_that_is_there_is_listed_and_what_is_deleted_is_gone(store_of):
    began = time.time()
    for name in ("a/b/c.json", "a/d", "ab/e"):
        store_of.write(name, b"one")
    found = store_of.entries("a")
    assert [(entry.name, entry.size) for entry in found] == [("a/b/c.json", 3), ("a/d", 3)]
    assert all(abs(entry.modified - began) < 60 for entry in found)
    assert abs(store_of.modified("a/d") - found[1].modified) < 1.0
    assert store_of.entries("nothing") == []
    store_of.delete("a/d")
    store_of.delete("a/d")
    assert [entry.name for entry in store_of.entries("a")] == ["a/b/c.json"]
    with pytest.raises(FileNotFoundError):
        store_of.modified("a/d")


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

    with ThreadPoolExecutor(20) as pool:
        winners = [number for number in pool.map(write, range(40)) if number is not None]
    assert len(winners) == 1
    assert store_of.read("ledger/p/000001.json") == b"%d" % winners[0]


@pytest.mark.parametrize("call", ["names", "write", "upload", "create"])
def test_a_missing_bucket_is_not_an_empty_one(cloud, use_store, tmp_path, call):
    use_store(cloud.url("here", bucket="nobody"))
    (tmp_path / "in").write_bytes(b"x" * 6_000_000)  # too much for one request of gcsfs
    arguments = {"names": ["ledger/p"], "upload": ["x", tmp_path / "in"]}.get(call, ["x", b""])
    with pytest.raises(StorageError, match="does not exist") as caught:
        getattr(objects(), call)(*arguments)
    assert caught.value.where == cloud.url("here", bucket="nobody")


def test_a_name_that_begins_like_another_folder_is_not_in_it(store_of):
    store_of.write("ledger/p/1.json", b"")
    store_of.write("ledger/pq/2.json", b"")
    store_of.write("ledger/p/deeper/3.json", b"")
    assert store_of.names("ledger/p") == ["1.json"]


def test_more_objects_than_one_answer_lists(cloud, use_store, tmp_path, monkeypatch):
    use_store(cloud.url(tmp_path.name))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: objects().write(f"ledger/p/{number:06}.json", b""), range(1, 13)))
    found = objects()._fs
    if cloud.kind == "gcs":  # the others' libraries turn the pages themselves
        call = found.call
        monkeypatch.setattr(found, "call", lambda *its, **more: call(*its, **more, maxResults=5))
    assert objects().names("ledger/p") == [f"{number:06}.json" for number in range(1, 13)]


def test_a_missing_folder_is_not_made(tmp_path, use_store):
    use_store(str(tmp_path / "not-mounted"))
    with pytest.raises(StorageError, match="not there"):
        objects().write("x", b"")
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "ftp://host/x",
        "relative/folder",
        "s3://key:hunter2@team/x",
        "gs://",
        "gs://hunter2@team/x",
        "az://team/x?sig=hunter2",
        "abfs://team:hunter2@ours/x",
    ],
)
def test_addresses_that_are_none(use_store, url):
    use_store(url)
    with pytest.raises(ConfigError) as caught:
        objects()
    assert caught.value.where == "PENSTOCK_STORE"
    assert "hunter2" not in caught.value.text()


@pytest.mark.parametrize("url", [
    "s3://ANN1:hunter2@team/x", "s3://ANN1:hunt/er2@team/x", "s3://hunter2@team", "s3://ANN1:hunt@er2@team/x/y",
    "s3://ANN1/er2:hunter2@team", "file://ANN1:hunter2@/mnt/team",
])  # fmt: skip
def test_credentials_in_an_address_are_refused_by_words_that_do_not_show_them(use_store, url):
    use_store(url)
    with pytest.raises(ConfigError, match="credentials in it") as caught:
        settings()
    assert caught.value.where == "PENSTOCK_STORE"
    assert not [part for part in ("ANN1", "hunt", "er2") if part in caught.value.text()]


@pytest.mark.parametrize("url", ["s3://team/people/ann@home", "/mnt/team@work/a:b", "file:///mnt/team@work"])
def test_an_at_sign_elsewhere_is_none(use_store, url):
    use_store(url)
    assert settings().shared == url


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


def test_no_credentials_of_google(gcs_port, use_store, monkeypatch, tmp_path):
    """With an emulator none are asked for; without one, and without any, that is said and nobody is asked."""
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    use_store(f"gs://{BUCKET}/nobody")
    with pytest.raises(StorageError, match="no credentials") as caught:
        objects().names("ledger/p")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.next_step


@pytest.mark.parametrize("status", [400, 401, 403, 408, 429, 502, 503])
def test_what_google_answers_is_refused_or_waited_for(gcs_port, use_store, monkeypatch, status):
    asked = []

    class Answering(Quiet):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.answer(json.dumps({"error": {"code": status, "message": "said so"}}).encode(), status)

    expected = StorageError if status in (400, 401, 403) else UnreachableError
    use_store(f"gs://{BUCKET}/status-{status}")
    with serving(Answering) as port:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        with patience.within(0.5), pytest.raises(expected) as caught:
            objects().names("ledger/p")
    assert type(caught.value) is expected
    assert (len(asked) == 1) == (expected is StorageError)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("s3://a/b", "s3fs", "s3"), ("gs://a/b", "gcsfs", "gcs"), ("az://a/b", "adlfs", "azure")],
)
def test_packages_that_are_not_installed(use_store, monkeypatch, url, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "gcsfs":
        monkeypatch.setitem(sys.modules, "gcsfs.core", None)
    monkeypatch.delitem(sys.modules, f"tasks.store.bucket_{extra}", raising=False)
    use_store(url)
    with pytest.raises(ConfigError, match="not installed") as caught:
        objects()
    assert f"uv sync --extra {extra}" in caught.value.next_step


def test_a_key_that_is_refused_is_not_shown(azure_port, use_store, monkeypatch):
    right = connection_string(azure_port)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", right.replace(KEY, "aHVudGVyMmh1bnRlcjI="))
    use_store("az://team/x")
    for call in (lambda: objects().names("ledger/p"), lambda: objects().create("x", b"")):
        with pytest.raises(StorageError, match="does not let this user in") as caught:
            call()
        assert "aHVudGVy" not in caught.value.text()


def test_which_account_is_said_once(azure_port, use_store, monkeypatch):
    use_store("az://team/x")
    with pytest.raises(ConfigError, match="which storage account"):
        objects()
    use_store("abfs://team@ours.dfs.core.windows.net/x")
    assert objects().where == "abfs://team@ours.dfs.core.windows.net/x"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string(azure_port))
    use_store("abfs://team@ours.dfs.core.windows.net/y")
    with pytest.raises(ConfigError, match="another account") as caught:
        objects()
    assert KEY not in caught.value.text()


def test_the_same_name_at_another_server_is_another_store(use_store, monkeypatch):
    places = set()
    for url, name, values in (
        ("gs://team/x", "STORAGE_EMULATOR_HOST", ("", "http://127.0.0.1:1")),
        ("az://team/x", "AZURE_STORAGE_ACCOUNT_NAME", ("ours", "theirs")),
        ("az://team/x", "AZURE_STORAGE_CONNECTION_STRING", (connection_string(1), connection_string(2))),
    ):
        for value in values:
            monkeypatch.setenv(name, value)
            use_store(url)
            places.add(settings().copies)
    assert len(places) == 6
    changed = connection_string(2).replace(KEY, "YW5vdGhlcg==")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", changed)
    assert settings().copies in places  # a key that was changed is no other store


@pytest.mark.parametrize("mode", ["refused", "dropped", "errors", "slow"])
def test_a_store_that_is_away_is_waited_for_and_told_of(cloud, cloud_network, use_store, monkeypatch, mode):
    network = cloud_network
    use_store(cloud.url(f"away-{mode}"))
    objects().names("")  # the client is loaded, and has connections open
    told = []
    monkeypatch.setattr(patience, "TOLD_AFTER", 0.5)
    monkeypatch.setattr(steps, "listeners", [told.append])
    monkeypatch.setattr(bucket, "SECONDS", 1.0)
    back = network.away(mode, 2.0)
    objects().write("x", b"after all")
    back.join()
    assert network.troubled or mode == "refused"
    assert [event.state for event in told] == ["failed", "done"]
    assert "does not answer" in told[0].summary
    assert objects().read("x") == b"after all"


def test_patience_ends(cloud, cloud_network, use_store, monkeypatch):
    use_store(cloud.url("gone"))
    cloud_network.become("refused")
    with patience.within(1.0), pytest.raises(UnreachableError) as caught:
        objects().write("x", b"")
    assert caught.value.where == cloud.url("gone")
    assert cloud.secret not in caught.value.text()
    assert "run the command again" in caught.value.next_step


def test_a_server_that_ignores_conditions_keeps_no_ledger(use_store, monkeypatch, cloud):
    conditions = []

    class Careless(Quiet):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            conditions.append(self.headers.get("If-None-Match") == "*" or "ifGenerationMatch=0" in self.path)
            self.answer(b"{}" if cloud.kind == "gcs" else b"", status=201 if cloud.kind == "azure" else 200)

        do_POST = do_PUT

    use_store(cloud.url("x"))
    with serving(Careless) as port:
        for name, value in cloud.variables(port).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StorageError, match="conditional"):
            objects().create("ledger/p/000001.json", b"{}")
    assert conditions == [True, True]


def test_whoever_shares_nothing_imports_nothing_of_it(checkout):
    code = (
        "import sys; from flows import cli, plan, status, train\n"
        "from tasks.registry import ledger_store; from tasks.store import store\n"
        "store.put_bytes(b'x', 'x'); ledger_store.read_all('tiny')\n"
        "unwanted = {'s3fs', 'botocore', 'gcsfs', 'google.auth', 'adlfs', 'azure.core', 'fsspec'}\n"
        "unwanted |= {'tasks.store.bucket'}\n"
        "print(unwanted & sys.modules.keys())"
    )
    assert checkout.python("-c", code, check=True).stdout == "set()\n"
