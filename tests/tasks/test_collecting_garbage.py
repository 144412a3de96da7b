"""What goes and what stays: random histories, kills at any point, and each class with real files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from flows.compare import compare, explain_gate
from flows.lifecycle import flow
from penstock.collected import Collected, Counts, Segment
from penstock.errors import StorageError
from penstock.refs import FileRef
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.monitoring.collected_store import append_window
from tasks.operations.collecting_garbage import forecast, free
from tasks.operations.garbage_marks import stored
from tasks.registry.comparing import candidate_name, candidate_of
from tasks.registry.registry import read_ledger, register
from tasks.registry.releases import packaged, tell
from tasks.store import store
from tasks.store.caching import file_refs
from tasks.store.store_use import in_use, unused
from tests.candidates import made

DAY = 86_400.0


@pytest.fixture
def later(tmp_path):
    """It is sixty days later: all that is there is old."""
    with clock.simulated(tmp_path / "clock", datetime.now(UTC) + timedelta(days=60)) as found:
        yield found


def account(found, name):
    return next((one for one in found.accounts if one.name == name), None)


def freed(found, name):
    one = account(found, name)
    return one.count if one else 0


def why(found, name):
    return {kept.why: kept.count for kept in account(found, name).kept}


def files(folder):
    """By path, what every file holds, but locks, which are empty, and databases."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".db", ".lock")]
    return {str(path): path.read_bytes() for path in found}


def candidate(name, passed=True):
    """A candidate whose rows, predictions and package are its own."""
    found = made(name, passed=passed)
    rows = {
        part: store.put_bytes(f"{part} {name}".encode(), f"{part}.parquet") for part in ("train", "validation", "test")
    }
    with store.new_file("predictions.parquet") as draft:
        pl.DataFrame(
            {"label": [True, False] * 5, "score": [i / 10 for i in range(10)], "n": [name] * 10}
        ).write_parquet(draft.path)
    evaluation = found.evaluation.model_copy(update={"predictions": draft.ref})
    package = found.package and found.package.model_copy(update={"bento": store.put_bytes(name.encode(), "bento.tar")})
    splits = found.splits.model_copy(update=rows)
    lineage = found.lineage.model_copy(update={"schema_text": store.put_bytes(b"columns: {}", "schema.yaml")})
    return found.model_copy(update={"lineage": lineage, "splits": splits, "evaluation": evaluation, "package": package})


STEP = st.tuples(
    st.sampled_from(["pass", "pass", "fail", "promote", "healthy", "rolled back", "quarantined", "junk", "result"]),
    st.integers(0, 9),
    st.integers(0, 40),
)


def play(steps, days):
    """A history. Returns when it ended."""
    made_of = []
    for number, (kind, which, wait) in enumerate(steps):
        days.set(clock.now() + timedelta(days=wait))
        if kind in ("pass", "fail"):
            one = candidate(f"d{number}", passed=kind == "pass")
            release = register.fn(one)
            made_of += [release.version] if release.version else []
        elif kind == "junk":
            store.put_bytes(f"junk {number}".encode(), "junk.bin")
        elif kind == "result":
            ref = store.put_bytes(f"result {number}".encode(), "rows.parquet")
            result = {"__class__": "penstock.refs.FileRef", "data": ref.model_dump()}
            settings().cache.mkdir(parents=True, exist_ok=True)
            (settings().cache / f"step-{number}").write_text(json.dumps({"result": json.dumps(result)}))
        elif made_of:
            version = made_of[which % len(made_of)]
            tell("tiny", {"promote": "promoted"}.get(kind, kind), version, "because")


def require_whole(keep):
    """Every candidate of the ledger can be explained and compared, and has what deploying and rebuilding read."""
    events = read_ledger("tiny")
    judged = [event for event in events if event.kind in ("registered", "rejected")]
    for event in judged:
        name = candidate_name(event)
        assert explain_gate("tiny", name).name == name
        found = candidate_of(event)
        rows = {found.splits.train, found.splits.validation}
        missing = [str(ref) for ref in file_refs(found) if ref not in rows and not store.intact(ref)]
        assert missing == [], name
        if event.version:
            assert store.intact(packaged("tiny", event.version).package.bento)
    for before, after in pairwise(judged):
        names = candidate_name(before), candidate_name(after)
        if names[0] != names[1]:
            assert compare("tiny", *names).before.name == names[0]
    newest = [event for event in judged if event.version][-keep:]
    for event in newest:
        assert all(store.intact(ref) for ref in file_refs(candidate_of(event)))
    for path in stored().values():
        assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()


@examples(max_examples=15)
@given(steps=st.lists(STEP, max_size=14), keep=st.integers(1, 3), age=st.sampled_from([1, 20, 60]))
def test_whatever_has_happened_the_ledger_stays_whole_and_the_forecast_is_kept(steps, keep, age):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        shutil.copytree(Path(__file__).parents[1] / "tiny", Path(name) / "c")
        patch.setenv("PENSTOCK_ROOT", f"{name}/c")
        patch.setenv("PENSTOCK_HOME", f"{name}/c/home")
        patch.chdir(f"{name}/c")
        settings.cache_clear()
        with clock.simulated(Path(name) / "clock", datetime.now(UTC)) as days:
            play(steps, days)
            days.set(clock.now() + timedelta(days=2))
            before = files(settings().home)
            said = forecast(keep, age * DAY)
            assert files(settings().home) == before
            went = free(keep, age * DAY)
            assert went == said.model_copy(update={"freed": True})
            after = files(settings().home)
            lost = before.keys() - after.keys()
            assert len(lost) == sum(one.count for one in said.accounts)
            assert sum(len(before[path]) for path in lost) == said.size
            assert all(after[path] == before[path] for path in after)
            assert not [path for path in lost if "/ledger/" in path]
            require_whole(keep)
            assert forecast(keep, age * DAY).size == 0
            young = [kind for kind, _, _ in steps].count("junk")
            assert freed(said, "store") >= young  # what nothing names went, for two days have passed
        settings.cache_clear()


def test_what_was_trained_on_goes_for_old_candidates_and_stays_for_those_in_use(checkout, later):
    versions = [register.fn(candidate(f"d{number}")).version for number in range(4)]
    tell("tiny", "promoted", versions[1], "")
    tell("tiny", "healthy", versions[1], "")
    tell("tiny", "promoted", versions[2], "")
    later.set(clock.now() + timedelta(days=60))
    went = free(1, 30 * DAY)
    assert freed(went, "store") == 2  # training and validation rows of the first
    whole = [
        version
        for version, event in zip(versions, read_ledger("tiny"), strict=False)
        if all(store.intact(ref) for ref in file_refs(candidate_of(event)))
    ]
    assert whole == versions[1:]


def test_while_a_run_goes_on_nothing_is_freed_and_a_flow_is_such_a_run(checkout, later):
    store.put_bytes(b"nobody's", "x.bin")

    def named(config):
        with unused() as alone:
            assert not alone
        with pytest.raises(StorageError, match="A run is going on"):
            free(1, DAY)
        return freed(forecast(1, DAY), "store")

    assert flow(named).fn("tiny") == 1
    with in_use(), in_use(), pytest.raises(StorageError):
        free(1, DAY)
    assert freed(free(1, DAY), "store") == 1


def test_what_is_younger_than_a_day_stays_whatever_is_asked_for(checkout):
    store.put_bytes(b"nobody's", "x.bin")
    assert why(free(1, 0), "store") == {"younger than a day": 1}


def test_killed_at_any_point_it_leaves_a_whole_and_the_next_one_ends_it(checkout, later):
    play([("pass", 0, 0), ("pass", 0, 0), ("fail", 0, 0), ("junk", 0, 0), ("result", 0, 0), ("pass", 0, 0)], later)
    later.set(clock.now() + timedelta(days=60))
    saved = checkout.root / "saved"
    shutil.copytree(checkout.home, saved, symlinks=True)
    total = sum(one.count for one in forecast(1, DAY).accounts)
    assert total >= 5
    unlink = Path.unlink
    for survived in range(total):
        shutil.rmtree(checkout.home)
        shutil.copytree(saved, checkout.home, symlinks=True)
        child = os.fork()
        if not child:
            count = iter(range(survived))

            def dying(self, missing_ok=False, count=count):
                if self.is_relative_to(checkout.home) and next(count, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                unlink(self, missing_ok=missing_ok)

            try:
                Path.unlink = dying
                free(1, DAY)
            finally:
                os._exit(0)  # not back into pytest
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        require_whole(1)
        assert sum(one.count for one in free(1, DAY).accounts) == total - survived
        require_whole(1)


def test_remembered_results_of_the_last_run_stay_with_their_files(checkout, later):
    play([("result", 0, 0), ("result", 0, 0)], later)
    last = settings().cache / "last" / "tiny"
    last.mkdir(parents=True)
    (last / "step.json").write_text(json.dumps({"key": "step-1", "document": {}}))
    went = free(1, 30 * DAY)
    assert (freed(went, "remembered results"), freed(went, "store")) == (1, 1)
    assert (settings().cache / "step-1").exists()


def segment(name, content=b"{}\n"):
    path = settings().predictions / "tiny" / "tiny-v1" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Segment(model="tiny-v1", name=name)


def test_segments_and_scored_files_go_once_a_window_has_taken_them(checkout, later):
    rows = store.put_bytes(b"rows of a scored file", "rows.parquet")
    merged = store.put_bytes(b"rows of the window", "rows.parquet")
    batch = segment("2.batch", json.dumps({"rows": rows.model_dump()}).encode())
    taken = (segment("1.jsonl"), batch)
    segment("3.jsonl")
    segment("4.open")
    waiting = store.put_bytes(b"rows that wait", "rows.parquet")
    segment("5.batch", json.dumps({"rows": waiting.model_dump()}).encode())
    window = Collected(number=1, project="tiny", closed="2025-01-01T00:00:00+00:00", since=0, until=0, segments=taken,
                       rows=merged, profile=None, counts=Counts(), models={})  # fmt: skip
    append_window(window)
    went = free(1, 30 * DAY)
    assert freed(went, "prediction log") == 2
    assert why(went, "prediction log") == {"monitoring has not counted it yet": 2, "being written": 1}
    assert [store.intact(ref) for ref in (rows, merged, waiting)] == [False, True, True]


def test_a_damaged_ledger_stops_it_before_anything_goes(checkout, later):
    register.fn(candidate("d1"))
    store.put_bytes(b"nobody's", "x.bin")
    (checkout.home / "ledger" / "tiny" / "000001.json").write_text("{")
    before = files(checkout.home)
    with pytest.raises(StorageError):
        free(1, DAY)
    assert files(checkout.home) == before


def test_half_written_files_logs_and_environments_of_nobody(checkout, later):
    for name in (
        "store/tmp/tmpx",
        "ledger/tiny/.tmp-1",
        "logs/tiny-v1.log",
        "logs/tiny-v1.log.1",
        "logs/supervisord.log",
    ):
        path = checkout.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    (checkout.home / "environments").unlink()
    for name in ("3.11-" + "0" * 16, "3.11-" + ours()):
        folder = checkout.home / "environments" / name / "bin"
        folder.mkdir(parents=True)
        (folder.parent / "complete").touch()
        (folder / "python").write_bytes(b"123")
    went = free(1, 30 * DAY)
    assert (freed(went, "half-written files"), freed(went, "logs"), freed(went, "serving environments")) == (2, 2, 1)
    assert [path.name for path in (checkout.home / "environments").iterdir()] == ["3.11-" + ours()]


def ours():
    return hashlib.sha256((Path(__file__).parents[2] / "bentos" / "requirements.txt").read_bytes()).hexdigest()[:16]


def test_unpacked_packages_go_unless_they_serve_or_were_used(checkout, later):
    versions = [register.fn(candidate(f"d{number}").model_copy(update={})).version for number in range(2)]
    assert len(versions) == 2
    for name in ("tiny-aaaa-999999999999", "tiny-bbbb-" + "1" * 12):
        folder = checkout.home / "bentos" / name
        folder.mkdir(parents=True)
        (folder / "bento.yaml").write_bytes(b"x" * 10)
    process = subprocess.Popen(
        [sys.executable, "-c", "input()", str(folder.with_name("tiny-aaaa-999999999999"))], stdin=subprocess.PIPE
    )
    try:
        assert why(free(1, DAY), "unpacked packages") == {
            "a process runs from it": 1,
            "one of the 1 newest releases": 1,
        }
    finally:
        process.communicate(b"\n")
    assert freed(free(1, DAY), "unpacked packages") == 1
    assert [path.name for path in (checkout.home / "bentos").iterdir()] == ["tiny-bbbb-" + "1" * 12]


def test_dataset_files_go_only_if_nothing_names_them_and_the_remote_has_them(releases, tmp_path):
    from benchmarks.tiny import within

    with within(releases.copy(tmp_path / "checkout")) as tiny:
        cache, remote = tiny.root / ".dvc" / "cache" / "files" / "md5", tiny.home / "remote" / "files" / "md5"

        def orphan(content, there):
            oid = hashlib.md5(content, usedforsecurity=False).hexdigest()
            for folder, held in ((cache, content), (remote, there)):
                if held is not None:
                    (folder / oid[:2]).mkdir(exist_ok=True)
                    (folder / oid[:2] / oid[2:]).write_bytes(held)

        orphan(b"in both", b"in both")
        orphan(b"only here", None)
        orphan(b"damaged there", b"damaged there?")
        with clock.simulated(tmp_path / "clock", datetime.now(UTC) + timedelta(days=60)):
            went = free(1, 30 * DAY)
        assert (freed(went, "dataset files"), account(went, "dataset files").size) == (1, len(b"in both"))
        assert why(went, "dataset files") == {"a dataset version needs it": 4, "the remote does not have it": 2}


def test_half_told_runs_and_old_rejections_leave_mlflow(checkout, later):
    from tasks.reports.mlflow_mirror import connect

    client = connect()
    experiment = client.create_experiment(
        "tiny", artifact_location=(checkout.home / "mlflow" / "artifacts" / "tiny").as_uri()
    )
    runs = {}
    for name, blessing, ends in (
        ("r1", "rejected", True),
        ("r2", "rejected", True),
        ("v1", "blessed", True),
        ("half", "blessed", False),
    ):
        tags = {"penstock.record": "1" * 64, "penstock.blessing": blessing}
        run = client.create_run(experiment, run_name=name, tags=tags).info
        client.log_text(run.run_id, name * 10, "report.html")
        runs[run.run_id] = name
        if ends:
            client.set_terminated(run.run_id)
        time.sleep(0.002)
    theirs = client.create_run(experiment, run_name="somebody's").info.run_id
    before = forecast(1, 30 * DAY)
    assert (freed(before, "MLflow runs"), account(before, "MLflow runs").size) == (2, 20 + 40)
    assert free(1, 30 * DAY) == before.model_copy(update={"freed": True})
    with sqlite3.connect(checkout.home / "mlflow" / "mlflow.db") as database:
        left = {row[0] for row in database.execute("SELECT run_uuid FROM runs")}
    assert {runs.get(run, "theirs") for run in left} == {"r2", "v1", "theirs"}
    assert theirs in left
    there = {path.name for path in (checkout.home / "mlflow" / "artifacts" / "tiny").iterdir()}
    assert there == {run for run in left if run != theirs}
    assert freed(forecast(1, 30 * DAY), "MLflow runs") == 0


def test_an_image_goes_when_its_release_need_not_be_ready(checkout, later):
    """With a real image storage, where one can be used."""
    if not shutil.which("buildah"):
        pytest.skip("buildah is not installed")
    scratch = subprocess.run(["buildah", "from", "scratch"], capture_output=True, text=True, check=False)
    if scratch.returncode:
        pytest.skip("no image storage can be used here")
    container = scratch.stdout.strip()
    try:
        commit = ["buildah", "commit", "--quiet", container, "penstock-test-of-gc:1"]
        image = subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip()
    finally:
        subprocess.run(["buildah", "rm", container], capture_output=True, check=True)
    try:
        versions = [register.fn(candidate(f"d{number}")).version for number in range(2)]
        for version in versions[::-1]:
            tell("tiny", "containerized", version, "", image=image, backend="buildah", tag="penstock-test-of-gc:1")
        later.set(clock.now() + timedelta(days=60))
        assert freed(forecast(2, 30 * DAY), "container images") == 0
        assert freed(free(1, 30 * DAY), "container images") == 1
        assert account(forecast(1, 30 * DAY), "container images") is None
    finally:
        subprocess.run(["buildah", "rmi", image], capture_output=True, check=False)


def test_the_command_forecasts_and_frees_only_when_told_to(checkout):
    draft = checkout.home / "store" / "tmp" / "tmpx"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"12345")
    os.utime(draft, (0, 0))
    for words in ((), ("--yes", "--dry-run")):
        said = checkout.penstock("gc", *words, "--json", check=True)
        assert json.loads(said.stdout)["freed"] is False
        assert draft.exists()
    assert "freed: 1 thing, 5 B" in checkout.penstock("gc", "--yes", check=True).stdout
    assert not draft.exists()
    assert checkout.penstock("gc", "--older-than", "soon").returncode == 2


def test_files_that_a_record_of_tomorrow_names_stay_too(checkout, later):
    """The mark reads names, not formats: through stored JSON, in files of any place in the home."""
    leaf = store.put_bytes(b"leaf", "leaf.bin")
    middle = store.put_json({"deep": [{"ref": leaf.sha256}]}, "middle.json")
    (checkout.home / "something new").mkdir()
    (checkout.home / "something new" / "record.json").write_text(json.dumps({"x": middle.model_dump()}))
    assert freed(free(1, DAY), "store") == 0
    assert isinstance(leaf, FileRef)
