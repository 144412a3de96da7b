"""The HTTP of a release: which route answers what, who may ask, how many at once.

A plain ASGI application that BentoML runs as a middleware of its service: BentoML's typed endpoints cost four times
the time and log a traceback for each bad request. Only health and readiness are left to BentoML; its own pages are
not, because its page of documentation loads a tag manager of somebody else's.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bentos import metrics, request_body
from bentos.pages import Pages
from bentos.prediction import Origin, Predictions
from bentos.refusal import Refusal
from bentos.replies import Reply, json_reply, send_reply
from bentos.request_body import ARROW, GoneError

AT_ONCE, EXPLAINED_AT_ONCE = 64, 4  # requests of one process; what is beyond is told to come back
INLINE = 1 << 19  # bytes of a body that is answered at once, in milliseconds: threads that share one interpreter took
# half as long again for 1000 rows. A larger one must not keep everybody else waiting.
THREADS = 4
COMPLAIN_EVERY = 60.0
HEALTH = frozenset({"/livez", "/readyz", "/healthz"})
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
ENVIRONMENTS = {b"production": b"production", b"staging": b"staging"}  # any other is none
OPEN = HEALTH | {"/metrics"}  # answered without a key: what watches a server does not know it

logger = logging.getLogger("penstock")


class Application:
    """Answers every path but health. ``predictions`` and ``pages`` are of the release that is loaded."""

    def __init__(self, predictions: Predictions, pages: Pages, release: str, api_key: bytes, max_body: int) -> None:
        self._predictions, self._pages, self._max_body, self._key = predictions, pages, max_body, api_key
        self._model = release.encode()
        self._source = b'"model":"%b"' % self._model  # a release's name needs no escapes: bentos/environment.py
        self._asked = {"predict": 0, "explain": 0}
        self._pool = ThreadPoolExecutor(THREADS, "predict")
        self._slow_pool = ThreadPoolExecutor(1, "explain")
        self._next_complaint = 0.0
        self._posts: dict[str, str] = {"/v1/predict": "predict", "/v1/explain": "explain"}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        began = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        identity = given if REQUEST_ID.fullmatch(given) else os.urandom(16).hex().encode()
        path = scope["path"]
        try:
            route, reply = await self._reply(scope["method"], path, headers, receive, identity)
        except GoneError:
            return
        await send_reply(send, reply, identity, self._model)
        metrics.answered(route, reply.status, time.perf_counter() - began)

    async def _reply(
        self, method: str, path: str, headers: dict[bytes, bytes], receive: Any, identity: bytes
    ) -> tuple[str, Reply]:
        post = self._posts.get(path)
        page = None if post else self._pages.at(path)
        route = post or (page.name if page else "other")
        origin = Origin(identity.decode(), self._source_of(headers), ARROW in headers.get(b"accept", b""))
        try:
            if self._key and path not in OPEN and not self._has_key(headers):
                raise Refusal(401, "no valid API key", allowed="Authorization: Bearer KEY, or x-api-key: KEY")
            if post:
                if method != "POST":
                    raise _not_allowed(method, "POST")
                return route, await self._post(post, headers, receive, origin)
            if page is None:
                raise Refusal(404, "no such path", allowed=", ".join([*self._posts, *self._pages.paths]))
            if method not in ("GET", "HEAD"):
                raise _not_allowed(method, "GET")
            return route, page.make()
        except Refusal as refusal:
            return route, self._predictions.refused(refusal, origin, None)

    async def _post(self, name: str, headers: dict[bytes, bytes], receive: Any, origin: Origin) -> Reply:
        predicts = name == "predict"
        most = AT_ONCE if predicts else EXPLAINED_AT_ONCE
        if self._asked[name] >= most:
            return self._predictions.refused(
                Refusal(429, "too many requests", allowed=f"{most} at once"), origin, b"" if predicts else None
            )
        self._asked[name] += 1
        try:
            kind = request_body.kind(headers)
            body = await request_body.read(headers, receive, self._max_body)
            ready = kind != ARROW or "pyarrow" in sys.modules  # importing it takes long
            if predicts and ready and len(body) <= INLINE:
                return self._guarded(self._predictions.predict, body, kind, origin)
            pool, work = (
                (self._pool, self._predictions.predict) if predicts else (self._slow_pool, self._predictions.explain)
            )
            return await asyncio.get_running_loop().run_in_executor(pool, self._guarded, work, body, kind, origin)
        except Refusal as refusal:  # of a body that was not read: nothing of it is logged
            return self._predictions.refused(refusal, origin, b"" if predicts else None)
        finally:
            self._asked[name] -= 1

    def _guarded(
        self, work: Callable[[bytes, bytes, Origin], Reply], body: bytes, kind: bytes, origin: Origin
    ) -> Reply:
        try:
            reply = work(body, kind, origin)
        except MemoryError as error:
            return self._poisoned(error, origin)
        except Exception as error:  # noqa: BLE001  # a request must never end without an answer
            if "bad_alloc" in str(error):  # XGBoost's words for a MemoryError
                return self._poisoned(error, origin)
            self._complain("a request failed", error)
            metrics.FAILED.inc()
            return json_reply(500, {"error": "internal error", "request_id": origin.identity})
        if reply.status == 500:
            self._complain(f"500 for request {origin.identity}: the model gave no finite number", None)
        return reply

    def _poisoned(self, error: Exception, origin: Origin) -> Reply:
        """Out of memory: anything may be half done. The process finishes what it can and ends; another is started."""
        self._complain("out of memory: this process ends", error)
        metrics.FAILED.inc()
        os.kill(os.getpid(), signal.SIGTERM)
        return json_reply(500, {"error": "out of memory", "request_id": origin.identity})

    def _complain(self, what: str, error: Exception | None) -> None:
        if time.monotonic() >= self._next_complaint:
            self._next_complaint = time.monotonic() + COMPLAIN_EVERY
            logger.error("%s", what, exc_info=error)

    def _source_of(self, headers: dict[bytes, bytes]) -> bytes:
        """The log's members from `model` to `replay`; the gateway sets these headers and takes them from clients."""
        return b'%b,"environment":"%b","shadow":%b,"replay":%b' % (
            self._source,
            ENVIRONMENTS.get(headers.get(b"x-penstock-environment", b""), b""),
            b"true" if headers.get(b"x-penstock-shadow") == b"1" else b"false",
            b"true" if headers.get(b"x-penstock-replay") == b"1" else b"false",
        )

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = bearer.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        return hmac.compare_digest(given, self._key)


def _not_allowed(method: str, allowed: str) -> Refusal:
    return Refusal(405, "method not allowed", found=method[:20], allowed=allowed)
