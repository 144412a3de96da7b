"""The same model as an MLflow pyfunc: `python serve_mlflow.py MODEL_FOLDER OUT` saves it for `mlflow models serve`.

It takes a frame, encodes categories by pandas, and calls the booster in place with one thread, as the others do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mlflow
import pandas as pd
import xgboost as xgb


class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context) -> None:
        self.booster = xgb.Booster(model_file=context.artifacts["booster"])
        self.booster.set_param({"nthread": 1})
        spec = json.loads(Path(context.artifacts["schema"]).read_text())
        self.plan = {column["name"]: column["categories"] for column in spec["columns"]}

    def predict(self, context, model_input, params=None):
        columns = {}
        for name, known in self.plan.items():
            column = model_input[name]
            if known:
                codes = pd.Categorical(column, categories=known).codes.astype("float32")
                codes[codes < 0] = float("nan")
                columns[name] = codes
            else:
                columns[name] = column.to_numpy("float32", na_value=float("nan"))
        matrix = pd.DataFrame(columns).to_numpy("float32")
        return self.booster.inplace_predict(matrix, validate_features=False)


if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:])
    mlflow.pyfunc.save_model(
        out,
        python_model=Model(),
        artifacts={"booster": str(folder / "model.ubj"), "schema": str(folder / "schema.json")},
        pip_requirements=[],
    )
