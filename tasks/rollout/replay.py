"""Asks two releases the same requests, one after the other, past the gateway: nobody else waits for the answers."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.agreement import Agreement
from penstock.rollout import Plan
from penstock.traffic import Traffic
from tasks.packaging.model_server import api_key
from tasks.rollout.traffic import MARK
from tasks.serving.envoy import SILENT, UnixConnection
from tasks.serving.evidence import Unit, agreement, measured
from tasks.serving.release_server import socket_of

WARM = 5  # requests to each that are not measured


@dataclass(frozen=True)
class Answer:
    """What a release said to one request; ``rows`` are the request's."""

    scores: list[Any]
    decisions: list[Any]
    rows: list[dict[str, Any]]


class Client:
    """One release, asked over its socket; counts what fails and how long answers take (ms)."""

    def __init__(self, version: str, timeout: float = 10) -> None:
        self.connection = UnixConnection(socket_of(version), timeout)
        self.errors = 0
        self.milliseconds: list[float] = []

    def ask(self, body: bytes, identity: str) -> Answer | None:
        """The answer, or None when there was none: an error, which a refused request (4xx) is not."""
        headers = {"Content-Type": "application/json", "x-request-id": identity, **MARK, **api_key()}
        began = time.perf_counter()
        try:
            self.connection.request("POST", "/v1/predict", body, headers)
            answer = self.connection.getresponse()
            said = answer.read()
        except SILENT:
            self.connection.close()
            self.errors += 1
            return None
        if answer.status >= 500 or answer.status == 429:
            self.errors += 1
            return None
        self.milliseconds.append((time.perf_counter() - began) * 1e3)
        if answer.status != http.client.OK:
            return Answer([], [], [])
        found, asked = json.loads(said), json.loads(body)
        said = found.get("probabilities", found["predictions"])
        scores = [float("nan") if score is None else score for score in said]
        return Answer(scores, found["predictions"], asked if isinstance(asked, list) else [asked])

    def traffic(self) -> Traffic:
        return measured(self.milliseconds, self.errors)


def replayed(
    plan: Plan, bodies: Sequence[bytes], slices: Sequence[str], unit: Unit
) -> tuple[Traffic, Traffic | None, Agreement | None]:
    """Traffic of the challenger and of the champion, and how far their answers agree; None without a champion."""
    challenger = Client(plan.version)
    champion = Client(plan.champion) if plan.champion else None
    for client in filter(None, (challenger, champion)):
        for body in bodies[:WARM]:
            client.ask(body, uuid.uuid4().hex)
        client.errors, client.milliseconds = 0, []
    pairs = []
    for body in bodies:
        identity = uuid.uuid4().hex
        theirs = challenger.ask(body, identity)
        mine = champion.ask(body, identity) if champion else None
        if theirs and mine:
            pairs.append((mine, theirs))
    if champion is None:
        return challenger.traffic(), None, None
    return challenger.traffic(), champion.traffic(), agreement(pairs, slices, unit)
