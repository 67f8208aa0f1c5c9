"""What a watched run did is what the run says it did, and nothing stays patched."""

import numpy as np
import pytest

from radio.air.air import Air
from radio.link.block import Channels
from radio.link.device import DeviceLink
from radio.randomness import generator
from testbed.audit.witness import FORCED, patched, witness
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.hosts import device_host
from testbed.results import journal as j
from testbed.rounds.attempt import Transmitter

SHORT = ["ground_truth=false", "rounds.num=8", "rounds.eval_every=1000", "task.num_test=16", "schedule.name=static"]


def drawn(round_index, devices):
    return np.stack([4 * generator(3, round_index, device, purpose="scalars").standard_normal(1) for device in devices])


def watched(*overrides, **options):
    return witness(resolve(load(None, None, [*SHORT, *overrides])), scalars=drawn, **options)


def test_what_arrives_is_the_gain_times_what_was_sent():
    seen = watched("air.level=symbol", "air.csi=genie", "air.snr_db=0")
    assert len(seen.attempts) == len(seen.spent) == 8
    for each in seen.attempts:
        np.testing.assert_allclose([np.abs(s.arrived) / each.plan.gain for s in each.sent], 1, rtol=1e-5)
        expected = sum(s.arrived * s.values for s in each.sent)
        spread = np.abs(each.symbols - expected) / np.sqrt(2 * seen.true_noise_variance)
        assert spread.max() < 5
        for s in each.sent:
            np.testing.assert_array_equal(s.exact, np.clip(drawn(each.round, [s.device])[0], -12, 12))


def test_on_samples_the_prefix_carries_energy_too():
    seen = watched("air.snr_db=20", "air.fading=none", "air.cfo_max_hz=0")
    prefix = seen.config.rig.frame.symbol_samples / seen.config.rig.frame.samples_per_symbol
    energies = np.array([s.energies / np.abs(s.arrived) ** 2 for each in seen.attempts for s in each.sent])
    assert 1.01 < np.median(energies) < prefix  # a prefix of the block's weaker samples, less what delays push out


def test_forced_rejections_are_played_again_and_charged():
    seen = watched("scheme.name=digital", "air.snr_db=20", retry_rate=0.5)
    again = [attempts for attempts in seen.rounds().values() if len(attempts) > 1]
    assert again
    assert all(first.rejected == FORCED for first, *_ in again)
    assert len(seen.spent) == len(seen.attempts)


def test_the_run_directory_is_kept_where_asked_and_nothing_stays_patched(tmp_path):
    before = [Transmitter.play, device_host.prepare, DeviceLink.send_values, Channels.receive, Air.capture]
    seen = watched("rounds.num=2", out=tmp_path / "run")
    assert seen.path == tmp_path / "run"
    assert [r for r in j.read(seen.path / "journal.bin") if isinstance(r, j.Spent)] == list(seen.spent)
    assert before == [
        Transmitter.play, device_host.prepare, DeviceLink.send_values, Channels.receive, Air.capture,
    ]  # fmt: skip


def test_a_fault_is_there_only_while_the_run_is_played():
    silent = patched(DeviceLink, "send_values", lambda former: lambda link, values, *rest, **named: None)
    seen = watched("rounds.num=2", planted=silent)
    assert all(np.all(s.arrived == 0) for each in seen.attempts for s in each.sent)
    assert abs(watched("rounds.num=1").attempts[0].sent[0].arrived[0]) > 0


def test_real_radios_have_no_witness():
    config = resolve(load("pluto_bench_5", None, ["scheme.name=energy"]))
    with pytest.raises(ValueError, match="a simulated one"):
        witness(config)
