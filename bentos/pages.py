"""What a release says of itself: `/v1/model`, the OpenAPI document, the page for people, the metrics.

Each is made when it is first asked for, and then kept: nothing of it changes while the server runs. But for metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bentos import metrics
from bentos.docs_page import html
from bentos.openapi import document
from bentos.replies import HTML, Reply, json_reply

POLICY = (  # of the page: it may talk to where it came from, and to nobody else
    b"default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Page:
    """``name``: the label in metrics."""

    name: str
    make: Callable[[], Reply]


class Pages:
    """``about`` and ``spec``: of `bentos.scoring.Scorer`; ``labels``: lineage, as packaging labelled the Bento."""

    def __init__(self, about: dict[str, Any], spec: dict[str, Any], labels: dict[str, str], release: str) -> None:
        self._about, self._spec, self._labels, self._release = about, spec, labels, release
        self._made: dict[str, Reply] = {}
        self._pages = {
            "/v1/model": self._kept("model", self._model),
            "/v1/openapi.json": self._kept("openapi", lambda: json_reply(200, self._document())),
            "/v1/docs": self._kept("docs", self._docs),
            "/metrics": Page("metrics", _metrics),
        }

    @property
    def paths(self) -> list[str]:
        return list(self._pages)

    def at(self, path: str) -> Page | None:
        return self._pages.get(path)

    def _kept(self, name: str, make: Callable[[], Reply]) -> Page:
        def once() -> Reply:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]

        return Page(name, once)

    def _model(self) -> Reply:
        schema = dict(self._spec)
        if "recipe" in schema:  # the source of a function is not for clients
            schema["recipe"] = {name: part for name, part in schema["recipe"].items() if name != "source"}
        facts = {**self._about, "release": self._release, "labels": self._labels, "schema": schema}
        return json_reply(200, facts)

    def _document(self) -> dict[str, Any]:
        return document(self._about, self._spec, self._release)

    def _docs(self) -> Reply:
        page = html(self._about, self._spec, self._release)
        return Reply(200, page.encode(), HTML, ((b"content-security-policy", POLICY),))


def _metrics() -> Reply:
    text, kind = metrics.page()
    return Reply(200, text, kind.encode())
