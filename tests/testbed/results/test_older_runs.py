"""Run directories of airzero-testbed 0.1.0 open, replay and go on; those of later versions are refused by version."""

import json
import struct
import zlib

import msgspec
import pytest

import testbed
from learner.config import ModelConfig
from learner.zo.replica import Replica
from testbed.errors import ConfigError, JournalError, RunDirectoryError
from testbed.results import journal as j
from testbed.results.records import FORMAT


def test_a_run_of_0_1_0_is_read_whole(older):
    run = testbed.Run.open(older("run-0.1.0"))
    assert run.info.format == 1
    assert run.info.versions["airzero-testbed"] == "0.1.0"
    assert run.config.experiment.rounds.num == len(run.rounds) == 30
    assert run.summary.final_fingerprint == run.info.final_fingerprint
    assert run.columns()["estimate_0"][0] == pytest.approx(-7.689318115770089)
    assert [capture.round for capture in run.captures] == [29]
    assert run.captures[0].samples().size == 4192
    assert repr(run).endswith("run-0.1.0': quickstart, coherent, seed 1, 30 of 30 rounds, accuracy 46.9 %, done>")


def test_replaying_a_run_of_0_1_0_gives_its_weights_bit_for_bit(older):
    run = testbed.Run.open(older("run-0.1.0"))
    initial = Replica.load(ModelConfig())
    initial.load_weights(run.directory.initial_weights)
    assert initial.fingerprint() == run.info.initial_fingerprint
    assert testbed.replay(run).fingerprint == run.info.final_fingerprint
    assert testbed.replay(run).compared  # the first one wrote the final weights, which the fixture has not


def test_a_private_run_of_0_1_0_is_read_and_not_resumed(older):
    path = older("run-0.1.0-private")
    before = (path / "journal.bin").read_bytes()
    assert len(testbed.Run.open(path).rounds) == 27  # the 28th line was cut off
    with pytest.raises(JournalError, match="cannot show that no charge is missing"):
        testbed.run(resume=path)
    assert (path / "journal.bin").read_bytes() == before


def test_keys_that_are_gone_since_an_older_format_are_left_out_and_in_this_format_refused(older):
    path = older("run-0.1.0")
    text = (path / "config.toml").read_text()
    text = text.replace("[rig.air]\n", "[rig.air]\nether_density = 3.5\n").replace("[rig]\n", "[rig]\ngone = true\n", 1)
    (path / "config.toml").write_text(text + "\n[experiment.horoscope]\nsign = 1\n")
    assert testbed.Run.open(path).config.rig.air.snr_db == 20
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**info, "format": FORMAT}))
    with pytest.raises(ConfigError, match=r"rig\.gone: unknown key"):
        _ = testbed.Run.open(path).config


def test_a_directory_of_a_later_format_is_refused_by_version_whatever_its_configuration(older):
    path = older("run-0.1.0")
    info = json.loads((path / "run.json").read_text())
    info |= {"format": FORMAT + 1, "versions": {"airzero-testbed": "9.8.7"}}
    (path / "run.json").write_text(json.dumps(info))
    (path / "config.toml").write_text("[rig.quantum]\nspin = true\n")
    for use in (testbed.Run.open, testbed.replay, lambda path: testbed.run(resume=path)):
        with pytest.raises(
            RunDirectoryError, match=rf"format {FORMAT + 1}, written by airzero-testbed 9\.8\.7; allowed"
        ):
            use(path)


def test_a_journal_of_a_later_version_is_refused_by_version_whatever_else_it_holds(older):
    path = older("run-0.1.0")
    records = [{"type": "Start", "version": j.VERSION + 1, "spin": 0.5}, {"type": "Entangled"}]
    bodies = [msgspec.msgpack.encode(record) for record in records]
    (path / "journal.bin").write_bytes(b"".join(struct.pack("<II", len(b), zlib.crc32(b)) + b for b in bodies))
    for use in (testbed.replay, lambda path: testbed.run(resume=path)):
        with pytest.raises(
            JournalError, match=rf"journal of version {j.VERSION + 1}; allowed: up to {j.VERSION}; install"
        ):
            use(path)
