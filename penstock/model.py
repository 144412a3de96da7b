"""Fits and reads boosters. Batches of rows come in as an iterator, so that data need not fit in memory.

XGBoost 3.1 and later keep the categories in the model: what an Enum's code means travels with the bytes.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.config import FeaturesConfig
from penstock.derive_config import Derived
from penstock.errors import TrainingError
from penstock.train_config import TrainConfig

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost as xgb

# (features as `features.encode_frame` gives them, label as bool or number) for each batch; called anew for every pass
Batches = Callable[[], Iterator[tuple["pl.DataFrame", "pl.Series"]]]

# Measured: a QuantileDMatrix of 10 million rows of 20 features peaks 1.5 GB above the process that makes it.
BYTES_A_CELL = 7.5
TASK, CLASSES, FEATURES = "penstock.task", "penstock.classes", "penstock.features"  # attributes of a booster


@dataclass(frozen=True)
class Fit:
    """A booster cut at its best iteration (UBJ bytes), and how it got there."""

    booster: bytes
    best_iteration: int
    rounds: int
    train_loss: list[float]
    validation_loss: list[float]
    loss: str  # its name, as XGBoost has it
    warnings: list[str] = field(default_factory=list)


def needs_external_memory(rows: int, features: int, train: TrainConfig) -> bool:
    """Whether binned training data of this shape would pass the budget. The model is the same either way."""
    return rows * features * BYTES_A_CELL > train.memory_budget_mb * 1e6


def fit(
    training: Batches,
    validation: Batches,
    train: TrainConfig,
    *,
    threads: int,
    classes: tuple[str, ...] = (),
    carried: Mapping[str, Any] | None = None,
    weights: Sequence[float] = (),
    cache_prefix: str | None = None,
    binned: Callable[[], None] = lambda: None,
    progress: Callable[[int, float], None],
) -> Fit:
    """Train with early stopping on the validation rows' loss; ``cache_prefix`` is where external memory goes.

    ``classes``: of a multiclass label, whose numbers count them; they are kept in the booster, and so is
    ``carried``, how features are computed (JSON). ``weights``: of the rows of each class; none: all count the same.
    ``binned`` is called once between reading the data and the first tree.

    Raises TrainingError when XGBoost refuses the parameters, a loss is not finite, or, with
    ``train.on_no_convergence: fail``, the best iteration is the first or the last.
    """
    import xgboost as xgb

    iterator = _iterator_class()
    external = {"cache_prefix": f"{cache_prefix}-train"} if cache_prefix else {}
    matrix = xgb.ExtMemQuantileDMatrix if cache_prefix else xgb.QuantileDMatrix
    binning = {"max_bin": train.params["max_bin"]} if "max_bin" in train.params else {}
    history: dict[str, dict[str, list[float]]] = {}
    objective, loss = train.loss
    parameters = {
        **train.params,
        **({"num_class": len(classes)} if classes else {}),
        "objective": objective,
        "eval_metric": loss,
        "seed": train.seed,
        "nthread": threads,
    }
    try:
        rows = matrix(iterator(training, weights, **external), enable_categorical=True, nthread=threads, **binning)
        if cache_prefix:
            external = {"cache_prefix": f"{cache_prefix}-validation"}
        held_out = matrix(
            iterator(validation, weights, **external), ref=rows, enable_categorical=True, nthread=threads, **binning
        )
        binned()
        _refuse_unknown(train.params, xgb.Booster(parameters, [rows]).save_config())
        booster = xgb.train(
            parameters,
            rows,
            num_boost_round=train.rounds,
            evals=[(rows, "train"), (held_out, "validation")],
            early_stopping_rounds=train.early_stopping_rounds,
            evals_result=history,
            verbose_eval=False,
            callbacks=[_progress_callback(progress)],
        )
    except xgb.core.XGBoostError as error:
        message = next((line for line in str(error).splitlines() if line and "Stack trace" not in line), str(error))
        raise TrainingError(
            "XGBoost refused to train.",
            where="train.params",
            found=message.split("Check failed:")[-1].strip()[:300],
            next_step="correct the parameter; `penstock schema` names what Penstock itself sets",
        ) from error
    [(name, validation_loss)] = history["validation"].items()
    train_loss, best = history["train"][name], booster.best_iteration
    warnings = _convergence(best, validation_loss, train)
    content = _cut(booster, best + 1, train.task, classes, carried or {})
    return Fit(content, best, len(validation_loss), train_loss, validation_loss, name, warnings)


def load(booster: bytes, threads: int = 1) -> xgb.Booster:
    import xgboost as xgb

    model = xgb.Booster(model_file=bytearray(booster))
    model.set_param({"nthread": threads})
    return model


def categories(model: xgb.Booster) -> dict[str, list[str]]:
    """The training categories that the model itself carries, by column."""
    stored = model.get_categories(export_to_arrow=True).to_arrow()
    return {name: values.to_pylist() for name, values in stored if values is not None}


def learnt(model: xgb.Booster) -> tuple[str, tuple[str, ...]]:
    """(the task type, the classes by number) that the model itself carries; no classes but of a multiclass model."""
    return model.attr(TASK) or "binary", tuple(json.loads(model.attr(CLASSES) or "[]"))


def recipe(model: xgb.Booster, label: str) -> tuple[FeaturesConfig, dict[str, list[str]]]:
    """(the features that the model itself carries, their categories), to encode rows that have this ``label``."""
    known = categories(model)
    carried = json.loads(model.attr(FEATURES) or "{}")
    made = {*carried.get("derive", ()), *carried.get("python", {}).get("features", ())}
    columns = [name for name in model.feature_names or [] if name not in made]
    of_derived = {name for one in carried.get("derive", {}).values() for name in Derived.model_validate(one).columns}
    asked = {*columns, *of_derived, *carried.get("python", {}).get("columns", ())}
    features = {
        "label": "" if label in asked else label,  # it was a feature then: rows that have it so are no rows for it
        "categorical": [name for name in columns if name in known],
        "numeric": [name for name in columns if name not in known],
        **carried,
    }
    return FeaturesConfig.model_validate(features), known


def importance(model: xgb.Booster) -> list[dict[str, Any]]:
    """Total gain of each feature as a share of all, largest first; a feature that is never used has 0."""
    gain: dict[str, Any] = model.get_score(importance_type="total_gain")
    total = sum(gain.values()) or 1.0
    shares = [{"feature": name, "gain": float(gain.get(name, 0.0)) / total} for name in model.feature_names or []]  # type: ignore[arg-type]
    return sorted(shares, key=lambda share: (-share["gain"], share["feature"]))  # type: ignore[operator]


def single_row_ms(model: xgb.Booster, rows: np.ndarray, clock: Callable[[], float]) -> dict[str, float]:
    """Milliseconds of one row through the booster, for each of ``rows`` (float32, codes). ``clock`` is in seconds."""
    import numpy as np

    model.inplace_predict(rows[:1], validate_features=False)
    times = []
    for row in rows:
        start = clock()
        model.inplace_predict(row.reshape(1, -1), validate_features=False)
        times.append((clock() - start) * 1e3)
    return {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}


def _refuse_unknown(params: dict[str, Any], config: str) -> None:
    """XGBoost only warns of a parameter it does not know, and trains without it. Its own config names those it does."""
    known = set(_keys(json.loads(config)))
    for name in params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise TrainingError(
                f"XGBoost does not use the parameter `{name}`.",
                where=f"train.params.{name}",
                next_step=f"did you mean `{near[0]}`?" if near else "remove it; XGBoost's documentation lists them all",
            )


def _keys(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield name
            yield from _keys(value)


def _cut(booster: xgb.Booster, rounds: int, task: str, classes: tuple[str, ...], carried: Mapping[str, Any]) -> bytes:
    """The first ``rounds`` rounds as UBJ. XGBoost's own slice loses the categories, so they are put back."""
    import xgboost as xgb

    cut = json.loads(bytes(booster[:rounds].save_raw("json")))
    whole = json.loads(bytes(booster.save_raw("json")))
    _tree_model(cut)["cats"] = _tree_model(whole)["cats"]
    found = xgb.Booster(model_file=bytearray(json.dumps(cut).encode()))
    if task != "binary":
        found.set_attr(**{TASK: task, CLASSES: json.dumps(classes)})
    if carried:
        found.set_attr(**{FEATURES: json.dumps(carried)})
    return bytes(found.save_raw("ubj"))


def _tree_model(document: dict[str, Any]) -> dict[str, Any]:
    booster = document["learner"]["gradient_booster"]
    model: dict[str, Any] = booster.get("gbtree", booster)["model"]  # DART keeps its trees one level deeper
    return model


def _convergence(best: int, losses: list[float], train: TrainConfig) -> list[str]:
    if not all(math.isfinite(loss) for loss in losses):
        raise TrainingError(
            "The validation loss is not a finite number.",
            found=f"iteration {next(i for i, loss in enumerate(losses) if not math.isfinite(loss))}",
            next_step="lower `train.params.eta`, or check the data for extreme values",
        )
    problem = ""
    if best == 0:
        problem = "the first tree was the best: the features may not tell the label, or `eta` is too high"
    elif best + 1 >= train.rounds:
        problem = f"the loss still fell at the last of {train.rounds} rounds: raise `train.rounds`"
    if problem and train.on_no_convergence == "fail":
        raise TrainingError(
            "Training did not converge.", found=problem, next_step="change `train:`, or set `on_no_convergence: warn`"
        )
    return [problem] if problem else []


def _progress_callback(progress: Callable[[int, float], None]) -> Any:
    import xgboost as xgb

    class Progress(xgb.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            [values] = evals_log["validation"].values()
            progress(epoch, float(values[-1]))
            return False

    return Progress()


def _iterator_class() -> Any:
    import numpy as np
    import xgboost as xgb

    class BatchIterator(xgb.DataIter):
        """Feeds XGBoost one batch at a time and lets go of it."""

        def __init__(self, batches: Batches, weights: Sequence[float], **external: Any) -> None:
            self.batches, self.weights = batches, np.array(weights, np.float32)
            self.current: Iterator[tuple[pl.DataFrame, pl.Series]] = iter(())
            super().__init__(release_data=True, **external)

        def reset(self) -> None:
            self.current = self.batches()

        def next(self, input_data: Callable[..., None]) -> bool:
            batch = next(self.current, None)
            if batch is None:
                return False
            label = batch[1].to_numpy()
            of_rows = {"weight": self.weights[label.astype(np.intp)]} if len(self.weights) else {}
            input_data(data=batch[0], label=label.astype(np.float32), **of_rows)
            return True

    return BatchIterator
