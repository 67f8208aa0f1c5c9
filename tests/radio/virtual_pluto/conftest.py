"""Virtual Plutos, and the real libiio client where it is installed."""

from __future__ import annotations

import shutil
import socket
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radio.air.config import AirConfig
from radio.config import RadioConfig
from radio.virtual_pluto.bench.chip import FirFilter
from radio.virtual_pluto.bench.links import Links
from radio.virtual_pluto.bench.shared_air import SharedAir
from radio.virtual_pluto.bench.station import Station
from radio.virtual_pluto.config import VirtualConfig
from radio.virtual_pluto.server import VirtualPlutos
from tests.libiio import require_libiio

ROOT = Path(__file__).parent.parent.parent.parent
QUIET = AirConfig(fading="none", path_loss_db=20.0, snr_db=float("inf"), cfo_max_hz=0.0, delay_max_samples=0.0)
STEADY = VirtualConfig(
    first_port=0, ppm_max=0.0, start_jitter_min_ms=0.0, start_jitter_max_ms=0.0, random_phase=False, hold_s=0.2
)
RATE_HZ = 1_000_000
FREQUENCY_HZ = 915_000_000


WHY_NO_TOOLS = "" if shutil.which("iio_info") else "iio_info is missing: install libiio-utils"


@pytest.fixture
def libiio() -> None:
    """For tests whose clients are processes of their own."""
    require_libiio()


@pytest.fixture
def adi(libiio: None) -> Any:
    import adi

    return adi


@pytest.fixture
def serve() -> Iterator[Callable[..., VirtualPlutos]]:
    """Starts benches on free ports; stops them, and checks that nothing is left, at the end of the test."""
    with ExitStack() as stack:
        benches: list[VirtualPlutos] = []

        def start(config: VirtualConfig = STEADY, *, num_devices: int = 1, **more: Any) -> VirtualPlutos:
            benches.append(
                stack.enter_context(VirtualPlutos(config, num_devices=num_devices, **{"air": QUIET, **more}))
            )
            return benches[-1]

        yield start
    assert all(bench.num_connections == 0 for bench in benches), "connections outlived their bench"


class Bench:
    """An air without sockets: the part behind the protocol."""

    def __init__(
        self,
        config: VirtualConfig = STEADY,
        air: AirConfig = QUIET,
        *,
        num_devices: int = 1,
        radio: RadioConfig | None = None,
        shared_clock: bool = False,
    ) -> None:
        self.radio = radio or RadioConfig(sample_rate_hz=RATE_HZ, center_freq_hz=FREQUENCY_HZ)
        links = Links(
            config, air, num_devices=num_devices, rig_rate_hz=self.radio.sample_rate_hz, shared_clock=shared_clock
        )
        self.air = SharedAir(config, links, self.radio)
        for station in self.air.stations:
            self.tune(station)
        self.access_point = self.air.stations[-1]

    def tune(self, station: Station) -> None:
        chip = station.chip
        chip.fir = FirFilter(4, 4, 128, True)
        chip.sample_rate_hz = int(self.radio.sample_rate_hz)
        chip.rx_lo_hz = chip.tx_lo_hz = FREQUENCY_HZ
        chip.gain_mode = "manual"
        chip.tx_gain_db, chip.rx_gain_db = self.radio.tx_gain_db, self.radio.rx_gain_db

    def send(self, index: int, frame: NDArray[np.complex64], *, cyclic: bool = True) -> Any:
        """Open a transmit buffer and push one frame; returns the buffer."""
        buffer = self.air.open_tx(self.air.stations[index], frame.size, 4, cyclic=cyclic)
        buffer.push(words_of(frame), lambda: False)
        return buffer

    def listen(self, num_samples: int, *, count: int = 4, station: Station | None = None) -> Any:
        return self.air.open_rx(station or self.access_point, num_samples, count)

    def hear(self, num_samples: int, station: Station | None = None) -> NDArray[np.complex128]:
        """One fresh capture; full scale is 1."""
        buffer = self.listen(num_samples, station=station)
        try:
            return iq_of(buffer.read(lambda: False))
        finally:
            self.air.close_buffer(buffer)


def words_of(frame: NDArray[Any]) -> NDArray[np.int16]:
    pairs = np.stack((frame.real, frame.imag), axis=-1)
    return np.rint(pairs * 1024).astype(np.int16).reshape(-1) * np.int16(16)


def iq_of(words: NDArray[np.int16]) -> NDArray[np.complex128]:
    return words.astype(np.float64).view(np.complex128) / 2048


def random_frame(num_samples: int, seed: int = 1, amplitude: float = 0.5) -> NDArray[np.complex64]:
    """Random phases that a 12-bit converter renders exactly."""
    frame = amplitude * np.exp(2j * np.pi * np.random.default_rng(seed).uniform(size=num_samples))
    return (np.rint(frame.view(np.float64) * 1024) / 1024).view(np.complex128).astype(np.complex64)


GIVE_UP_S = 400.0


class Client:
    """Speaks the protocol by hand."""

    def __init__(self, uri: str) -> None:
        host, port = uri.removeprefix("ip:").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=GIVE_UP_S)
        self.stream = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def number(self) -> int:
        line = self.stream.readline()
        assert line, "the server hung up"
        return int(line)

    def ask(self, command: str) -> int:
        self.send(command.encode() + b"\r\n")
        return self.number()

    def read(self, what: str) -> str | int:
        size = self.ask(f"READ {what}")
        if size < 0:
            return size
        data = self.stream.read(size + 1)
        assert data[-2:] == b"\0\n"
        return data[:-2].decode()

    def write(self, what: str, text: str) -> int:
        payload = text.encode()
        self.send(f"WRITE {what} {len(payload)}\r\n".encode() + payload)
        return self.number()

    def xml(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.stream.read(self.ask("PRINT") + 1))

    def close(self) -> None:
        self.stream.close()
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def plutos(serve: Callable[..., VirtualPlutos]) -> VirtualPlutos:
    return serve()


@pytest.fixture
def client(plutos: VirtualPlutos) -> Client:
    with Client(plutos.uris[0]) as one:
        yield one
