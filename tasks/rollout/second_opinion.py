"""What the champion would have said to the requests that a canary's challenger answered.

In a canary each request has one answer, and the arms' clients differ: the means of two arms do too where the releases
do not. So the champion is asked the challenger's requests again, past the gateway, and the pairs are judged as those of
the shadow are. It has the time: the gateway sends it that much less.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

from penstock.agreement import Agreement
from penstock.prediction_log import Record
from penstock.rollout import Plan
from tasks.rollout.replay import Answer, Client
from tasks.serving.evidence import Tail, Unit, agreement

MOST = 50  # requests asked again in one look; the first that came, whatever was said to them


class SecondOpinion:
    """The champion's answers beside the challenger's, from now on."""

    def __init__(self, plan: Plan, slices: Sequence[str], unit: Unit, timeout: float) -> None:
        """``timeout``: seconds that the champion may take for one answer."""
        self.slices, self.unit = tuple(slices), unit
        self.tail, self.client = Tail(plan.project, plan.version), Client(plan.champion, timeout)
        self.agreement = Agreement()

    def look(self) -> Agreement:
        """The agreement over every pair so far. A champion that does not answer leaves it as it was."""
        answered = (
            record
            for record in self.tail.new()
            if record.environment == "production" and not record.shadow and record.scores
        )
        pairs: list[tuple[Answer, Answer]] = []
        for record in itertools.islice(answered, MOST):
            mine = self._champions(record)
            if mine is None:
                break
            pairs.append((mine, Answer(record.scores, record.decisions, record.rows)))
        self.agreement = self.agreement + agreement(pairs, self.slices, self.unit)
        return self.agreement

    def _champions(self, record: Record) -> Answer | None:
        body, identity = json.dumps(record.rows, default=str).encode(), f"{record.id}-again"
        return self.client.ask(body, identity) or self.client.ask(body, identity)  # the first may find it hung up

    def close(self) -> None:
        self.client.connection.close()
