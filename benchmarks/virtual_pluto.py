"""How fast the virtual Plutos are for unmodified pyadi-iio in another process, over the real protocol.

    python -m benchmarks.virtual_pluto [--seconds S]

As fast as possible, one radio, buffers of 65,536 samples: `rx_msps` and `tx_msps` are adi.Pluto's rx() and tx(),
conversions included; `rx_refill_msps` and `tx_push_msps` are libiio's part alone. Received is noise; nobody hears what
is sent. `rx_five_senders_msps` is rx() while five free-running radios send cyclically. `rounds_per_s`: six radios under
the toolkit's own backend; five start a cyclic frame of 5,000 samples, the sixth captures 16,384 fresh ones, all stop.

In real time: a radio captures 2^24 samples at 4 MS/s while five send cyclically. `real_time_lost` says whether the
overflow flag was ever set, `real_time_cpu` is the server's processor time over wall time.

Best of the repeats. Prints one JSON object as its last line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import adi
import numpy as np

from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.radio import PlutoRadio
from radio.config import RadioConfig
from radio.samples import IQ

BUFFER_SAMPLES = 1 << 16
CAPTURE_SAMPLES = 1 << 14
FRAME_SAMPLES = 5000
NUM_DEVICES = 5
OVERFLOW_REGISTER = 0x80000088
RIG = """
num_devices = {num_devices}
[air]
cfo_max_hz = 0.0
[virtual]
first_port = 0
pacing = "{pacing}"
"""


@contextmanager
def bench(pacing: str) -> Iterator[tuple[list[str], int]]:
    """`testbed air` in a process of its own: URIs, the access point's last, and its process id."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as rig:
        rig.write(RIG.format(num_devices=NUM_DEVICES, pacing=pacing))
        rig.flush()
        command = [sys.executable, "-m", "testbed", "air", "--rig", rig.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                yield [server.stdout.readline().split()[0] for _ in range(NUM_DEVICES + 1)], server.pid
            finally:
                server.terminate()


@contextmanager
def opened(uris: list[str], rate_hz: int) -> Iterator[list[Any]]:
    """Tuned radios that let go of their buffers before their contexts."""
    radios = [adi.Pluto(uri) for uri in uris]
    try:
        for radio in radios:
            radio.sample_rate = rate_hz
            radio.rx_lo = radio.tx_lo = 915_000_000
            radio.gain_control_mode_chan0 = "manual"
            radio.rx_hardwaregain_chan0, radio.tx_hardwaregain_chan0 = 30, -30
        yield radios
    finally:
        for radio in radios:
            radio.tx_destroy_buffer()
            radio.rx_destroy_buffer()


def best_per_s(action: Callable[[], object], seconds: float, *, repeats: int = 5) -> float:
    """Calls a second, in the best of the repeats."""
    action()
    best = 0.0
    for _ in range(repeats):
        calls, start = 0, time.perf_counter()
        while (elapsed_s := time.perf_counter() - start) < seconds / repeats:
            action()
            calls += 1
        best = max(best, calls / elapsed_s)
    return best


def msps(action: Callable[[], object], seconds: float) -> float:
    """Mega-samples a second of an action that moves one buffer."""
    return round(best_per_s(action, seconds) * BUFFER_SAMPLES / 1e6, 1)


def frames(amplitude: float) -> list[IQ]:
    """One a device, of random phases."""
    phases = np.random.default_rng(1).uniform(size=(NUM_DEVICES, FRAME_SAMPLES))
    return list((amplitude * np.exp(2j * np.pi * phases)).astype(np.complex64))


def start_senders(radios: list[Any]) -> None:
    """All send their frame until their buffers are destroyed."""
    for radio, frame in zip(radios, frames(2**13), strict=True):
        radio.tx_cyclic_buffer = True
        radio.tx(frame)


def one_radio(uris: list[str], seconds: float) -> dict[str, float]:
    """Throughput of one radio, both ways."""
    with opened(uris, 1_000_000) as radios:
        *devices, radio = radios
        radio.rx_buffer_size = BUFFER_SAMPLES
        result = {"rx_msps": msps(radio.rx, seconds)}

        def refill() -> None:
            radio._rxbuf.refill()
            radio._rxbuf.read()

        result["rx_refill_msps"] = msps(refill, seconds)
        radio.rx_destroy_buffer()
        draws = np.random.default_rng(2).normal(scale=2000, size=2 * BUFFER_SAMPLES)
        samples, raw = draws.view(np.complex128), bytearray(draws.astype(np.int16).tobytes())
        result["tx_msps"] = msps(lambda: radio.tx(samples), seconds)

        def push() -> None:
            radio._txbuf.write(raw)
            radio._txbuf.push()

        result["tx_push_msps"] = msps(push, seconds)
        radio.tx_destroy_buffer()
        start_senders(devices)
        result["rx_five_senders_msps"] = msps(radio.rx, seconds)
    return result


def rounds_per_s(uris: list[str], seconds: float) -> float:
    """Start five, capture with the sixth, stop all; with the toolkit's own backend, which reads settings back."""
    with ExitStack() as stack:
        radios = [stack.enter_context(PlutoRadio(PlutoConfig(uri=uri, real_time=False))) for uri in uris]
        for radio in radios:
            radio.configure(RadioConfig())
        *devices, receiver = radios

        def play() -> None:
            for device, frame in zip(devices, frames(0.5), strict=True):
                device.start_cyclic(frame)
            receiver.capture(CAPTURE_SAMPLES)
            for device in devices:
                device.stop()

        return round(best_per_s(play, seconds), 1)


def real_time(uris: list[str], server_pid: int) -> dict[str, float | bool]:
    """What a receiver at 4 MS/s really gets, and whether it lost anything."""
    with opened(uris, 4_000_000) as radios:
        *devices, receiver = radios
        start_senders(devices)
        receiver._rxadc.set_kernel_buffers_count(16)
        receiver.rx_buffer_size = BUFFER_SAMPLES
        for _ in range(8):  # until it has caught up with the air
            receiver.rx()
        for value in (6, 4):
            receiver._rxadc.reg_write(OVERFLOW_REGISTER, value)
        num_buffers = (1 << 24) // BUFFER_SAMPLES
        cpu_s, start = _cpu_s(server_pid), time.perf_counter()
        for _ in range(num_buffers):
            receiver._rxbuf.refill()
            receiver._rxbuf.read()
        elapsed_s = time.perf_counter() - start
        return {
            "real_time_msps": round(num_buffers * BUFFER_SAMPLES / elapsed_s / 1e6, 3),
            "real_time_lost": bool(receiver._rxadc.reg_read(OVERFLOW_REGISTER) & 4),
            "real_time_cpu": round((_cpu_s(server_pid) - cpu_s) / elapsed_s, 2),
        }


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    seconds = parser.parse_args().seconds
    result: dict[str, float | bool | int | None] = {"num_cores": os.cpu_count()}
    with bench("as_fast_as_possible") as (uris, _):
        result |= one_radio(uris, seconds)
        result["rounds_per_s"] = rounds_per_s(uris, seconds)
    with bench("real_time") as (uris, pid):
        result |= real_time(uris, pid)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
