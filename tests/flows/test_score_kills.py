"""kill -9 before every rename, link and removal of a score run: what exists is counted once, what does not never."""

from __future__ import annotations

import json

import polars as pl

ROWS = 500

# A parent that has started no thread forks one child after another; a hook kills the child before its n-th change.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import pandera.polars, polars, pyarrow.parquet, xgboost
from tasks.machine.settings import settings
settings()
from tasks.scoring import batch_scoring; from tasks.monitoring import collecting; from tasks.data import whylogs_profile
whylogs_profile.load_whylogs()
import whylogs
from flows.score import score
from tasks.data.project import load_project

CHANGES = ("os.rename", "os.link", "os.remove")

def child(act):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitpid(pid, 0)[1]

def scored(output, fatal=None):
    left = [fatal]
    def hook(event, args):
        if event in CHANGES:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
    if fatal is not None:
        sys.addaudithook(hook)
    score.fn("tiny", "in.parquet", output)

def collected():
    collecting.collect_window.fn(load_project("tiny"), close=True)

def state(output):
    folder = settings().predictions / "tiny"
    return [Path(output).exists(), len(list(folder.glob("*/*.batch")))]

number = 0
while True:
    output = f"out-{number}.parquet"
    before = state(output)[1]
    status = child(lambda: scored(output, number))
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    after_kill = state(output)
    if number % 2:
        assert child(collected) == 0
        after_monitor = state(output)
        again = child(lambda: scored(output)) if not after_monitor[0] else 0
    else:
        after_monitor = None
        again = child(lambda: scored(output))
    print(json.dumps([number, before, after_kill, after_monitor, again, state(output)]))
    number += 1
assert child(collected) == 0
"""


def test_kill(tiny):
    from tasks.data.project import load_project
    from tasks.data.sources import load_source
    from tasks.machine.settings import settings
    from tasks.monitoring.collected_store import read_windows
    from tasks.monitoring.served_store import read_served

    load_source(load_project("tiny")).read("b4").rows.drop("late").write_parquet(tiny.root / "in.parquet")
    lines = [json.loads(line) for line in tiny.python("-c", SCRIPT).splitlines() if line.startswith("[")]
    assert len(lines) > 5
    committed = 0
    for number, before, (there, segments), after_monitor, again, after in lines:
        assert not there or segments - before in (0, 1)
        if after_monitor is not None:  # monitoring finished what was decided: both halves, or none
            assert after_monitor[0] == (after_monitor[1] == before + 1), number
        assert again == 0, number  # the same command again ends well, and has not scored twice
        assert after == [True, before + 1], number
        committed += bool(after_monitor and after_monitor[0])
    assert committed  # some kills fell behind the decision
    served = read_served(read_windows("tiny"))
    outputs = [pl.read_parquet(path) for path in sorted(tiny.root.glob("out-*.parquet"))]
    assert len(outputs) == len(lines) + 1
    assert {frame["request_id"][0] for frame in outputs} == set(served["request_id"])
    assert served.height == ROWS * len(outputs)
    assert [path.name for path in tiny.root.iterdir() if path.name.startswith(".tmp-")] == []
    assert list((settings().home / "scoring" / "tiny").glob("*.json")) == []
