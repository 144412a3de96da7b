"""The floor of `benchmarks.scale`: the hand-written script's own steps, up to its gate. Prints one line of JSON.

python benchmarks/scale_floor.py memory|external CONFIG SCHEMA OUT FILE ...
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from scale_meter import Meter, pinned


def main(how: str, config: str, schema: str, out: str, *files: str) -> None:
    pinned(2)
    meter = Meter()
    with meter.step("start"):
        import floor
        from floor_data import Run

    @dataclass
    class Measured(Run):
        paths: list[Path] = field(default_factory=list)

        @property
        def files(self) -> list[Path]:
            return self.paths

        @contextlib.contextmanager
        def step(self, name: str) -> Iterator[None]:
            with meter.step(name):
                yield

    project = yaml.safe_load(Path(config).read_text()) | {"schema": schema}
    run = Measured(Path(out), Path(out), how == "external", project, paths=[Path(file) for file in files])
    floor.prepare(run, "all")
    found = floor.work(run, everything=True, python=None)
    rows = [found["metrics"]["split_rows"][name] for name in ("train", "validation", "test")]
    print(
        json.dumps({
            "steps": meter.steps,
            "matrix": "ExtMemQuantileDMatrix" if run.external else "QuantileDMatrix",
            "trees": found["metrics"]["trees"],
            "rounds": project["train"]["rounds"],
            "model": hashlib.sha256((run.out / "model.ubj").read_bytes()).hexdigest(),
            "passed": True,  # it ends with what failed otherwise
            "split_rows": rows,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
