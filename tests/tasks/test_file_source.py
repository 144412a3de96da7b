"""Files of every kind give the same rows; each is ingested once; what is wrong with one is said, without secrets."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import json
import shutil
import sys
import threading

import polars as pl
import pyarrow as pa
import pytest

from penstock.columns import Column
from penstock.errors import DataError
from penstock.source_config import SourceConfig
from tasks.data import source_files
from tasks.data.file_source import FileSource, new_batches

COLUMNS = {
    "id": Column(dtype="Int64"),
    "name": Column(dtype="String", nullable=True),
    "amount": Column(dtype="Float64", nullable=True),
}
ROWS = [(1, "Köln", 1.5), (2, "a\nb, c", None), (3, None, -2.0)]
CSV = 'id,name,amount\n1,Köln,1.5\n2,"a\nb, c",\n3,,-2\n'
CSVS = SourceConfig(files="rows.csv", format="csv")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    from tasks.machine.settings import settings

    root = tmp_path / "checkout"
    (root / "configs").mkdir(parents=True)
    monkeypatch.setenv("PENSTOCK_ROOT", str(root))
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    source_files._folder.cache_clear()
    source_files._plain.cache_clear()
    yield root
    settings.cache_clear()
    source_files._folder.cache_clear()


def rows(source: SourceConfig) -> list[tuple]:
    reader = FileSource(source, COLUMNS)
    return [row for name in reader.names() for row in reader.read(name).rows.rows()]


def packed(content: bytes, how: str) -> bytes:
    if how == "zstd":
        return pa.Codec("zstd").compress(content, asbytes=True)
    return gzip.compress(content) if how == "gzip" else content


def content_of(form: str) -> bytes:
    frame = pl.DataFrame(ROWS, schema={"id": pl.Int32, "name": pl.String, "amount": pl.Float32}, orient="row")
    buffer = io.BytesIO()
    if form == "parquet":
        frame.write_parquet(buffer)
    elif form == "arrow":
        frame.write_ipc(buffer)
    elif form == "jsonl":
        lines = [{key: value for key, value in row.items() if value is not None} for row in frame.to_dicts()]
        return "\n".join(json.dumps(line) for line in lines).encode()
    else:
        return CSV.encode()
    return buffer.getvalue()


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl", "arrow"])
def test_every_format_packed_or_not_gives_the_same_rows(home, form, how):
    (home / "rows.bin").write_bytes(packed(content_of(form), how))
    assert rows(SourceConfig(files="rows.bin", format=form)) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_encodings(home, encoding):
    (home / "rows.csv").write_bytes(CSV.encode(encoding))
    assert rows(SourceConfig(files="rows.csv", format="csv", encoding=encoding)) == ROWS


def test_a_mark_at_the_beginning_is_no_part_of_the_first_name(home):
    (home / "rows.csv").write_bytes(CSV.encode("utf-8-sig"))
    assert rows(CSVS) == ROWS


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("id;name;amount\r\n1;Köln;1,5\r\n2;'a\nb, c';\r\n3;;-2\r\n", {"separator": ";", "decimal": ",", "quote": "'"}),
        (CSV.replace("\n1", "\n\n\n1"), {}),
        (CSV.replace("\n3", "\n\n3"), {}),
        ("1|Köln|1.5\n2|\"a\nb, c\"|?\n3||-2", {"separator": "|", "header": False, "missing": ["?"],
                     "rename": {"column 1": "id", "column 2": "name", "column 3": "amount"}}),
        (CSV.replace("id,name,amount", "x,x,x"), {"rename": {"x": "id", "x (2)": "name", "x (3)": "amount"}}),
        (CSV.replace("id,name,amount", '"the\nid",name,amount'), {"rename": {"the\nid": "id"}}),
    ],
)  # fmt: skip
def test_awkward_csv(home, text, options):
    (home / "rows.csv").write_bytes(text.encode())
    assert rows(SourceConfig.model_validate({"files": "rows.csv", "format": "csv", **options})) == ROWS


def test_a_large_file_is_several_batches_of_the_same_rows(home):
    frame = pl.DataFrame({"id": range(2500), "name": ["x"] * 2500, "amount": [0.5] * 2500})
    frame.write_csv(home / "rows.csv")
    frame.write_parquet(home / "rows.parquet")
    (home / "rows.jsonl").write_text("\n".join(map(json.dumps, frame.to_dicts())))
    for form, file in (("csv", "rows.csv"), ("parquet", "rows.parquet"), ("jsonl", "rows.jsonl")):
        source = SourceConfig(files=file, format=form, batch_rows=1000)
        reader = FileSource(source, COLUMNS)
        names = reader.names()
        assert [name[-6:] for name in names] == [".p0001", ".p0002", ".p0003"]
        assert names == sorted(names)
        assert [reader.read(name).rows.height for name in names] == [1000, 1000, 500]
        assert [row[0] for row in rows(source)] == list(range(2500))


def test_each_file_of_a_glob_is_a_batch_and_is_taken_once(home):
    (home / "in").mkdir()
    for month in (1, 2):
        (home / "in" / f"m {month}.csv").write_text(CSV.replace("Köln", f"K{month}"))
    source = SourceConfig(files="in/*.csv", format="csv")
    reader = FileSource(source, COLUMNS)
    first = reader.names()
    assert [name[:3] for name in first] == ["m-1", "m-2"]
    (home / "in" / "m 3.csv").write_text(CSV)
    assert [name[:3] for name in new_batches(reader.names(), first, source)] == ["m-3"]
    (home / "in" / "m 1.csv").rename(home / "in" / "renamed.csv")
    assert [name[:3] for name in new_batches(reader.names(), first, source)] == ["m-3"]  # its content is there
    (home / "in" / "m 2.csv").write_text(CSV + "4,d,4\n")
    with pytest.raises(DataError, match="has changed") as caught:
        new_batches(reader.names(), first, source)
    assert "m-2" in caught.value.found


def test_no_file_at_all_is_an_error_only_before_there_are_data(home):
    source = SourceConfig(files="nothing/*.csv", format="csv")
    names = FileSource(source, COLUMNS).names()
    with pytest.raises(DataError, match="no files"):
        new_batches(names, [], source)
    assert new_batches(names, ["a-0123456789ab"], source) == []


def test_urls_are_read_through_fsspec(home):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/rows/a.csv.gz", gzip.compress(CSV.encode()))
    memory.pipe("/rows/b.csv.gz", gzip.compress(CSV.replace("Köln", "Bonn").encode()))
    source = SourceConfig(files="memory://rows/*.csv.gz", format="csv")
    assert [name[:2] for name in FileSource(source, COLUMNS).names()] == ["a-", "b-"]
    assert rows(source) == [*ROWS, (1, "Bonn", 1.5), *ROWS[1:]]


def test_http(home):
    (home / "rows.csv").write_text(CSV)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(home))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        assert rows(SourceConfig(files=f"{place}/rows.csv", format="csv")) == ROWS
        assert FileSource(SourceConfig(files=f"{place}/gone.csv", format="csv"), COLUMNS).names() == []
        server.shutdown()


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)  # also where it is installed
    with pytest.raises(DataError) as caught:
        source_files.find_files("s3://bucket/rows.csv")
    assert "s3fs" in caught.value.next_step


BROKEN = {
    "cut off": (gzip.compress(CSV.encode() * 99)[:-20], {}, "cannot be read"),
    "too many values": (b"id,name,amount\n1,a,2,3\n", {}, "more values than there are columns"),
    "an open quote": (b'id,name,amount\n1,"a,2\n', {}, "no end"),
    "not utf-8": (CSV.encode("latin-1"), {}, "decoded"),
    "other encoding": (CSV.encode("latin-1"), {"encoding": "utf-16"}, "decoded"),
    "empty": (b"", {}, "empty"),
    "not parquet": (b"PAR1 or not", {"format": "parquet"}, "cannot be read"),
    "not json": (b'{"id": 1}\n{"id": \n', {"format": "jsonl"}, "no JSON"),
    "other columns": (b"id,nom\n1,a\n", {}, "columns are not"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named(home, kind):
    content, options, said = BROKEN[kind]
    (home / "rows.csv").write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        rows(SourceConfig.model_validate({"files": "rows.csv", "format": "csv", **options}))
    assert "rows.csv" in caught.value.where


def test_no_library_says_a_secret_of_the_environment(home, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2/+x")

    def leaking(*_, **__):
        raise OSError("signed with hunter2/+x, that is hunter2%2F%2Bx")

    monkeypatch.setattr("fsspec.core.url_to_fs", leaking)
    with pytest.raises(DataError) as caught:
        source_files.find_files("memory://rows.csv")
    assert "hunter2" not in caught.value.text() + repr(caught.value.__cause__)
    assert "***" in caught.value.found


def test_a_copy_that_somebody_cleared_away_is_made_again(home):
    from tasks.machine.settings import settings

    path = settings().root / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a\n1\n"))
    (file,) = source_files.find_files("rows.csv.gz")
    copy = source_files.plain_file(file, "utf-8")
    assert source_files.plain_file(file, "utf-8") == copy
    shutil.rmtree(copy.parent)
    assert source_files.plain_file(file, "utf-8").read_bytes() == b"a\n1\n"
