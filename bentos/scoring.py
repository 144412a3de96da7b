"""The release's model: what it is, how it reads rows, and its scores. Heavy imports come with the first instance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.answers import answers_of
from bentos.refusal import NotFiniteError

if TYPE_CHECKING:
    import numpy as np


class Scorer:
    """A booster, and the reader of rows for it.

    ``about``: what packaging wrote of the release; ``spec``: its compiled schema.
    """

    def __init__(self, folder: Path) -> None:
        import numpy as np
        import xgboost as xgb

        from penstock.rows import RowReader

        self.about: dict[str, Any] = json.loads((folder / "about.json").read_text())
        self.spec: dict[str, Any] = json.loads((folder / "schema.json").read_text())
        self.reader = RowReader(self.spec)
        self.booster = xgb.Booster(model_file=str(folder / "model.ubj"))
        self.booster.set_param({"nthread": 1})  # one row costs more to share among threads than to score
        if tuple(self.booster.feature_names or ()) != self.reader.features:
            raise ValueError("the booster's features are not those of the schema, or in another order")
        self.answers = answers_of(self.about)
        empty = np.full((1, len(self.reader.features)), np.nan, np.float32)
        self.booster.inplace_predict(empty, validate_features=False)  # the first call is slow

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """Scores of encoded rows, see `bentos.answers`. Raises NotFiniteError."""
        import numpy as np

        scores = self.booster.inplace_predict(matrix, validate_features=False)
        if not np.isfinite(scores).all():
            raise NotFiniteError(f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite")
        return scores  # type: ignore[no-any-return]

    def contributions(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each feature adds to the margin: float32 (n, features + 1), the last being the bias; and the margins,
        float32 (n,), which are their sums. Of several classes, those of the one that is predicted.

        Tree SHAP: Lundberg et al. 2018, arXiv:1802.03888."""
        import numpy as np
        import xgboost as xgb

        rows = xgb.DMatrix(
            matrix,
            feature_names=list(self.reader.features),
            feature_types=self.booster.feature_types,
            enable_categorical=True,
            nthread=1,
        )
        parts = self.booster.predict(rows, pred_contribs=True)
        margins = self.booster.predict(rows, output_margin=True)
        if not (np.isfinite(parts).all() and np.isfinite(margins).all()):
            raise NotFiniteError("contributions are not finite")
        if margins.ndim == 2:
            predicted = np.arange(len(margins)), margins.argmax(1)
            parts, margins = parts[predicted], margins[predicted]
        return parts, margins
