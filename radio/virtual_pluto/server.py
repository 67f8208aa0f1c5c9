"""Serves a bench of virtual Plutos: one listening socket a radio, one thread a connection."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

from radio.air.channel import Truth
from radio.air.config import AirConfig
from radio.config import RadioConfig
from radio.errors import RadioConfigError, RadioError
from radio.virtual_pluto.bench.links import Links
from radio.virtual_pluto.bench.shared_air import SharedAir, warm_up
from radio.virtual_pluto.config import DEFAULT_PORT, VirtualConfig, digest_of
from radio.virtual_pluto.faults import Faults
from radio.virtual_pluto.iio.iiod import Connection
from radio.virtual_pluto.iio.pluto import Pluto

BACKLOG = 64
MAX_CONNECTIONS = 256
JOIN_S = 5.0
POLL_S = 0.2


class Listener:
    """The daemon of one radio: accepts connections until it is stopped; can be restarted."""

    def __init__(self, pluto: Pluto, address: tuple[str, int]) -> None:
        """Raises RadioConfigError when the address is taken."""
        self._pluto = pluto
        self._lock = threading.Lock()
        self._clients: dict[threading.Thread, socket.socket] = {}
        self._is_stopped = threading.Event()
        self._silent_until_s = 0.0
        self._socket = _listen(address)
        self.address: tuple[str, int] = self._socket.getsockname()
        pluto.address = self.address
        self._thread = threading.Thread(target=self._accept, name=f"iiod {self.address[1]}", daemon=True)
        self._thread.start()

    @property
    def num_connections(self) -> int:
        """How many clients are served now."""
        with self._lock:
            return len(self._clients)

    def restart(self, down_s: float) -> None:
        """Close all connections, and listen again after a while; the chip keeps its settings."""
        with self._lock:
            self._silent_until_s = time.monotonic() + down_s
            open_now = [self._socket, *self._clients.values()]
        for one in open_now:
            _shut(one)

    def stop(self) -> None:
        """Close everything and wait for the threads."""
        self._is_stopped.set()
        self.restart(0.0)
        deadline = time.monotonic() + JOIN_S
        self._thread.join(JOIN_S)
        with self._lock:
            threads = list(self._clients)
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _accept(self) -> None:
        while not self._is_stopped.is_set():
            try:
                client, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:  # shut down, to be restarted or to end
                self._socket.close()
                self._listen_again()
            else:
                self._start(client)
        self._socket.close()

    def _listen_again(self) -> None:
        while not self._is_stopped.wait(min(max(self._silent_until_s - time.monotonic(), 0.001), POLL_S)):
            if time.monotonic() < self._silent_until_s:
                continue
            try:
                listening = _listen(self.address)
            except RadioConfigError:  # taken meanwhile: keep trying
                self._silent_until_s = time.monotonic() + POLL_S
                continue
            with self._lock:
                self._socket = listening
            return

    def _start(self, client: socket.socket) -> None:
        with self._lock:
            is_down = self._is_stopped.is_set() or time.monotonic() < self._silent_until_s
            if is_down or len(self._clients) >= MAX_CONNECTIONS:
                client.close()
                return
            client.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(client,), name="iiod client", daemon=True)
            self._clients[thread] = client
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            Connection(client, self._pluto, self.restart).serve()
        finally:
            with self._lock:
                self._clients.pop(threading.current_thread(), None)
                client.close()


class VirtualPlutos:
    """A bench of num_devices + 1 virtual PlutoSDRs on one air; a context manager.

    Station k < num_devices is device k; the access point is the last one.
    """

    def __init__(
        self,
        config: VirtualConfig | None = None,
        *,
        num_devices: int = 1,
        air: AirConfig | None = None,
        radio: RadioConfig | None = None,
        shared_clock: bool = False,
    ) -> None:
        """`radio` holds the gains, power and rate to which `air` refers. Raises RadioConfigError, RadioError."""
        if num_devices < 1:
            raise RadioConfigError(f"num_devices: got {num_devices}; allowed: at least 1")
        self.config = config or VirtualConfig()
        self.num_devices = num_devices
        radio = radio or RadioConfig()
        air = air or AirConfig(cfo_max_hz=0.0)
        links = Links(
            self.config, air, num_devices=num_devices, rig_rate_hz=radio.sample_rate_hz, shared_clock=shared_clock
        )
        self.air = SharedAir(self.config, links, radio)
        self.faults = Faults(self.config.faults)
        digest = digest_of(self.config, air, radio, num_devices=num_devices, shared_clock=shared_clock)
        self.plutos = [Pluto(self.air, station, self.faults, digest) for station in range(num_devices + 1)]
        self._listeners: list[Listener] = []
        warm_up()
        try:
            for pluto in self.plutos:
                self._listeners.append(Listener(pluto, self.config.address(pluto.station.index)))
        except RadioError:
            self.close()
            raise

    @property
    def uris(self) -> list[str]:
        """Where each station is, as libiio writes it; the access point last."""
        return [_uri(*listener.address) for listener in self._listeners]

    @property
    def device_uris(self) -> list[str]:
        """Devices 0..K-1."""
        return self.uris[:-1]

    @property
    def access_point_uri(self) -> str:
        """The access point."""
        return self.uris[-1]

    @property
    def num_connections(self) -> int:
        """How many connections are open now, over all radios."""
        return sum(listener.num_connections for listener in self._listeners)

    def restart(self, station: int, down_s: float = 0.2) -> None:
        """Restart a radio's daemon: its connections break, its transmitter falls silent, its settings stay."""
        self._listeners[station].restart(down_s)

    def begin_block(self, block: int, attempt: int = 1) -> None:
        """Draw another fading block; for benches whose blocks have no duration of their own."""
        if self.config.block_ms > 0:
            raise RadioConfigError(f"begin_block: got a call with block_ms = {self.config.block_ms:g}; allowed with 0")
        with self.air.change():
            self.air.links.begin_block(block, attempt)

    def truth(self) -> Truth:
        """What the access point would hear of each device now; for tests and reports."""
        with self.air.condition:
            return self.air.reception.truth(self.air.now_ps)

    def close(self) -> None:
        """Stop serving; safe to call twice."""
        self.air.close()
        for listener in self._listeners:
            listener.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _uri(host: str, port: int) -> str:
    return f"ip:{host}" if port == DEFAULT_PORT else f"ip:{host}:{port}"


def _listen(address: tuple[str, int]) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.settimeout(POLL_S)
    except OSError as err:
        listening.close()
        raise RadioConfigError(
            f"virtual Pluto: cannot listen at {address[0]}:{address[1]}: {err.strerror}; stop what listens there, or "
            "set virtual.first_port (0: any free port)"
        ) from err
    return listening


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
