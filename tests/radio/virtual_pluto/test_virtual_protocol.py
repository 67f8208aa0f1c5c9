"""The protocol as raw bytes: every reply, and whatever a broken or hostile client may send."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from radio.virtual_pluto.iio.context import DEVICES, PHY, RX, TX
from radio.virtual_pluto.server import VirtualPlutos

from .conftest import ROOT, Client

REFERENCE = ROOT.parent / "shared" / "data" / "pluto_context.xml"
RX_NAME, TX_NAME = "cf-ad9361-lpc", "cf-ad9361-dds-core-lpc"


def test_the_context_has_every_device_channel_and_attribute_of_a_real_one(client: Client) -> None:
    if not REFERENCE.exists():
        pytest.skip(f"no reference context at {REFERENCE}")
    ours, real = client.xml(), ElementTree.fromstring(REFERENCE.read_text())

    def facts(root: ElementTree.Element) -> set[tuple[str, ...]]:
        found = {("context", a.attrib["name"]) for a in root.findall("context-attribute")}
        for device in root.findall("device"):
            name = device.attrib["id"]
            found.add((name, device.attrib["name"]))
            for kind in ("attribute", "buffer-attribute", "debug-attribute"):
                found |= {(name, kind, a.attrib["name"]) for a in device.findall(kind)}
            for channel in device.findall("channel"):
                where = (name, channel.attrib["id"], channel.attrib["type"], channel.attrib.get("name", ""))
                found.add(where)
                found |= {(*where, a.attrib["name"], a.attrib["filename"]) for a in channel.findall("attribute")}
                found |= {(*where, *sorted(s.attrib.values())) for s in channel.findall("scan-element")}
        return found

    missing = {fact for fact in facts(real) - facts(ours) if not fact[-1].startswith("adi,")}  # device tree settings
    assert missing == set()
    assert facts(ours) - facts(real) == {("context", "virtual,bench")}  # by which two benches are told apart


def test_every_attribute_of_the_context_reads_as_it_says(client: Client) -> None:
    root = client.xml()
    num_read = 0
    for device in root.findall("device"):
        for channel in device.findall("channel"):
            for attribute in channel.findall("attribute"):
                where = f"{device.attrib['id']} {channel.attrib['type'].upper()} {channel.attrib['id']}"
                value = client.read(f"{where} {attribute.attrib['name']}")
                expected = attribute.attrib["value"]
                assert (value == expected) if expected != "ERROR" else (isinstance(value, int) and value < 0)
                num_read += 1
        for kind, word in (("attribute", ""), ("debug-attribute", "DEBUG "), ("buffer-attribute", "BUFFER ")):
            for attribute in device.findall(kind):
                value = client.read(f"{device.attrib['id']} {word}{attribute.attrib['name']}")
                assert isinstance(value, str) == (attribute.attrib["value"] != "ERROR")
                num_read += 1
    assert num_read > 150


def test_rates_of_the_reference_are_reproduced(client: Client) -> None:
    expected = "BBPLL:983040000 ADC:245760000 R2:122880000 R1:61440000 RF:30720000 RXSAMP:30720000"
    assert client.read("ad9361-phy rx_path_rates") == expected
    expected = "BBPLL:983040000 DAC:122880000 T2:122880000 T1:61440000 TF:30720000 TXSAMP:30720000"
    assert client.read("ad9361-phy tx_path_rates") == expected


def test_fixed_replies(client: Client) -> None:
    client.send(b"VERSION\r\n")
    major, minor, tag = client.stream.readline().decode().strip().split(".")
    assert (major, minor, len(tag)) == ("0", "25", 7)
    for command, reply in (
        ("ZPRINT", -22), ("BINARY", -22), ("", None), ("TIMEOUT 1000", 0), ("TIMEOUT", -22), ("GETTRIG iio:device3", 0),
        ("GETTRIG iio:device0", -19), ("SETTRIG iio:device3 x", -19), ("SET iio:device3 BUFFERS_COUNT 0", -22),
        ("SET iio:device3 BUFFERS_COUNT 8", 0), ("SET iio:device9 BUFFERS_COUNT 8", -19), ("CLOSE iio:device3", -6),
        ("OPEN iio:device3 1024 3", -22), ("OPEN iio:device3 1024 00000000", -22), ("OPEN xadc 64 00000003", -22),
        ("OPEN iio:device3 0 00000003", -22), ("OPEN iio:device3 99999999999 00000003", -22),
        ("READBUF iio:device3 4096", -9), ("WRITEBUF iio:device2 4096", -9), ("READBUF", -22), ("OPEN", -22),
    ):  # fmt: skip
        if reply is None:
            client.send(b"\r\n")
        else:
            assert client.ask(command) == reply, command
    for what, reply in (
        ("iio:device7 x", -19), ("ad9361-phy nothing", -2), ("ad9361-phy INPUT voltage9 raw", -6),
        ("ad9361-phy INPUT voltage0 nothing", -2), ("ad9361-phy DEBUG nothing", -2),
        ("ad9361-phy OUTPUT RX_LO frequency", "2400000000"), ("cf-ad9361-lpc BUFFER watermark", "2048"),
    ):  # fmt: skip
        assert client.read(what) == reply, what


@pytest.mark.parametrize(("what", "text", "reply", "value"), [
    ("OUTPUT altvoltage0 frequency", "325000000", 9, "325000000"),
    ("OUTPUT altvoltage0 frequency", "324999999", -22, "2400000000"),
    ("OUTPUT altvoltage0 frequency", "3800000001", -22, "2400000000"),
    ("OUTPUT altvoltage0 frequency", "915e6", -22, "2400000000"),
    ("OUTPUT voltage0 hardwaregain", "-10.13", 6, "-10.250000 dB"),
    ("OUTPUT voltage0 hardwaregain", "0.25", -22, "-10.000000 dB"),
    ("OUTPUT voltage0 hardwaregain", "-90", -22, "-10.000000 dB"),
    ("INPUT voltage0 hardwaregain", "20", 2, "71.000000 dB"),
    ("INPUT voltage0 hardwaregain", "72", -22, "71.000000 dB"),
    ("INPUT voltage0 gain_control_mode", "loud", -22, "slow_attack"),
    ("INPUT voltage0 sampling_frequency", "2000000", -22, "30720000"),
    ("INPUT voltage0 sampling_frequency", "61440001", -22, "30720000"),
    ("INPUT voltage0 sampling_frequency", "2083333", 7, "2083333"),
    ("INPUT voltage0 sampling_frequency", "9" * 300, -22, "30720000"),
    ("INPUT voltage0 rf_bandwidth", "199999", 6, "200000"),
    ("INPUT voltage0 rf_bandwidth", "56000000", 8, "20000000"),
    ("OUTPUT voltage0 rf_bandwidth", "30000000", 8, "20000000"),
    ("INPUT voltage0 rf_bandwidth", "nan", -22, "18000000"),
    ("INPUT out voltage_filter_fir_en", "1", -22, "0"),
    ("INPUT voltage0 rssi", "3", -13, None),
    ("INPUT voltage0 quadrature_tracking_en", "False", 5, "0"),
    ("INPUT voltage0 quadrature_tracking_en", "maybe", -22, "1"),
    ("xo_correction", "40000100", 8, "40000100"),
    ("xo_correction", "41000000", -22, "40000000"),
    ("calib_mode", "tx_quad", 7, "tx_quad"),
    ("calib_mode", "", -22, "auto"),
    ("DEBUG loopback", "3", -22, "0"),
    ("DEBUG loopback", "1", 1, "1"),
    ("filter_fir_config", "rubbish", -22, "FIR Rx: 0,0 Tx: 0,0"),
])  # fmt: skip
def test_attributes_take_what_the_hardware_takes_and_read_back(
    client: Client, what: str, text: str, reply: int, value: str | None
) -> None:
    assert client.write(f"ad9361-phy {what}", text) == reply
    if value is not None:
        assert client.read(f"ad9361-phy {what}") == value


def test_low_rates_need_the_filter_and_keep_it(client: Client) -> None:
    taps = "RX 3 GAIN -6 DEC 4\nTX 3 GAIN 0 INT 4\n" + "1,1\n" * 128
    assert client.write("ad9361-phy filter_fir_config", taps) == len(taps)
    assert client.write("ad9361-phy INPUT voltage0 sampling_frequency", "61440000") == 8
    assert client.write("ad9361-phy INPUT out voltage_filter_fir_en", "1") == -22  # 4 clocks a sample, 64 taps
    assert client.write("ad9361-phy INPUT voltage0 sampling_frequency", "3000000") == 7
    assert client.write("ad9361-phy INPUT out voltage_filter_fir_en", "1") == 1
    assert client.write("ad9361-phy INPUT voltage0 sampling_frequency", "520833") == -22
    assert client.write("ad9361-phy OUTPUT voltage0 sampling_frequency", "1000000") == 7
    assert client.read("ad9361-phy INPUT voltage0 sampling_frequency") == "1000000"
    assert client.read("ad9361-phy INPUT voltage0 sampling_frequency_available") == "[520834 1 61440000]"
    assert client.read("cf-ad9361-lpc INPUT voltage0 sampling_frequency_available") == "1000000 125000 "
    assert client.write("ad9361-phy INPUT out voltage_filter_fir_en", "0") == -22
    rates = str(client.read("ad9361-phy tx_path_rates")).split()
    assert rates[1].startswith("DAC:")
    assert rates[5] == "TXSAMP:1000000"
    assert int(rates[1][4:]) // 1_000_000 * 16 >= 128


def test_gain_is_writable_in_manual_mode_only(client: Client) -> None:
    assert client.write("ad9361-phy INPUT voltage0 gain_control_mode", "manual") == 6
    assert client.write("ad9361-phy INPUT voltage0 hardwaregain", "20.4") == 4
    assert client.read("ad9361-phy INPUT voltage0 hardwaregain") == "20.000000 dB"


def test_all_attributes_of_a_kind_in_one_read(client: Client) -> None:
    size = client.ask("READ ad9361-phy INPUT voltage0")
    data = client.stream.read(size + 1)[:-1]
    values = []
    while data:
        length = int.from_bytes(data[:4], "big", signed=True)
        values.append(data[4 : 4 + max(length, 0)])
        data = data[4 + -(-max(length, 0) // 4) * 4 :]
    channel = next(c for c in DEVICES[0].channels if c.id == "voltage0" and not c.output)
    assert len(values) == len(channel.files)
    assert b"slow_attack\0" in values


def test_samples_come_in_chunks_of_a_buffer_with_one_mask(client: Client) -> None:
    assert client.ask(f"OPEN {RX} 256 00000003") == 0
    assert client.ask(f"READBUF {RX} 3000") == 1024
    assert client.stream.readline() == b"00000003\n"
    client.stream.read(1024)
    assert client.number() == 1024
    client.stream.read(1024)
    assert client.number() == 3000 - 2048
    client.stream.read(3000 - 2048)
    assert client.ask(f"CLOSE {RX}") == 0


def test_one_channel_can_be_read_or_written_alone(plutos: VirtualPlutos, client: Client) -> None:
    assert client.ask(f"OPEN {RX} 256 00000002") == 0
    assert client.ask(f"READBUF {RX} 512") == 512
    assert client.stream.readline() == b"00000002\n"
    client.stream.read(512)
    with Client(plutos.uris[0]) as writer:
        assert writer.ask(f"OPEN {TX} 64 00000002 CYCLIC") == 0
        assert writer.ask(f"WRITEBUF {TX} 128") == 0
        writer.send(np.full(64, 1600, dtype="<i2").tobytes())
        assert writer.number() == 128
        words = plutos.air.stations[0].playouts[-1].words
        assert words.tolist() == [0, 1600] * 64


def test_a_write_longer_than_the_buffer_is_several_buffers(plutos: VirtualPlutos, client: Client) -> None:
    assert client.ask(f"OPEN {TX} 64 00000003") == 0
    assert client.ask(f"WRITEBUF {TX} 600") == 0
    client.send(bytes(600))
    assert client.number() == 600
    lengths = [playout.stop - playout.start for playout in plutos.air.stations[0].playouts]
    assert lengths == [64, 64, 22]


def test_a_busy_device_is_refused_after_a_short_retry_and_free_again_after_a_crash(plutos: VirtualPlutos) -> None:
    first = Client(plutos.uris[0])
    assert first.ask(f"OPEN {TX} 64 00000003 CYCLIC") == 0
    assert first.ask(f"WRITEBUF {TX} 256") == 0
    first.send(bytes(256))
    assert first.number() == 256
    assert first.ask(f"WRITEBUF {TX} 256") == 0
    first.send(bytes(256))
    assert first.number() == -16  # cyclic: one push
    with Client(plutos.uris[0]) as second:
        assert second.ask(f"OPEN {TX} 64 00000003") == -16
        assert plutos.air.stations[0].playouts
        first.close()
        assert second.ask(f"OPEN {TX} 64 00000003") == 0
        assert all(playout.stop < 1 << 62 for playout in plutos.air.stations[0].playouts)


def test_the_overflow_flag_clears_as_gnu_radio_clears_it(plutos: VirtualPlutos, client: Client) -> None:
    register = f"{RX} DEBUG direct_reg_access"

    def status() -> int:
        assert client.write(register, str(0x80000088)) > 0
        return int(str(client.read(register)), 16)

    assert status() & 4 == 0
    with Client(plutos.uris[0]) as receiver, Client(plutos.uris[1]) as other:
        for one in (receiver, other):
            assert one.ask(f"OPEN {RX} 256 00000003") == 0
        for _ in range(10):
            size = other.ask(f"READBUF {RX} 1024")
            other.stream.read(size + 9)
        assert status() & 4 == 4
        for value in ("6", "4"):
            client.write(register, f"0x80000088 0x{value}")
        assert status() & 4 == 4  # still losing samples: air time has gone on while nobody read here
        assert receiver.ask(f"CLOSE {RX}") == 0
        for value in ("6", "4"):
            client.write(register, f"0x80000088 0x{value}")
        assert status() & 4 == 0


def test_the_underflow_flag_tells_of_a_stream_with_a_gap(plutos: VirtualPlutos, client: Client) -> None:
    register = f"{TX} DEBUG direct_reg_access"
    with Client(plutos.uris[0]) as sender, Client(plutos.uris[1]) as receiver:
        assert sender.ask(f"OPEN {TX} 64 00000003") == 0
        assert receiver.ask(f"OPEN {RX} 100 00000003") == 0
        seen = []
        for _ in range(2):
            assert sender.ask(f"WRITEBUF {TX} 256") == 0
            sender.send(bytes(256))
            assert sender.number() == 256
            client.write(register, str(0x80000088))
            seen.append(client.read(register))
            client.write(register, "0x80000088 0x1")
            receiver.stream.read(receiver.ask(f"READBUF {RX} 400") + 9)
        client.write(register, str(0x80000088))
        assert [*seen, client.read(register)] == ["0x0", "0x1", "0x1"]


def test_device_tables_name_files_once(client: Client) -> None:
    assert {device.id for device in DEVICES} >= {PHY, RX, TX}
    assert client.read(f"{RX_NAME} INPUT voltage0 calibbias") == "0"
    assert client.read(f"{TX_NAME} OUTPUT voltage0 calibscale") == "1.000000"
