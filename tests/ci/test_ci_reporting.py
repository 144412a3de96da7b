"""The report of a change, and how it gets onto the pull request. The API is a local stand-in that keeps comments."""

from __future__ import annotations

import json
import threading
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.ci_found import (
    Beside,
    ChecksFound,
    DataFound,
    Failed,
    GateFound,
    MetricFound,
    Moved,
    OwnCheck,
    Plot,
    Step,
    TrainFound,
    beside,
    interval,
)
from penstock.ci_report import LONGEST, MARKER, CiReport, code, markdown
from penstock.comparison import Change, MetricChange
from penstock.errors import DataError, PlatformError
from penstock.paired import Loss
from tasks.ci import ci_posting, ci_reporting, ci_store
from tests.loopback import Quiet

NASTY = "`|<script>alert(1)</script> @everyone\n# x"


def gate(passed: bool = True, name: str = "auc") -> GateFound:
    return GateFound(name=name, value=0.7, beside=0.71, lost="loss 0.01", bound="at most 0.02 worse", passed=passed)


def trained(**changed) -> TrainFound:
    facts = {
        "project": "tiny",
        "sample": 0.5,
        "seed": 7,
        "rows": (449, 149, 300),
        "base": "base 0fd4b4fe",
        "champion": "tiny-v1",
        "metrics": (MetricFound(name="auc", value=0.7, low=0.65, high=0.75, base=Beside(value=0.71)),),
        "gates": (gate(),),
        "passed": True,
        "slices": (MetricChange(name=f"color={NASTY} auc", before=0.6, after=0.7, verdict="better"),),
        "plots": (Plot(title="ROC", svg="<svg></svg>", note="n"),),
        "steps": (Step(name="train model", ran=True, why="config: train.rounds changed (30 -> 31)"),),
    }
    return TrainFound(**facts | changed)


def test_a_difference_has_the_sign_of_the_metric_and_a_word_only_where_it_is_sure():
    worse = beside("auc", 0.7, Loss(metric="auc", rows=300, loss=0.05, error=0.01))
    assert (worse.change, worse.verdict) == (-0.05, "worse") and worse.low < -0.05 < worse.high < 0
    lower = beside("log_loss", 0.5, Loss(metric="log_loss", rows=300, loss=0.05, error=0.01))
    assert (lower.change, lower.verdict) == (0.05, "worse")
    assert beside("auc", 0.7, Loss(metric="auc", rows=300, loss=-0.05, error=0.01)).verdict == "better"
    assert beside("auc", 0.7, Loss(metric="auc", rows=300, loss=0.05, error=0.05)).verdict == ""
    assert interval("auc", Loss(metric="auc", rows=300, loss=-0.7, error=0.0)) == (0.7, 0.7)


def test_what_comes_from_data_can_neither_mention_nor_mark_up():
    assert code(NASTY) == "`'/<script>alert(1)</script> @everyone # x`"
    text = markdown(CiReport(commit="c" * 40, train=(trained(),)))
    [line] = [line for line in text.splitlines() if "everyone" in line]
    assert line.count("`") == 2 and line.count("|") == 5
    html = ci_reporting.render(CiReport(commit="c" * 40, train=(trained(),)))
    assert "<script>" not in html and "&lt;script&gt;" in html and "<svg></svg>" in html


def test_it_says_what_failed_first_and_never_more_than_a_comment_holds():
    failed = trained(passed=False, gates=(gate(), gate(False, "log_loss")))
    report = CiReport(
        commit="c" * 40,
        checks=ChecksFound(own=(OwnCheck(name="lint", command="ruff check .", passed=False, seconds=1),), projects=()),
        train=(failed,),
        failed=(Failed(project="other", what="There is no data yet", next_step="penstock ingest"),),
        missing=("data",),
    )
    text = markdown(report)
    assert text.startswith(f"{MARKER}\n## ✗ Penstock, cccccccc") and not report.passed
    for said in ("Nothing was found by: data", "`other`: There is no data yet", "✗ `ruff check .`", "Gates ✗ FAILED"):
        assert said in text
    assert text.index("`log_loss`") < text.index("| metric |")
    many = trained(gates=tuple(gate(name=f"auc on {'x' * 90}{number}") for number in range(2000)))
    assert len(markdown(CiReport(commit="c" * 40, train=(many,)))) < LONGEST + 200


def test_data_and_drift_are_shown():
    moved = (Moved(kind="value", column="size", reason="ks 0.400, at most 0.100"),)
    data = DataFound(
        project="tiny", version="a" * 32, batches=3, rows=1500, invalid=2, splits=(897, 297, 300),
        base_version="b" * 32,
        files=(Change(key="b3.parquet", before="-", after="123"),), against="tiny-v1, the champion", moved=moved,
    )  # fmt: skip
    for text in (
        markdown(CiReport(commit="c" * 40, data=(data,))),
        ci_reporting.render(CiReport(commit="c" * 40, data=(data,))),
    ):
        assert "ks 0.400, at most 0.100" in text and "b3.parquet" in text and "tiny-v1, the champion" in text


def test_findings_of_another_commit_are_missing_and_secrets_are_blotted_out(home, monkeypatch):
    with pytest.raises(DataError, match="No stage"):
        ci_reporting.report_of("c" * 40)
    ci_store.keep("train", ci_store.OfTrain(commit="c" * 40, base="b" * 40, found=(trained(base="base hunter22"),)))
    ci_store.keep("data", ci_store.OfData(commit="d" * 40, found=()))
    report = ci_reporting.report_of("c" * 40)
    assert report.missing == ("check", "data") and not report.passed
    monkeypatch.setenv("SHOP_PASSWORD", "hunter22")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(home.parent / "summary.md"))
    text, paths = ci_reporting.write(report)
    assert [path.name for path in paths] == ["report.md", "report.html", "report.json"]
    for path in (*paths, home.parent / "summary.md"):
        assert "hunter22" not in path.read_text() and "***" in path.read_text()
    assert json.loads(paths[2].read_text())["commit"] == "c" * 40
    assert text == paths[0].read_text()


class Api(ThreadingHTTPServer):
    """Comments as GitHub's and GitLab's APIs keep them: listed by page, added, changed by id."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments = [{"id": 100 + number, "body": f"LGTM {number}"} for number in range(150)]
        self.asked: list[tuple[str, str, str]] = []
        self.refusal = 0


class Handler(Quiet):
    server: Api

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        token = self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN")
        self.server.asked.append((self.command, where.path, token))
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = self.server.comments
        status = 200
        if self.server.refusal and self.command != "GET":
            status, reply = self.server.refusal, {"message": "no"}
        elif self.command == "GET":
            page = {name: int(text) for name, [text] in parse_qs(where.query).items()}
            start = (page["page"] - 1) * page["per_page"]
            reply = found[start : start + page["per_page"]]
        elif self.command == "POST":
            reply = {"id": 900 + len(found), "body": json.loads(content)["body"]}
            found.append(reply)
            status = 201
        else:
            [reply] = [one for one in found if one["id"] == int(where.path.rpartition("/")[2])]
            reply["body"] = json.loads(content)["body"]
        self.answer(json.dumps(reply).encode(), status)

    do_POST = do_PATCH = do_PUT = do_GET


@pytest.fixture
def api(monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "JENKINS_URL"):
        monkeypatch.delenv(name, raising=False)
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def on_github(api, patch):
    patch.setenv("GITHUB_ACTIONS", "true")
    patch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{api.server_port}")
    patch.setenv("GITHUB_REPOSITORY", "us/model")
    patch.setenv("GITHUB_REF", "refs/pull/12/merge")
    patch.setenv("GITHUB_TOKEN", "t0ken")
    return "/repos/us/model/issues/12/comments", "/repos/us/model/issues/comments/1050", "Bearer t0ken", "PATCH"


def on_gitlab(api, patch):
    patch.setenv("GITLAB_CI", "true")
    patch.setenv("CI_API_V4_URL", f"http://127.0.0.1:{api.server_port}")
    patch.setenv("CI_PROJECT_ID", "5")
    patch.setenv("CI_MERGE_REQUEST_IID", "12")
    patch.setenv("PENSTOCK_GITLAB_TOKEN", "t0ken")
    notes = "/projects/5/merge_requests/12/notes"
    return notes, f"{notes}/1050", "t0ken", "PUT"


@pytest.mark.parametrize("system", [on_github, on_gitlab])
def test_the_report_is_one_comment_that_is_written_anew(api, monkeypatch, system):
    listed, changed, token, verb = system(api, monkeypatch)
    assert ci_posting.post(f"{MARKER}\none") == "posted"
    assert ci_posting.post(f"{MARKER}\ntwo") == "posted, in the place of the one before"
    assert [one["body"] for one in api.comments if one["body"].startswith(MARKER)] == [f"{MARKER}\ntwo"]
    assert len(api.comments) == 151
    assert api.asked[2] == ("POST", listed, token) and api.asked[-1] == (verb, changed, token)


def test_a_token_that_may_not_write_is_no_failure_and_a_broken_api_is(api, monkeypatch):
    on_github(api, monkeypatch)
    api.refusal = 403
    assert ci_posting.post(f"{MARKER}\none").startswith("not posted: the API answered 403")
    api.refusal = 502
    with pytest.raises(PlatformError) as found:
        ci_posting.post(f"{MARKER}\none")
    assert found.value.exit_code == 7 and "502" in found.value.found and "t0ken" not in found.value.text()


def test_nothing_is_posted_without_a_pull_request_or_a_token(api, monkeypatch):
    assert ci_posting.post("x") == "not posted: there is no pull request here"
    on_github(api, monkeypatch)
    monkeypatch.delenv("GITHUB_TOKEN")
    assert ci_posting.post("x") == "not posted: GITHUB_TOKEN is not set"
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    assert ci_posting.post("x") == "not posted: there is no pull request here"
    assert api.asked == []
