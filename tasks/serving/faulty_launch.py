"""Starts a release that does one thing wrong, for drills: `python -I faulty_launch.py BENTO FAULT`.

It is the release's own launcher with a defect put in from outside. The defect begins with the first request of
production, so that the check of the package and staging pass, as they would for a defect that only traffic brings out;
`crash` begins at once. ``FAULT@canary`` begins with the first request that is not a mirrored copy.
"""

from __future__ import annotations

import asyncio
import os
import random
import runpy
import sys
from pathlib import Path
from typing import Any

FAULTS = ("errors", "slow", "shift", "nan", "crash", "leak", "dies")
LEAKED = 32 << 20  # bytes a request


class Defect:
    """What goes wrong, once it has begun."""

    def __init__(self, fault: str) -> None:
        self.kind, _, phase = fault.partition("@")
        self.canary_only = phase == "canary"
        self.begun = False
        self.leaked: list[bytearray] = []

    async def __call__(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/v1/predict"):
            headers = dict(scope["headers"])
            production = headers.get(b"x-penstock-environment") == b"production"
            self.begun |= production and not (self.canary_only and b"x-penstock-shadow" in headers)
            if self.begun and await self.answers(send):
                return
        await app(scope, receive, send)

    async def answers(self, send: Any) -> bool:
        """Do what is wrong with a request; True if it was answered that way."""
        if self.kind == "slow":
            await asyncio.sleep(0.5)
        elif self.kind == "leak":
            self.leaked.append(bytearray(os.urandom(64)) * (LEAKED // 64))
        elif self.kind == "dies" and random.random() < 0.05:  # noqa: S311
            os._exit(9)
        elif self.kind == "errors" and random.random() < 0.3:  # noqa: S311
            await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return True
        return False

    def scores(self, scores: Any) -> Any:
        """What the model gives, made wrong."""
        if not self.begun:
            return scores
        if self.kind == "shift":
            return (scores + 0.25).clip(0, 1)
        return scores * float("nan") if self.kind == "nan" else scores


def main() -> None:
    bento, fault = sys.argv[1], sys.argv[2]
    defect = Defect(fault)
    if defect.kind == "crash":
        sys.exit("This release crashes on start: a drill.")
    source = Path(bento) / "src"
    sys.path.insert(0, str(source))
    import uvicorn

    config = uvicorn.Config

    def with_defect(app: Any, **options: Any) -> Any:
        _spoil_model(defect)

        async def spoiled(scope: Any, receive: Any, send: Any) -> None:
            await defect(app, scope, receive, send)

        return config(spoiled, **options)

    uvicorn.Config = with_defect  # type: ignore[assignment,misc]
    sys.argv = [str(source / "bentos" / "launch.py"), bento]
    runpy.run_path(sys.argv[0], run_name="__main__")


def _spoil_model(defect: Defect) -> None:
    """Have every booster that scores give what the defect makes of it."""
    import xgboost

    predict = xgboost.Booster.inplace_predict

    def spoiled(self: Any, *arguments: Any, **options: Any) -> Any:
        return defect.scores(predict(self, *arguments, **options))

    xgboost.Booster.inplace_predict = spoiled  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
