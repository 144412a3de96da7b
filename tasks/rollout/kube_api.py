"""Asks the Kubernetes API. Only GETs of a few objects, so the standard library will do.

In a pod of the cluster: the service account's token and certificate. Elsewhere: PENSTOCK_KUBERNETES_API, such as the
address of `kubectl proxy`, which brings whatever authentication a kubeconfig names.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from penstock.errors import ConfigError, PlatformError
from tasks.machine.settings import settings

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS = 10.0


def rollout(namespace: str, name: str) -> dict[str, Any] | None:
    """A Rollout, or None if there is none. Raises what `get` raises."""
    return get(f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/{name}")


def analysis_run(namespace: str, name: str) -> dict[str, Any] | None:
    return get(f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/analysisruns/{name}")


def get(path: str) -> dict[str, Any] | None:
    """The object at ``path``; None for 404. Raises ConfigError where no API is known or it refuses who asks,
    PlatformError where it does not answer."""
    address = _address()
    request = urllib.request.Request(address + path, headers={"Accept": "application/json"})  # noqa: S310  # ours
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    token = ACCOUNT / "token"
    if not settings().kubernetes_api:
        request.add_header("Authorization", f"Bearer {token.read_text().strip()}")  # read anew: it is renewed
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        if error.code in (401, 403):
            raise ConfigError(
                "The Kubernetes API refuses to answer.",
                where=address + path,
                found=f"HTTP {error.code}",
                allowed="a role with `get` of rollouts and analysisruns: deploy/kubernetes/model-production/flow.yaml",
                next_step="mend the role binding, then deploy again: it takes up where it is",
            ) from None
        raise _silent(address + path, f"HTTP {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise _silent(address + path, str(error) or type(error).__name__) from None


def require() -> None:
    """Raise ConfigError if no API is known: before anything is committed."""
    _address()


def _address() -> str:
    if settings().kubernetes_api:
        return settings().kubernetes_api.rstrip("/")
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (ACCOUNT / "token").is_file():
        raise ConfigError(
            "No Kubernetes API is known, so nobody could say how the rollout goes.",
            allowed="PENSTOCK_KUBERNETES_API, or a pod with a service account",
            next_step="kubectl proxy & export PENSTOCK_KUBERNETES_API=http://127.0.0.1:8001",
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _silent(where: str, found: str) -> PlatformError:
    return PlatformError(
        "The Kubernetes API does not answer.",
        where=where,
        found=found,
        next_step="the rollout goes on without Penstock; deploy again when the API answers: it takes up where it is",
    )
