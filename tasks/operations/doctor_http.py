"""Asks the HTTP services that the environment names, as briefly as can be. Nobody else is asked anything."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock.refs import Value
from tasks.data.dvc_config import without_credentials
from tasks.machine.settings import settings
from tasks.platform import platform

SECONDS = 4.0


class Reply(Value):
    """``status`` 0: nobody answered, and ``words`` say why."""

    status: int
    words: str = ""
    date: str = ""
    body: Any = None

    @property
    def refused(self) -> bool:
        return self.status in (401, 403)


@dataclass(frozen=True)
class Address:
    """A service, and the header it wants. Neither is ever shown: ``shown`` is."""

    url: str
    header: str = ""

    @property
    def shown(self) -> str:
        return without_credentials(self.url)

    def get(self, path: str) -> Reply:
        return self._ask(path, None)

    def post(self, path: str, body: dict[str, Any]) -> Reply:
        return self._ask(path, json.dumps(body).encode())

    def _ask(self, path: str, body: bytes | None) -> Reply:
        headers = {"Content-Type": "application/json"} | ({"Authorization": self.header} if self.header else {})
        local = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
        try:
            url = f"{self.shown.rstrip('/')}{path}"
            with opener.open(urllib.request.Request(url, body, headers), timeout=SECONDS) as answer:  # noqa: S310
                return Reply(
                    status=answer.status, date=answer.headers.get("Date", ""), body=_parsed(answer.read(1 << 20))
                )
        except urllib.error.HTTPError as error:
            with error:
                return Reply(status=error.code, words=f"HTTP {error.code}", date=error.headers.get("Date", ""))
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            return Reply(status=0, words=str(getattr(reason, "strerror", None) or reason))


def prefect_address() -> Address | None:
    """The API of the Prefect server that is named, or of the checkout's own while it runs."""
    url = platform.address()
    if not url:
        return None
    key, basic = os.environ.get("PREFECT_API_KEY", ""), os.environ.get("PREFECT_API_AUTH_STRING", "")
    header = f"Bearer {key}" if key else f"Basic {base64.b64encode(basic.encode()).decode()}" if basic else ""
    return Address(f"{url}/api", header)


def mlflow_address() -> Address | None:
    """The tracking server that is named, if it is one over HTTP."""
    url = settings().mlflow_uri
    if not url.startswith(("http://", "https://")):
        return None
    parts = urlsplit(url)
    user = unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    basic = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
    return Address(url, basic or (f"Bearer {token}" if token else ""))


def services() -> dict[str, Address]:
    """Every HTTP service of another process that is configured, by what it is called."""
    found = {"Prefect": prefect_address(), "MLflow": mlflow_address()}
    return {name: address for name, address in found.items() if address is not None}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
