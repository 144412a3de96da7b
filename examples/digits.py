"""Which digit was written? The 1,797 images of 8 x 8 pixels that scikit-learn ships: ten classes, and no time.

E. Alpaydin and C. Kaynak 1998, "Optical recognition of handwritten digits", UCI Machine Learning Repository.
"""

from __future__ import annotations

from penstock.batch import Batch
from penstock.errors import DataError

ROWS = 599  # of a batch: a third


class Digits:
    """Three batches in the order in which scikit-learn has the images."""

    def names(self) -> list[str]:
        return ["first", "second", "third"]

    def read(self, name: str) -> Batch:
        import polars as pl
        from sklearn.datasets import load_digits

        if name not in self.names():
            raise DataError(f"There is no batch `{name}`.", allowed=", ".join(self.names()))
        found = load_digits()
        pixels = {f"row{at // 8}_column{at % 8}": found.data[:, at] for at in range(64)}
        images = pl.DataFrame(pixels).cast(pl.Float32).with_columns(pl.Series("digit", found.target, pl.Int8))
        images = images.select(pl.format("image-{}", pl.int_range(pl.len())).alias("image"), pl.all())
        return Batch(images.slice(self.names().index(name) * ROWS, ROWS))


def source() -> Digits:
    return Digits()
