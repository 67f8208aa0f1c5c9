import json
import resource

import pytest
import torch

from learner.config import ModelConfig
from learner.errors import ModelError
from learner.models.load import load_model
from learner.zo.replica import Replica
from tests.learner.models.conftest import write_gguf

IDS = torch.arange(2, 40).view(2, 19)


def test_a_gguf_file_is_the_model_that_was_written_into_it(tmp_path, store):
    file = tmp_path / "tiny.gguf"
    written = write_gguf(file)
    model, tokenizer = load_model(ModelConfig(path=str(file)))
    with torch.no_grad():
        assert torch.allclose(model(IDS).logits, written(IDS).logits, atol=1e-5)
    assert tokenizer("a fine film").input_ids
    assert getattr(model.config, "quantization_config", None) is None


def test_it_is_converted_once(tmp_path, store):
    file = tmp_path / "tiny.gguf"
    write_gguf(file)
    load_model(ModelConfig(path=str(file)))
    (made,) = store.iterdir()
    before = (made / "model.safetensors").stat().st_mtime_ns
    again = tmp_path / "renamed.gguf"
    file.rename(again)
    load_model(ModelConfig(path=str(again)))
    assert [each.name for each in store.iterdir()] == [made.name]
    assert (made / "model.safetensors").stat().st_mtime_ns == before
    assert "tiny.gguf" in json.loads((made / "made_of.json").read_text())["source"]


def test_it_learns_and_is_saved(tmp_path, store):
    file = tmp_path / "tiny.gguf"
    write_gguf(file)
    replica = Replica.load(ModelConfig(path=str(file)))
    replica.update(1, [2.0**-7])
    replica.save_model(tmp_path / "saved")
    assert Replica.load(ModelConfig(path=str(tmp_path / "saved"))).fingerprint() == replica.fingerprint()


def test_a_file_that_was_changed_in_the_cache_is_refused(tmp_path, store):
    file = tmp_path / "tiny.gguf"
    write_gguf(file)
    load_model(ModelConfig(path=str(file)))
    (made,) = store.iterdir()
    with (made / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"x")
    with pytest.raises(ModelError, match=r"its checksum is .*make it again"):
        load_model(ModelConfig(path=str(file)))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused_and_leaves_nothing(tmp_path, store, share):
    file = tmp_path / "tiny.gguf"
    write_gguf(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"cannot convert .*tiny\.gguf"):
        load_model(ModelConfig(path=str(file)))
    assert not list(store.iterdir())


def test_a_full_disk_says_where_to_make_room_and_leaves_nothing(tmp_path, store):
    file = tmp_path / "tiny.gguf"
    write_gguf(file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # bytes of a file; the weights are 60,000
    try:
        with pytest.raises(ModelError, match=r"cannot be written: .*make room, or set AIRZERO_MODELS"):
            load_model(ModelConfig(path=str(file)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(store.iterdir())
