"""The smallest service that answers with the floor's model, and its launcher: `python floor_service.py BENTO`.

The launcher serves on the listening socket that is its standard input.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import bentoml


@bentoml.service(name="floor")
class Floor:
    """Probability of True for each row; what training did not see, and null, are missing."""

    def __init__(self) -> None:
        import numpy as np
        import xgboost as xgb

        folder = Path(bentoml.models.get("model").path)
        self.codes: dict[str, dict[str, int]] = {}
        self.names: list[str] = []
        for name, values in json.loads((folder / "features.json").read_text()).items():
            self.names.append(name)
            if values is not None:
                self.codes[name] = {value: code for code, value in enumerate(values)}
        self.numpy = np
        self.booster = xgb.Booster(model_file=str(folder / "model.ubj"))
        self.booster.set_param({"nthread": 1})

    @bentoml.api
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        matrix = self.numpy.array([self._encoded(row) for row in rows], self.numpy.float32)
        scores: list[float] = self.booster.inplace_predict(matrix, validate_features=False).tolist()
        return scores

    def _encoded(self, row: dict[str, Any]) -> list[float | None]:
        return [self.codes[name].get(row[name]) if name in self.codes else row[name] for name in self.names]


def main() -> None:
    import uvicorn

    service: Any = bentoml.load(sys.argv[1], standalone_load=True)
    config = uvicorn.Config(service.to_asgi(), access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=0)])


if __name__ == "__main__":
    main()
