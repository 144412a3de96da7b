"""The service beside FastAPI and MLflow, in one run: `uv run python -m benchmarks.serve [--rounds 3] [--seconds 3]`.

All servers hold the same model and are up at the same time, one process each; they take turns, round by round, so that
whatever else the machine does falls on all. Ours is started as production starts it, on a socket that is handed over,
with the prediction log and without. FastAPI (`serve_fastapi.py`) validates by the same schema; MLflow is
`mlflow models serve`. One client process (`serve_client.py`) asks, and checks every answer. Of each case the round
with the median rps is printed, and the CPU time of the server's processes per request.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.serve_servers import REPOSITORY, Server, cpu_seconds, fastapi, mlflow, ours
from benchmarks.train import Bench

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
ROWS = 1000


def bodies(scratch: Path, example: dict) -> dict[str, Path]:
    """The requests, as files: one row, many rows with unlike values, the same as Arrow, and both for MLflow."""
    import pyarrow as pa

    rows = []
    for number in range(ROWS):
        floats = {
            name: round(value * (1 - number / ROWS / 50), 4)
            for name, value in example.items()
            if isinstance(value, float)
        }
        rows.append({**example, **floats})
    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)

    def split(found: list[dict]) -> bytes:
        data = [list(row.values()) for row in found]
        return json.dumps({"dataframe_split": {"columns": list(example), "data": data}}).encode()

    contents = {
        "one": json.dumps(example).encode(),
        "many": json.dumps(rows).encode(),
        "arrow": sink.getvalue().to_pybytes(),
        "one-mlflow": split([example]),
        "many-mlflow": split(rows),
    }
    for name, content in contents.items():
        (scratch / name).write_bytes(content)
    return {name: scratch / name for name in contents}


def ask(client: Path, server: Server, path: str, kind: str, body: Path, connections: int, seconds: float) -> dict:
    before = cpu_seconds(server.process.pid)
    script = str(REPOSITORY / "benchmarks" / "serve_client.py")
    command = [str(client), script, str(server.port), path, kind, str(body), str(connections), str(seconds)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if said.returncode:
        raise SystemExit(f"{server.name}: {said.stderr[-2000:]}")
    found = json.loads(said.stdout)
    # the client's warm-up is in the CPU time, too
    found["cpu"] = (cpu_seconds(server.process.pid) - before) / (found["requests"] * (seconds + 0.3) / seconds) * 1e6
    return found


def run(scratch: Path, bento: Path, python: Path, rounds: int, seconds: float) -> None:
    model = next(bento.glob("models/*/*/about.json")).parent
    about = json.loads((model / "about.json").read_text())
    files = bodies(scratch, about["example"])
    with contextlib.ExitStack() as stack:
        logged = stack.enter_context(ours(scratch, bento, python, log=True))
        bare = stack.enter_context(ours(scratch, bento, python, log=False))
        rival = stack.enter_context(fastapi(scratch, model))
        flow = stack.enter_context(mlflow(scratch, model))
        client = scratch / "fastapi" / "bin" / "python"
        cases = [
            (f"{title}, concurrency {connections}", connections, [
                (logged, "/v1/predict", JSON, files[body]), (bare, "/v1/predict", JSON, files[body]),
                (rival, "/v1/predict", JSON, files[body]), (flow, "/invocations", JSON, files[f"{body}-mlflow"]),
            ])
            for title, connections, body in
            [("one row", 1, "one"), ("one row", 8, "one"), (f"{ROWS} rows JSON", 4, "many")]
        ]  # fmt: skip
        cases.append((f"{ROWS} rows Arrow, concurrency 4", 4, [(logged, "/v1/predict", ARROW, files["arrow"])]))
        found: dict[tuple[str, str], list[dict]] = {}
        for _ in range(rounds):
            for title, connections, turns in cases:
                for server, path, kind, body in turns:
                    taken = ask(client, server, path, kind, body, connections, seconds)
                    found.setdefault((title, server.name), []).append(taken)
        show(found, [logged, bare, rival, flow])


def show(found: dict[tuple[str, str], list[dict]], servers: list[Server]) -> None:
    middle = {key: sorted(rounds, key=lambda one: one["rps"])[len(rounds) // 2] for key, rounds in found.items()}
    last = ""
    for (title, name), one in middle.items():
        if title != last:
            print(f"\n{title:34}      rps    p50 ms    p99 ms   CPU us/request")
            last = title
        print(f"  {name:32} {one['rps']:8.0f} {one['p50']:9.2f} {one['p99']:9.2f} {one['cpu']:12.0f}")
    single, many = "one row, concurrency 8", f"{ROWS} rows JSON, concurrency 4"
    arrow = f"{ROWS} rows Arrow, concurrency 4"
    log, bare, rival, flow = (server.name for server in servers)

    def ratio(first: tuple[str, str], second: tuple[str, str]) -> float:
        """The median over the rounds of the ratio within a round."""
        pairs = zip(found[first], found[second], strict=True)
        return statistics.median(one["rps"] / other["rps"] for one, other in pairs)

    cost = statistics.median(
        with_log["cpu"] - without["cpu"]
        for with_log, without in zip(found[single, log], found[single, bare], strict=True)
    )
    agreed = len({one["scores"].replace(" ", "")[:8] for (title, _), one in middle.items() if title == single}) == 1
    print(f"""
all servers give the same score: {"yes" if agreed else "NO"}
                                              found     target
one row, c8: ours with log / FastAPI       {ratio((single, log), (single, rival)):8.2f}     >= 1.0
one row, c8: ours without log / FastAPI    {ratio((single, bare), (single, rival)):8.2f}
one row, c8: ours with log / MLflow        {ratio((single, log), (single, flow)):8.2f}     >= 6
{ROWS} rows JSON: ours with log / FastAPI    {ratio((many, log), (many, rival)):8.2f}     >= 1.0
{ROWS} rows: Arrow / JSON, both ours         {ratio((arrow, log), (many, log)):8.2f}     >= 1.3
prediction log, CPU us per request         {cost:8.1f}     <= 20
ready, seconds                             {max(one.ready for one in servers[:2]):8.2f}     <= 4""")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--bento", type=Path, help="an unpacked Bento, instead of one made afresh")
    parser.add_argument("--python", type=Path, help="the Python of its serving environment")
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        scratch = Path(folder)
        if given.bento and given.python:
            run(scratch, given.bento, given.python, given.rounds, given.seconds)
            return
        bench = Bench(scratch / "made")
        try:
            bench.penstock("run", "flights")
        finally:
            bench.penstock("down")
        bento = next((bench.home / "bentos").iterdir())
        python = next((bench.home / "environments").glob("*/bin/python"))
        run(scratch, bento, python, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
