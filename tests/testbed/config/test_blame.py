"""A refusal names who is at fault: the `--set` without which it would not be, or else the file."""

import pytest

from radio.errors import SchemeUnsupportedError
from testbed.bench.rig import resolve
from testbed.config.files import load, override
from testbed.errors import ConfigError
from testbed.failures import EXPECTED

BENCH = ("pluto_bench_5", "quickstart_energy")


@pytest.mark.parametrize(
    ("files", "overrides", "start"),
    [
        ((None, None), ["air.csi=genie"], "--set: air.csi: got 'genie' with level = 'sample'"),
        ((None, None), ["seed=3", "frame.samples_per_symbol=16"], "--set frame.samples_per_symbol=16: frame.cyclic_"),
        ((None, None), ["scheme.csi=reciprocity"], "--set: scheme.csi: got 'reciprocity'"),
        ((None, None), ["privacy.batch_rate=0.1", "seed=2"], "--set: privacy.batch_rate: got 0.1"),
        (BENCH, ["seed=2", "scheme.air_level=symbol"], "--set scheme.air_level=symbol: backend: got 'pluto'"),
        (BENCH, ["num_devices=3"], "--set num_devices=3: pluto: got devices"),
        (("pluto_indoor", None), ["clock.shared_clock=true", "clock.trigger=true", "scheme.csi=reciprocity"],
         "--set: scheme.csi"),
    ],
)  # fmt: skip
def test_an_override_that_does_not_fit_the_rest_is_named(files, overrides, start):
    with pytest.raises(EXPECTED) as caught:
        load(*files, overrides, check=resolve)
    assert str(caught.value).startswith(start)


def test_overrides_that_only_together_are_at_fault_are_all_named():
    both = ["virtual.start_jitter_min_ms=400", "seed=5", "virtual.start_jitter_max_ms=300"]
    with pytest.raises(ConfigError, match=r"--set: virtual\.start_jitter_max_ms: got 300"):
        load(None, None, both)
    with pytest.raises(ConfigError, match=r"--set virtual\.start_jitter_min_ms=400: virtual\.start_jitter_max_ms"):
        load(None, None, both[:2])


def test_another_kind_of_refusal_keeps_its_kind_and_names_the_override_too():
    with pytest.raises(SchemeUnsupportedError, match=r"^--set clock\.shared_clock=false: scheme 'coherent'"):
        load(None, None, ["clock.shared_clock=false"], check=resolve)


def test_a_file_that_is_wrong_by_itself_is_named_whatever_is_overridden(tmp_path):
    rig, experiment = tmp_path / "rig.toml", tmp_path / "mine.toml"
    rig.write_text('[air]\ncsi = "genie"\n')
    experiment.write_text("[privacy]\nbatch_rate = 0.1\n")
    for overrides in ([], ["seed=4"], ["air.snr_db=3", "rounds.num=2"]):
        with pytest.raises(ConfigError, match=rf"^{rig}: air\.csi: got 'genie'"):
            load(str(rig), None, overrides, check=resolve)
        with pytest.raises(ConfigError, match=rf"^{experiment}: privacy\.batch_rate: got 0\.1"):
            load(None, str(experiment), overrides, check=resolve)


def test_a_host_is_told_that_its_own_override_is_at_fault():
    with pytest.raises(ConfigError, match=r"^--set: task\.partition: got 'idd'; allowed: iid, .*did you mean 'iid'"):
        override(load(None, None, []), ["task.partition=idd"])
