"""A package answers in a real server what training computed, carries all it needs, and is refused when it does not."""

from __future__ import annotations

import json
import signal
import subprocess
import tarfile

import numpy as np
import polars as pl
import pytest

from bentos import environment
from penstock.errors import PackagingError, PlatformError
from tasks.packaging.model_server import running_server, unpacked
from tasks.packaging.packaging import content_digest
from tasks.packaging.serving_env import prepare_serving, serving_python, serving_requirements
from tasks.store import store
from tasks.store.source import CODE
from tasks.training.samples import example_row
from tests.loopback import free_port
from tests.trained import Client, Trained
from tests.waiting import PATIENCE, until

NOT_SERVED = ("build", "recipe")


@pytest.fixture
def trained(checkout, monkeypatch) -> Trained:
    return Trained(monkeypatch)


def test_a_package_answers_the_very_scores_of_training(trained, checkout):
    package = trained.package()
    check = trained.check(package)
    assert (check.rows, check.max_difference, check.rejected_status) == (50, 0.0, 422)
    assert check.ready_seconds > 0


def test_equal_inputs_give_an_equal_tag_and_content(trained):
    first, second = trained.package(), trained.package()
    assert first.tag == second.tag
    assert first.schema_spec == second.schema_spec


def test_a_package_holds_no_pickle_and_nothing_of_the_checkout(trained, checkout):
    with tarfile.open(store.locate(trained.package().bento)) as tar:
        names = [name.removeprefix("./").lstrip("/") for name in tar.getnames()]
        texts = [tar.extractfile(member).read() for member in tar.getmembers() if member.isfile()]
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    ours = sorted(name for name in names if name.startswith("src/") and name.endswith(".py"))
    assert ours == [
        *(f"src/bentos/{path.name}" for path in sorted((CODE / "bentos").glob("*.py")) if path.stem not in NOT_SERVED),
        "src/penstock/__init__.py", "src/penstock/column_arrays.py", "src/penstock/derive.py", "src/penstock/fields.py",
        "src/penstock/inputs.py", "src/penstock/patterns.py", "src/penstock/python_features.py",
        "src/penstock/release_config.py",
        "src/penstock/rows.py", "src/penstock/section.py", "src/penstock/task_type.py", "src/penstock/times.py",
    ]  # fmt: skip
    assert not [text for text in texts if str(checkout.root).encode() in text]


def test_a_package_carries_its_bill_of_materials_and_its_own_image_recipe(trained):
    package = trained.package()
    folder = unpacked(package)
    assert (folder / "src" / "sbom.cdx.json").read_bytes() == store.read_bytes(package.sbom)
    assert "--require-hashes" in (folder / "env" / "docker" / "Dockerfile").read_text()
    assert "launch.py" in (folder / "env" / "docker" / "entrypoint.sh").read_text()
    pins = (folder / "src" / "requirements.txt").read_bytes()
    assert (folder / "env" / "python" / "requirements.txt").read_bytes() == pins


def test_a_server_listens_by_itself_where_nobody_hands_it_a_socket(trained, tmp_path):
    """As in a container: no descriptor, folders that are not there yet, and a check of health."""
    folder = unpacked(trained.package())
    python, source = serving_python(folder / "src" / "requirements.txt"), folder / "src" / "bentos"
    port = free_port()
    variables = {
        "PENSTOCK_LISTEN": f"127.0.0.1:{port}", "PENSTOCK_RELEASE": "tiny-v9", "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": str(tmp_path / "home"), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "a" / "metrics"),
    }  # fmt: skip

    def start(**changes: str) -> subprocess.Popen[str]:
        command = [str(python), "-I", str(source / "launch.py"), str(folder)]
        pipes = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=variables | changes, **pipes)

    def healthy() -> bool:
        check = [str(python), "-I", "-S", str(source / "health.py")]
        return subprocess.run(check, env=variables, check=False).returncode == 0

    assert not healthy()
    server = start()
    try:
        until(lambda: healthy() or server.poll() is not None)
        assert server.poll() is None, server.stderr.read()
        call = Client(f"http://127.0.0.1:{port}")
        row = json.dumps(example_row(trained.splits, trained.project.features))
        status, body, headers = call("POST", "/v1/predict", row, Content_Type="application/json")
        assert (status, headers["x-penstock-model"]) == (200, "tiny-v9"), body
        _, said = start().communicate(timeout=PATIENCE)
        assert f"127.0.0.1:{port} cannot be listened on" in said
        _, said = start(PENSTOCK_LISTEN="3000").communicate(timeout=PATIENCE)
        assert "PENSTOCK_LISTEN is '3000'" in said
    finally:
        server.terminate()
        assert server.wait(PATIENCE) == 0


@pytest.mark.parametrize(("text", "expected"), [
    ("", None), ("0.0.0.0:3000", ("0.0.0.0", 3000)), ("[::]:80", ("::", 80)), ("here:1", ("here", 1)),
])  # fmt: skip
def test_an_address_to_listen_on(text, expected):
    assert environment.address(text) == expected


@pytest.mark.parametrize("text", ["3000", ":3000", "a:", "a:0", "a:65536", "a:x", "::1:80", "[]:80", "a:٣"])
def test_what_is_no_address_is_named(text):
    with pytest.raises(ValueError, match="PENSTOCK_LISTEN"):
        environment.address(text)


def test_a_model_that_answers_otherwise_is_refused(trained):
    """The planted defect: predictions that the packaged booster did not make, off by one float32."""
    scores = pl.read_parquet(store.locate(trained.evaluation.predictions))
    wrong = scores.with_columns(pl.Series("score", np.nextafter(scores["score"].to_numpy(), np.float32(2))))
    with store.new_file("predictions.parquet") as draft:
        wrong.write_parquet(draft.path)
    trained.evaluation = trained.evaluation.model_copy(update={"predictions": draft.ref})
    with pytest.raises(PackagingError, match="does not answer what"):
        trained.check(trained.package())


def test_a_missing_requirement_is_found_before_release(trained):
    text = store.read_bytes(serving_requirements()).decode()
    blocks = text.split("\n")
    start = next(number for number, line in enumerate(blocks) if line.startswith("xgboost-cpu=="))
    end = next(number for number in range(start + 1, len(blocks)) if not blocks[number].startswith(" "))
    short = store.put_bytes("\n".join(blocks[:start] + blocks[end:]).encode(), "requirements.txt")
    with pytest.raises(PackagingError, match="does not start") as caught:
        trained.check(trained.package(short))
    assert "xgboost" in caught.value.found


def test_an_unpacked_bento_that_was_touched_is_unpacked_again(trained):
    package = trained.package()
    folder = unpacked(package)
    spec = next(folder.rglob("schema.json"))
    spec.chmod(0o644)
    spec.write_text("{}")
    assert content_digest(unpacked(package)) == package.digest
    assert json.loads(next(folder.rglob("models/tiny/*/schema.json")).read_text())["format"] == 1


def test_a_requirement_with_a_wrong_hash_is_not_installed(trained):
    text = store.read_bytes(serving_requirements()).decode()
    wrong = text.replace("--hash=sha256:", "--hash=sha256:0")
    with pytest.raises(PackagingError, match="could not be installed"):
        prepare_serving(store.put_bytes(wrong.encode(), "requirements.txt"))


def test_a_port_that_is_taken_is_named(trained):
    folder = unpacked(trained.package())
    python = serving_python(folder / "src" / "requirements.txt")
    with running_server(folder, python) as server:
        port = int(server.address.rpartition(":")[2])
        with pytest.raises(PlatformError, match=str(port)), running_server(folder, python, port):
            raise AssertionError("two servers on one port")


def test_the_service_answers_and_refuses(trained):
    """One server for all requests: each start costs a second."""
    package = trained.package()
    folder = unpacked(package)
    row = example_row(trained.splits, trained.project.features)
    json_type = {"Content_Type": "application/json"}
    with running_server(folder, serving_python(folder / "src" / "requirements.txt")) as server:
        call = Client(server.address)

        def predict(content, **headers):
            text = content if isinstance(content, str | bytes) else json.dumps(content)
            status, body, _ = call("POST", "/v1/predict", text, **(headers or json_type))
            return status, json.loads(body)

        status, one = predict(row)
        assert status == 200
        assert (len(one["probabilities"]), one["model"]) == (1, package.tag)
        assert one["predictions"] == [one["probabilities"][0] >= trained_threshold(trained)]
        status, many = predict([row] * 100)
        assert many["probabilities"] == one["probabilities"] * 100

        status, headers = call(
            "POST", "/v1/predict", json.dumps(row), Content_Type="application/json", X_Request_Id="abc-1"
        )[::2]
        assert headers["x-request-id"] == "abc-1"
        _, _, headers = call(
            "POST", "/v1/predict", json.dumps(row), Content_Type="application/json", X_Request_Id="<b>"
        )
        assert headers["x-request-id"] != "<b>"

        for content, expected, said in [
            ({**row, "size": 1000}, 422, "at most 100"),
            ({**row, "size": None}, 422, "is required"),
            ({**row, "size": "large"}, 422, "must be a number, not text"),
            ({**row, "sise": 1}, 422, "is not a field"),
            ({name: value for name, value in row.items() if name != "size"}, 422, "is required"),
            ({**row, "color": "mauve"}, 422, "one of blue, green, red"),
            ({**row, "wet": 1}, 422, "true or false"),
            ([], 422, "no rows"),
            ([1], 422, "must be an object"),
            ("{", 400, "malformed JSON"),
            ('{"size": NaN}', 400, "malformed JSON"),
            ([row] * 10_001, 413, "too many rows"),
            (b" " * 8_000_001, 413, "body too large"),
        ]:
            status, answer = predict(content)
            assert status == expected, answer
            assert said in json.dumps(answer)
            assert answer["request_id"]
        assert predict(json.dumps(row), Content_Type="text/plain")[0] == 415
        assert predict(json.dumps(row), Content_Type="application/x-www-form-urlencoded")[0] == 415
        status, answer = predict([row, {**row, "size": -1}])
        assert answer["problems"] == [{"row": 1, "field": "size", "message": "must be at least 0"}]

        assert {**one, "request_id": 0} == {**predict({**row, "id": "x", "late": True})[1], "request_id": 0}
        assert call("GET", "/v1/predict")[0] == 405
        status, about, _ = call("GET", "/v1/model")
        assert json.loads(about)["purpose"] == "Shows that the whole works."
        assert [call("GET", path)[0] for path in ("/livez", "/readyz")] == [200, 200]
        status, metrics, _ = call("GET", "/metrics")
        assert b"penstock_rows_total 10" in metrics
        assert b'penstock_refused_requests_total{reason="invalid rows"}' in metrics

        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) is not None


def trained_threshold(trained) -> float:
    return store.read_json(trained.evaluation.metrics)["threshold"]
