"""A proof is equal for equal content wherever it lies, and differs for everything that would make another run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

import learner
import radio
import testbed
from radio.schemes.coherent import Coherent
from testbed.bench.rig import resolve
from testbed.config.files import load, override
from testbed.config.hosts import host_override
from testbed.config.schema import RunConfig
from testbed.control.proof import Proof, difference
from testbed.errors import TestbedError
from testbed.hosts import proof as p
from testbed.hosts.local_work import load_model_and_task
from tests.parts import keep_parts

EMBEDDED = Path(learner.__file__).parent / "embedded"
SMALL = ["task.num_train=60", "task.num_test=20", "num_devices=3"]


def of(config: RunConfig, *overrides: str) -> Proof:
    """As a host makes it."""
    local = override(config, overrides)
    return p.proof_of(load_model_and_task(local), local)


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return resolve(load(None, None, SMALL))


@pytest.fixture(scope="module")
def expected(config: RunConfig) -> Proof:
    return of(config)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Model, tokenizer and data in another folder."""
    return Path(shutil.copytree(EMBEDDED, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("make", "__*")))


def kinds(expected: Proof, got: Proof) -> set[str]:
    """Of what differs."""
    assert (difference(expected, got) is None) == (expected == got)
    return {name for name in Proof.__struct_fields__ if getattr(expected, name) != getattr(got, name)}


def test_the_same_content_in_other_places_with_other_threads_is_the_same(config, expected, elsewhere):
    places = (f"model.path={elsewhere}", f"task.path={elsewhere}", "learner.num_threads=2", "model.device=cpu:0")
    radios = ("pluto.timeout_s=5.0", 'pluto.access_point="ip:10.0.0.9"', "virtual.first_port=4000")
    local = host_override(config, [*places, *radios[1:]])
    assert difference(expected, p.proof_of(load_model_and_task(local), local)) is None
    assert of(config, *places, *radios) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_host_on_a_gpu_gives_the_same_proof(config, expected):
    assert of(config, "model.device=cuda") == expected


def test_another_process_gives_the_same_proof(expected):
    code = (
        "import sys, msgspec\n"
        "from testbed.bench.rig import resolve\n"
        "from testbed.config.files import load\n"
        "from testbed.hosts import local_work, proof\n"
        "config = resolve(load(None, None, sys.argv[1:]))\n"
        "print(msgspec.json.encode(proof.proof_of(local_work.load_model_and_task(config), config)).decode())\n"
    )
    root = Path(testbed.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code, *SMALL], cwd=root, capture_output=True, text=True, check=True)
    assert msgspec.json.decode(done.stdout, type=Proof) == expected


def test_a_configuration_that_travelled_or_was_read_from_a_run_directory_is_the_same(config, tmp_path):
    from testbed.results.directory import RunDirectory

    endless = resolve(load(None, None, [*SMALL, "air.snr_db=inf"]))
    assert p.config_fingerprint(endless) != p.config_fingerprint(config)
    for each in (config, endless):
        wire = msgspec.msgpack.decode(msgspec.msgpack.encode(each), type=RunConfig)
        assert p.config_fingerprint(wire) == p.config_fingerprint(each)
    directory = RunDirectory.create(tmp_path / "run", endless, num_parameters=1)
    assert p.config_fingerprint(directory.read_config()) == p.config_fingerprint(endless)


def test_another_checkpoint_differs_in_its_weights_alone(config, expected, elsewhere):
    file = elsewhere / "model.safetensors"
    weights = load_file(file)
    name = sorted(weights)[0]
    weights[name] = weights[name].clone()
    weights[name].view(-1)[0] += 2**-20
    save_file(weights, file, metadata={"format": "pt"})
    got = of(config, f"model.path={elsewhere}")
    assert kinds(expected, got) == {"weights"}
    told = difference(expected, got)
    assert told is not None
    assert f"weights: the host has {got.weights[:12]}, the access point {expected.weights[:12]}; give both" in told
    assert "model.path" in told


def test_the_same_weights_in_another_architecture_differ(config, expected, elsewhere):
    file = elsewhere / "config.json"
    plain = json.loads(file.read_text())
    file.write_text(json.dumps({**plain, "transformers_version": "4.50.0", "_name_or_path": "/mine"}))
    assert of(config, f"model.path={elsewhere}") == expected
    for changed in ({"rope_theta": 500.0, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
                    {"hidden_act": "relu", "activation_function": "tanh"}):  # fmt: skip
        file.write_text(json.dumps(plain | changed))
        assert kinds(expected, of(config, f"model.path={elsewhere}")) == {"architecture"}


def test_another_tokenizer_differs_in_the_data(config, expected, elsewhere):
    file = elsewhere / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = (next(word for word in vocabulary if word.lstrip("Ġ▁") == each) for each in ("film", "story"))
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(tokenizer))
    assert kinds(expected, of(config, f"model.path={elsewhere}")) == {"data"}


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_label_or_one_row_that_changes_places_differs_in_the_data(elsewhere, split):
    (elsewhere / "mine.toml").write_text('name = "all rows"\n')
    whole = resolve(load(None, str(elsewhere / "mine.toml"), [f"task.path={elsewhere}", "num_devices=3"]))
    file = elsewhere / f"{split}.tsv"
    before, lines = of(whole), file.read_text().splitlines(keepends=True)
    text, label = lines[-1].rstrip("\n").split("\t")
    file.write_text("".join([*lines[:-1], f"{text}\t{1 - int(label)}\n"]))
    assert kinds(before, of(whole)) == {"data"}
    file.write_text("".join([lines[1], lines[0], *lines[2:]]))
    assert kinds(before, of(whole)) == {"data"}
    file.write_text("".join(lines))
    assert of(whole) == before


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ("seed=5", {"data", "config"}),
        ("num_devices=2", {"data", "config"}),
        ("task.num_test=19", {"data", "config"}),
        ("task.partition=dirichlet", {"data", "config"}),
        ('task.prompt="{text} All in all it was"', {"data", "config"}),
        ("task.max_tokens=8", {"data", "config"}),
        ('task.verbalizer={"0" = " bad", "1" = " great"}', {"data", "config"}),
        ("learner.clip=99.0", {"config"}),
        ("learner.perturbation_scale=0.002", {"config"}),
        ("learner.batch_devices=true", {"config"}),
        ("privacy.dp_epsilon=4.0", {"config"}),
        ("air.snr_db=19.0", {"config"}),
        ("ground_truth=false", {"config"}),
    ],
)
def test_every_other_override_is_seen(config, expected, changed, where):
    got = of(config, changed)
    assert kinds(expected, got) == where
    assert "config: the host has" in (difference(expected, got) or "")


def test_the_split_of_a_single_file_and_its_seed_are_in_the_data(config, elsewhere):
    one = f"task.path={elsewhere / 'train.tsv'}"
    first, second = of(config, one), of(config, one, "seed=2")
    assert kinds(first, second) == {"data", "config"}


def test_the_element_type_of_the_weights_is_seen(config, expected):
    assert kinds(expected, of(config, "model.dtype=bfloat16")) == {"weights", "config"}


# ---- code


def test_one_line_of_code_differs_and_a_line_ending_does_not(tmp_path):
    package = tmp_path / "radio"
    shutil.copytree(Path(radio.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    digest = p.sources_digest("radio", [package])
    assert digest == p.sources_digest("radio", radio.__path__)
    file = package / "link" / "block.py"
    source = file.read_bytes()
    file.write_bytes(source.replace(b"\n", b"\r\n"))
    (package / "link" / "__pycache__").mkdir()
    (package / "link" / "notes.txt").write_text("not code")
    assert p.sources_digest("radio", [package]) == digest
    file.write_bytes(source + b"# more\n")
    assert p.sources_digest("radio", [package]) != digest
    file.rename(package / "link" / "blocks.py")
    moved = p.sources_digest("radio", [package])
    file.write_bytes(source)
    (package / "link" / "blocks.py").unlink()
    assert p.sources_digest("radio", [package]) == digest != moved


def test_a_package_without_sources_proves_nothing(tmp_path):
    with pytest.raises(TestbedError, match=r"package radio: no sources in .*; install the toolkit with its sources"):
        p.sources_digest("radio", [tmp_path])


def test_the_code_is_read_once_in_a_process(config):
    p.code_fingerprint(config)
    before = p._package_digest.cache_info().misses
    assert p.code_fingerprint(config) == p.code_fingerprint(override(config, ["learner.clip=3.0"]))
    assert p._package_digest.cache_info().misses == before


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes and imports a package of an outside schedule."""
    keep_parts(monkeypatch)
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, helper: str = "FACTOR = 1\n") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "helper.py").write_text(helper)
        (folder / "part.py").write_text(
            "from testbed import register\nfrom testbed.schedule.static import Static\n\n\n"
            f"@register\nclass Mine(Static):\n    name = {name!r}\n"
        )
        import_module(f"{name}.part")
        return folder

    return make


def test_an_outside_part_counts_with_its_whole_package_where_it_is_named_and_not_elsewhere(config, package):
    plain = p.code_fingerprint(config)
    folder = package("outside_schedule_a")
    named = override(config, ["schedule.name=outside_schedule_a"])
    assert p.code_fingerprint(config) == plain  # installed, and not used
    first = p.code_fingerprint(named)
    assert first != plain
    (folder / "helper.py").write_text("FACTOR = 2\n")
    p._outside_digest.cache_clear()  # as in a process that starts now
    assert p.code_fingerprint(named) != first


def test_a_part_without_a_file_equals_itself_and_nobody_elses(config, monkeypatch):
    keep_parts(monkeypatch)
    notebook = type("Notebook", (Coherent,), {"name": "notebook", "__module__": "a_notebook"})
    testbed.register(notebook)
    named = override(config, ["scheme.name=notebook"])
    here = p.code_fingerprint(named)
    assert p.code_fingerprint(named) == here
    monkeypatch.setattr(p, "_THIS_PROCESS", bytes(32))
    p._outside_digest.cache_clear()
    assert p.code_fingerprint(named) != here
    p._outside_digest.cache_clear()
