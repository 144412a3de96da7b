"""What a file is, by its content: format, encoding, separator, header. Looked at once, by `penstock new`."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter

from penstock.errors import DataError
from penstock.infer_target import find_target
from penstock.infer_values import ALWAYS
from penstock.reading import unique_names
from penstock.source_config import SourceConfig
from tasks.data.source_files import SourceFile, head_of, pieces_of

HEAD = 1 << 17  # bytes
LINES = 200
SEPARATORS = (",", ";", "\t", "|")
MARKS = [(codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
         (codecs.BOM_UTF16_BE, "utf-16")]  # fmt: skip
DATA = re.compile(r"[+-]?[\d.,' ]*\d%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*")  # a number or a date: no column's name
NOT_TABLES = {b"PK\x03\x04": "a zip or Excel file", b"%PDF": "a PDF", b"SQLite format 3": "a SQLite database",
              b"\x89HDF": "an HDF5 file", b"\xd0\xcf\x11\xe0": "an old Excel file"}  # fmt: skip


def sniff(places: str, files: list[SourceFile], target: str) -> SourceConfig:
    """How the ``files`` of ``places`` are to be read. Raises DataError if they are no tables, or empty."""
    head = head_of(files[0], HEAD)
    if not head.strip():
        raise DataError("The file is empty.", where=files[0].url, next_step="name a file that has rows")
    for magic, what in NOT_TABLES.items():
        if head.startswith(magic):
            raise DataError(f"This is {what}, not a table that can be read.", where=files[0].url,
                            allowed="CSV, Parquet, JSON lines, Arrow; gzip or zstd of these",
                            next_step="export it as CSV or Parquet")  # fmt: skip
    if head.startswith(b"PAR1"):
        return SourceConfig(files=places, format="parquet")
    if head.startswith(b"ARROW1"):
        return SourceConfig(files=places, format="arrow")
    encoding = _encoding(files, head)
    text = codecs.getincrementaldecoder(encoding)().decode(head)
    first = text.lstrip("\ufeff \t\r\n")[:1]
    if first == "{":
        return SourceConfig(files=places, format="jsonl", encoding=encoding)
    if first == "[" and re.match(r"\[\s*\{", text.lstrip("\ufeff \t\r\n")):
        raise DataError("This is one JSON array.", where=files[0].url, allowed="JSON lines: one object on each line",
                        next_step="jq -c '.[]' FILE > FILE.jsonl")  # fmt: skip
    separator = _separator(text)
    records = _records(text, separator)
    return SourceConfig(
        files=places, format="csv", encoding=encoding, separator=separator, header=_has_header(records, target)
    )


def _encoding(files: list[SourceFile], head: bytes) -> str:
    """A byte order mark's; UTF-8 if every byte of every file is; else that of Windows, or Latin-1 where it is not."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    if b"\0" in head:
        raise DataError("The file is not text.", where=files[0].url, allowed="CSV, Parquet, JSON lines, Arrow",
                        next_step="export it as CSV (UTF-8) or Parquet")  # fmt: skip
    possible = {"utf-8": True, "cp1252": True}
    for file in files:
        decoders = {name: codecs.getincrementaldecoder(name)() for name, able in possible.items() if able}
        for piece in pieces_of(file):
            for name, decoder in list(decoders.items()):
                if not _decodes(decoder, piece):
                    possible[name] = False
                    del decoders[name]
        if "utf-8" in decoders and not _decodes(decoders["utf-8"], b"", final=True):
            possible["utf-8"] = False
    return next((name for name, able in possible.items() if able), "latin-1")


def _decodes(decoder: codecs.IncrementalDecoder, piece: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError:
        return False
    return True


def _separator(text: str) -> str:
    """The one by which most lines have equally many values, and more than one."""

    def worth(separator: str) -> tuple[float, int]:
        widths = Counter(len(record) for record in _records(text, separator))
        width, lines = max(widths.items(), key=lambda pair: (pair[1], pair[0]), default=(0, 0))
        return (lines / max(sum(widths.values()), 1) if width > 1 else 0.0), width

    return max(SEPARATORS, key=worth)


def _records(text: str, separator: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=separator)
    found = []
    try:
        for record in reader:
            if record:
                found.append(record)
            if len(found) >= LINES:
                break
    except csv.Error:  # a field without an end: what came before it counts
        pass
    return found[:-1] if 1 < len(found) < LINES else found  # the last may be cut


def _has_header(records: list[list[str]], target: str) -> bool:
    """Whether the first line names the columns: the target is among them, or no value of it looks like data."""
    first = [value.strip() for value in (records[0] if records else [])]
    try:
        find_target(target, unique_names(first))
    except DataError:
        return not any(DATA.fullmatch(value) or value in ALWAYS for value in first)
    return True
