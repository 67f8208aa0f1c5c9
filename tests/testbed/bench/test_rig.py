"""From rigs to radios: addresses, pacing, what hosts may change of them."""

import pytest

from radio.backends.loopback import LoopbackRadio
from radio.backends.pluto.radio import PlutoRadio
from radio.errors import RadioConfigError, RadioError
from testbed.bench.rig import access_point_radio, capabilities, device_radio, resolve
from testbed.config.backends import settings_of
from testbed.config.files import RIG_DIRECTORY, load, override
from testbed.errors import TestbedError


def rig_of(name: str, *overrides: str):
    return resolve(load(name, "quickstart_energy", list(overrides))).rig


def test_without_addresses_plutos_are_the_virtual_ones():
    rig = rig_of("virtual_plutos")
    assert [settings_of(rig).uri(station) for station in (0, 4, 5)] == [
        "ip:127.0.0.1:30431",
        "ip:127.0.0.1:30435",
        "ip:127.0.0.1:30436",
    ]
    assert not settings_of(rig).real_time
    assert settings_of(rig_of("virtual_plutos", "virtual.pacing=real_time")).real_time


def test_a_bench_has_addresses_and_keeps_time():
    rig = rig_of("pluto_bench_5")
    assert settings_of(rig).uri(rig.num_devices) == "ip:192.168.2.1"
    assert len({settings_of(rig).uri(station) for station in range(6)}) == 6
    config = settings_of(rig).radio(3, capabilities(rig), counts_samples=False)
    assert config.real_time
    assert config.sustained_rate_hz == 4e6
    assert rig.frame.control_latency_samples > 0


def test_addresses_must_add_up():
    for devices in ('["ip:10.0.0.1"]', '["a", "a", "b", "c", "d"]', '["a", "b", "c", "d", "ip:192.168.2.1"]'):
        with pytest.raises(RadioConfigError, match="all different"):
            rig_of("pluto_bench_5", f"pluto.devices={devices}")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("scheme.name=coherent", "shared_clock"),
        ("scheme.name=ideal", "simulated air only"),
        ("scheme.air_level=symbol", "simulated air only"),
        ("scheme.csi=reciprocity", "two radios"),
        ("clock.trigger=true", "clock.trigger"),
        ("frame.control_latency_samples=20000", "control_latency_samples"),
    ],
)
def test_what_no_pluto_rig_can_do_is_refused(override, words):
    with pytest.raises((TestbedError, RadioError), match=words):
        rig_of("virtual_plutos", override)


def test_a_start_must_be_asked_for_further_ahead_than_streams_are():
    with pytest.raises(RadioConfigError, match="at least 24576"):
        resolve(load("virtual_plutos_shared_clock", "quickstart", ["pluto.stream_block_samples=4096"]))


def test_a_host_may_say_where_its_own_radios_are():
    config = resolve(load("pluto_bench_5", "quickstart_energy", []))
    local = override(config, ['pluto.devices=["usb:1.2.5", "usb:1.3.5", "", "", ""]'])
    assert settings_of(local.rig).uri(1) == "usb:1.3.5"


def test_backends_make_their_own_kind_of_radio():
    from testbed.control.air_wire import air_setup, make_air

    simulated = resolve(load("loopback", None, []))
    air = make_air(air_setup(simulated, "run"))
    assert isinstance(device_radio(simulated, air, 0), LoopbackRadio)
    counted = resolve(load("virtual_plutos_shared_clock", "quickstart", []))
    radio = access_point_radio(counted, None)
    assert isinstance(radio, PlutoRadio)
    assert radio.capabilities.streaming
    assert radio.capabilities.shared_clock
    assert not radio.capabilities.trigger


RIG_DEVICES = {"cell_of_ten": 10}


@pytest.mark.parametrize("name", sorted(path.stem for path in RIG_DIRECTORY.glob("*.toml")))
def test_every_rig_that_comes_with_the_toolkit_works_with_some_experiment(name):
    scheme = "ideal" if name == "ideal" else "digital"
    assert resolve(load(name, "quickstart", [f"scheme.name={scheme}"])).rig.num_devices == RIG_DEVICES.get(name, 5)
