"""What a predict or explain request is answered with: from the body's bytes to the reply's, and its line in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bentos import arrow_body, json_body, metrics, prediction_log
from bentos.arrow_body import Columns
from bentos.prediction_log import PredictionLog
from bentos.privacy import Privacy
from bentos.refusal import NotFiniteError, Refusal
from bentos.replies import Reply, json_reply
from bentos.request_body import ARROW
from bentos.scoring import Scorer
from penstock.rows import Encoded, RowErrors

EXPLAINED = 1000  # rows of an explain request: tree SHAP costs much more than a score


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks: ``identity`` names the request; ``source`` is what the log says of where it came from."""

    identity: str
    source: bytes
    wants_arrow: bool


class Predictions:
    """Answers requests with one model, and logs them if there is a log."""

    def __init__(self, scorer: Scorer, release: str, log: PredictionLog | None, privacy: Privacy) -> None:
        self._scorer, self._release, self._log, self._privacy = scorer, release, log, privacy

    def predict(self, body: bytes, kind: bytes, origin: Origin) -> Reply:
        try:
            encoded, given = self._read(body, kind, self._scorer.spec["max_rows"])
            scores = self._scorer.scores(encoded.matrix)
        except (RowErrors, Refusal) as error:
            refusal = error if isinstance(error, Refusal) else Refusal.of_rows(error)
            return self.refused(refusal, origin, body, kind)
        except NotFiniteError:
            return self.failed("the model gave a score that is not a finite number", origin)
        answer = {"model": self._release, "request_id": origin.identity, **self._scorer.answers.members(scores)}
        if encoded.unknown:
            answer["unknown_categories"] = encoded.unknown
            for field, count in encoded.unknown.items():
                metrics.UNKNOWN.labels(field).inc(count)
        metrics.ROWS.inc(len(scores))
        reply = json_reply(200, answer)
        if self._log:
            self._keep(self._log, origin, 200, self._member(body, given), reply.body)
        if origin.wants_arrow:
            columns = self._scorer.answers.columns(scores)
            stream = arrow_body.answer(columns, encoded.unknown, self._release, origin.identity)
            return Reply(200, stream, ARROW)
        return reply

    def explain(self, body: bytes, kind: bytes, origin: Origin) -> Reply:
        """Per row: what each feature adds to the margin, and the bias; their sum is the margin."""
        try:
            encoded, _ = self._read(body, kind, min(EXPLAINED, self._scorer.spec["max_rows"]))
            parts, margins = self._scorer.contributions(encoded.matrix)
        except (RowErrors, Refusal) as error:
            refusal = error if isinstance(error, Refusal) else Refusal.of_rows(error)
            return self.refused(refusal, origin, None)
        except NotFiniteError:
            return self.failed("the model gave a contribution that is not a finite number", origin)
        names = self._scorer.reader.features
        values = parts[:, :-1].tolist()
        metrics.ROWS.inc(len(margins))
        return json_reply(
            200,
            {
                "model": self._release,
                "request_id": origin.identity,
                "contributions": [dict(zip(names, row, strict=True)) for row in values],
                "bias": parts[:, -1].tolist(),
                "margins": margins,
            },
        )

    def refused(self, refusal: Refusal, origin: Origin, body: bytes | None, kind: bytes = b"") -> Reply:
        """A 4xx that says why. It is logged if it is a prediction's: ``body`` is then not None, and may be empty."""
        metrics.REFUSED.labels(refusal.error).inc()
        content = {
            "error": refusal.error,
            **refusal.facts,
            "model": self._release,
            "request_id": origin.identity,
        }
        reply = json_reply(refusal.status, content)
        if self._log and body is not None:
            self._keep(self._log, origin, refusal.status, self._refused_member(body, kind), reply.body)
        return reply

    def failed(self, error: str, origin: Origin) -> Reply:
        """A 500: whoever is in front asks another release."""
        metrics.NOT_FINITE.inc()
        return json_reply(500, {"error": error, "model": self._release, "request_id": origin.identity})

    def _read(self, body: bytes, kind: bytes, most: int) -> tuple[Encoded, list[Any] | Columns]:
        """(encoded rows; what they are made of: rows of JSON or columns of Arrow)."""
        reader = self._scorer.reader
        if kind == ARROW:
            limit = self._scorer.spec["max_body_bytes"]
            columns, count = arrow_body.columns(body, most, limit, reader.names, reader.allowed)
            return reader.read_columns(columns, count), columns
        rows = json_body.rows(body, most, len(reader.allowed))
        return reader.read(rows), rows

    @staticmethod
    def _keep(log: PredictionLog, origin: Origin, status: int, request: bytes, response: bytes) -> None:
        log.add(prediction_log.record(origin.identity, origin.source, status, request, response))

    def _member(self, body: bytes, given: list[Any] | Columns) -> bytes:
        by_column = isinstance(given, dict)
        if self._privacy.keep_raw:
            return prediction_log.arrow_member(body) if by_column else prediction_log.json_member(body)
        import orjson

        rows = arrow_body.as_rows(given) if isinstance(given, dict) else given
        return prediction_log.json_member(orjson.dumps(self._privacy.rows(rows)))

    def _refused_member(self, body: bytes, kind: bytes) -> bytes:
        import orjson

        if kind == ARROW:
            return prediction_log.arrow_member(body) if self._privacy.keep_raw else prediction_log.NO_REQUEST
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            keep = self._privacy.keep_raw and body
            return prediction_log.broken_member(body) if keep else prediction_log.NO_REQUEST
        if self._privacy.keep_raw:
            return prediction_log.json_member(body)
        return prediction_log.json_member(
            orjson.dumps(self._privacy.rows(found if isinstance(found, list) else [found]))
        )
