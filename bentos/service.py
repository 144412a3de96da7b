"""The BentoML service of every release: loads what the Bento holds, and hands every request to `bentos.application`.

Everything about the project is inside the Bento: the booster, the compiled schema, the threshold. What differs between
two servers of it is in the environment, see `bentos/launch.py`.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any, cast

import bentoml

from bentos import environment, metrics
from bentos.application import HEALTH, Application
from bentos.pages import Pages
from bentos.prediction import Predictions
from bentos.prediction_log import PredictionLog
from bentos.privacy import Privacy
from bentos.scoring import Scorer

MODEL = "model"  # the alias under which the Bento pins its model: a tag could be answered by another one

loaded: dict[str, Application] = {}  # BentoML makes the middleware and the service apart


class Front:
    """Passes health on to BentoML, and everything else to the release that is loaded."""

    def __init__(self, app: Any) -> None:
        self._bentoml = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] not in HEALTH:
            await loaded["application"](scope, receive, send)
        else:
            await self._bentoml(scope, receive, send)


@bentoml.service(
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},  # its middleware makes five spans a request even when nobody collects them
    metrics={"enabled": False},  # bentos/metrics.py says why
)
class Model:
    """Is ready when the release is loaded and has answered one row."""

    def __init__(self) -> None:
        stored = bentoml.models.get(MODEL)
        told = environment.read(os.environ)
        scorer = Scorer(Path(stored.path))
        release = told.release or scorer.about["bento"]
        privacy = Privacy(told.log, told.log_key, scorer.reader.allowed)
        self._log = PredictionLog(told.log_dir, told.log, metrics.LOG_DROPPED.inc) if told.log_dir else None
        predictions = Predictions(scorer, release, self._log, privacy)
        pages = Pages(scorer.about, scorer.spec, dict(stored.info.labels), release)
        loaded["application"] = Application(predictions, pages, release, told.api_key, scorer.spec["max_body_bytes"])
        gc.collect()
        gc.freeze()  # what is loaded stays: looking for garbage in it would hold up requests

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def end(self) -> None:
        if self._log:
            self._log.close()


cast(Any, Model).add_asgi_middleware(Front)
