"""A release made again from its record alone, really: git, DVC remote, a clean folder, another process."""

import json

import pytest

from flows.ingest import ingest
from flows.reproduce import reproduce, require_proved
from flows.train import train
from penstock.errors import DataError, ReproductionError
from tasks.packaging.reproducing import rebuild
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged
from tasks.store import store
from tests.conftest import new_checkout


@pytest.fixture(scope="module")
def committed(tmp_path_factory, environments, template):
    """tiny-v1, trained at a commit."""
    patch = pytest.MonkeyPatch()
    with patch.context(), new_checkout(tmp_path_factory.mktemp("r"), environments, template, patch) as checkout:
        (checkout.root / ".gitignore").write_text(".penstock/\n.dvc/cache/\n__pycache__/\n")
        ingest.fn("tiny", until="b3")
        checkout.git("init", "--quiet")
        checkout.git("add", ".")
        checkout.git("commit", "--quiet", "-m", "all")
        train.fn("tiny")
        yield checkout
    patch.undo()


def test_a_release_comes_out_the_same_and_the_ledger_says_so(committed):
    (committed.root / "configs" / "tiny.yaml").write_text("what has happened to the checkout since does not count")
    found = reproduce.fn("tiny")
    assert found.rebuilt.proved, str(found)
    assert found.rebuilt.files == () and found.rebuilt.inputs == ()
    assert read_ledger("tiny")[-1].kind == "reproduced"
    require_proved(found)
    differs = found.rebuilt.model_copy(update={"same_model": False})
    with pytest.raises(ReproductionError) as error:
        require_proved(found.model_copy(update={"rebuilt": differs}))
    assert error.value.exit_code == 10 and "every recorded input is the same" in error.value.found


def test_what_differs_is_named(committed):
    release = packaged("tiny")
    candidate = release.candidate
    config = json.loads(store.read_bytes(candidate.lineage.config))
    config["train"]["params"]["max_depth"] = 2
    lineage = candidate.lineage.model_copy(
        update={
            "config": store.put_json(config, "config.json"),
            "code": {**candidate.lineage.code, "gone.py": "1" * 64},
        }
    )
    other = release.model_copy(update={"candidate": candidate.model_copy(update={"lineage": lineage})})
    found = rebuild.fn(other)
    assert not found.proved and not found.same_model
    assert [change.key for change in found.inputs if change.key == "gone.py"] == ["gone.py"]
    assert any(change.key == "metrics.auc" for change in found.metrics)
    assert any(path.endswith("model.ubj") for path in found.files)


def test_without_its_commit_it_says_so(committed):
    release = packaged("tiny")
    lost = release.candidate.lineage.model_copy(update={"git_commit": "0" * 40})
    with pytest.raises(DataError, match="code of the release"):
        rebuild.fn(release.model_copy(update={"candidate": release.candidate.model_copy(update={"lineage": lost})}))
