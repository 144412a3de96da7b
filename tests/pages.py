"""What every page must be: whole, with nothing live in it; and what a reader finds in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

LIVE = {"script", "link", "iframe", "img", "object", "embed", "form", "base"}


class Reader(HTMLParser):
    """Elements that are open or seen, what they refer to, and the text. Fails where one closes out of turn."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.labels: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.references += [
            str(text) for name, text in attrs if name in {"src", "href", "srcset", "action", "data", "xlink:href"}
        ]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.labels += [str(text) for name, text in attrs if name == "aria-label"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "title" not in self.open:
            self.text.append(data)


def read(html: str) -> Reader:
    """The page, read to its end. Fails if it is not whole, or loads or runs anything."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [] and reader.references == [] and reader.handlers == []
    assert not LIVE & reader.seen
    assert not re.search(r"url\(|@import|<[^>]+https?://", html)
    assert "prefers-color-scheme: dark" in html and "@media print" in html and "default-src 'none'" in html
    return reader


def words(text: str) -> set[str]:
    """Words and numbers, whatever stands around them; percentages as shares too."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", text.replace("\N{MINUS SIGN}", "-")).lower()
    found = {word.strip("()[]{},:;.'\"") for word in plain.split()}
    return (found | {f"{float(one) / 100:.4f}" for one in re.findall(r"(\d+\.\d\d)%", plain)}) - {"", "-", "->", "→"}
