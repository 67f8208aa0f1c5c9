"""Connections between processes: what ZeroMQ over TCP promises of them, and all that it does not.

In one connection messages come in the order in which they were sent. A connection breaks when an end dies, when it is
reset, or when heartbeats fail for a while; what was under way is lost, each end learns of it in its own time, and the
client comes again under a new route. In foul weather any message may vanish, come twice, or late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from benchmarks.simulation.world import SHORTEST_WAIT_S, Killed, Process, World
from testbed.control.transport import Codec, Sender
from testbed.errors import TransportError

M = TypeVar("M")
HEARTBEAT_TIMEOUT_S = 5.0
_CLIENT_QUEUE = 1000
_ROUTE_BYTES = 5
_LONG_BYTES = 1000


@lru_cache(maxsize=64)
def _decoded_long(codec: Codec[M], data: bytes) -> M | str:
    return codec.decode(data)


def _decoded(codec: Codec[M], data: bytes) -> M | str:
    """A message from its bytes; of long ones, as a Welcome, the same bytes are read once."""
    return codec.decode(data) if len(data) < _LONG_BYTES else _decoded_long(codec, data)


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to single messages."""

    delay_s: float = 0.002
    """mean, exponentially distributed"""
    loss: float = 0.0
    repeat: float = 0.0
    slow: float = 0.0
    """Share of messages that take a hundred times as long."""


class Network:
    """Who listens where, who is cut off, and the weather."""

    def __init__(self, world: World, weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self.listening: dict[str, Server[Any]] = {}
        self.connections: list[Connection] = []
        self.num_lost = self.num_repeated = 0
        self._cut_until_s: dict[str, float] = {}
        self._routes = 0

    def delay_s(self, *, is_fair: bool) -> float:
        """How long a message takes."""
        rng = self.world.rng
        delay_s = rng.expovariate(1 / self.weather.delay_s)
        return delay_s * 100 if not is_fair and rng.random() < self.weather.slow else delay_s

    def cut_until_s(self, one: Process, other: Process) -> float:
        """Until when these do not reach each other."""
        return max(self._cut_until_s.get(one.place, 0.0), self._cut_until_s.get(other.place, 0.0))

    def new_route(self) -> bytes:
        """As libzmq makes them: a zero byte and a number."""
        self._routes += 1
        return b"\0" + (self._routes * 7919).to_bytes(_ROUTE_BYTES - 1, "big")

    def calm_down(self) -> None:
        """From now on nothing happens to single messages."""
        self.weather = Weather(delay_s=self.weather.delay_s)

    def of(self, place: str) -> list[Connection]:
        """Connections with an end there."""
        self.connections = [each for each in self.connections if not each.is_broken]
        return [each for each in self.connections if place in (each.client.process.place, each.server.process.place)]

    def reset(self, place: str) -> None:
        """Break the connections of a place; what is under way is lost."""
        for connection in self.of(place):
            connection.break_up(self.world.rng.uniform(0, 0.1), self.world.rng.uniform(0, 0.1))

    def cut(self, place: str, seconds: float) -> None:
        """Let nothing in or out; what is under way comes when it is over, or never if heartbeats fail before."""
        rng, world = self.world.rng, self.world
        self._cut_until_s[place] = max(self._cut_until_s.get(place, 0.0), world.now_s + seconds)
        if seconds > HEARTBEAT_TIMEOUT_S:
            for connection in self.of(place):
                at_server_s, at_client_s = (HEARTBEAT_TIMEOUT_S + rng.random() for _ in range(2))
                first_s = min(at_server_s, at_client_s)
                world.after(
                    first_s,
                    lambda c=connection, s=at_server_s - first_s, k=at_client_s - first_s: c.break_up(s, k),  # type: ignore[misc]
                )

    def freeze(self, process: Process, seconds: float) -> None:
        """Stop a process; who is silent for too long is given up by its peers."""
        process.freeze(seconds)
        rng, world = self.world.rng, self.world
        if seconds > HEARTBEAT_TIMEOUT_S + 1:
            for connection in self.of(process.place):
                given_up_s = HEARTBEAT_TIMEOUT_S + rng.random()
                late_s = seconds - given_up_s + rng.uniform(0, 0.1)
                at_server_s, at_client_s = (late_s, 0.0) if process is connection.server.process else (0.0, late_s)
                world.after(given_up_s, lambda c=connection, s=at_server_s, k=at_client_s: c.break_up(s, k))  # type: ignore[misc]


class Connection:
    """One TCP connection from its first to its last message."""

    def __init__(self, network: Network, client: Client[Any], server: Server[Any]) -> None:
        self.client, self.server = client, server
        self.route = network.new_route()
        self.is_broken = False
        self._network = network
        self._last_arrival_s = {True: 0.0, False: 0.0}
        network.connections.append(self)

    @property
    def ends_s(self) -> float:
        """When all that is under way has come."""
        return max(self._last_arrival_s.values())

    def send(self, data: bytes, *, to_server: bool) -> None:
        """Let it arrive, as the weather allows."""
        network, world = self._network, self._network.world
        is_fair = self.server.is_local
        if self.is_broken:
            return  # this end does not know yet
        if not is_fair and world.rng.random() < network.weather.loss:
            network.num_lost += 1
            return
        num = 2 if not is_fair and world.rng.random() < network.weather.repeat else 1
        network.num_repeated += num - 1
        for _ in range(num):
            when_s = max(world.now_s + network.delay_s(is_fair=is_fair), self._last_arrival_s[to_server] + 1e-6)
            self._last_arrival_s[to_server] = when_s
            world.at(when_s, lambda: self._arrive(data, to_server=to_server))

    def _arrive(self, data: bytes, *, to_server: bool) -> None:
        if self.is_broken:
            return
        world = self._network.world
        held_until_s = self._network.cut_until_s(self.client.process, self.server.process)
        if held_until_s > world.now_s:
            world.at(held_until_s, lambda: self._arrive(data, to_server=to_server))
            return
        end: Client[Any] | Server[Any] = self.server if to_server else self.client
        what = f"{self.client.process.place} {'->' if to_server else '<-'} {self.server.address}"
        world.note(what if world.log is None else f"{what}  {end.in_words(data)}", data)
        end.deliver(self.route, data)

    def break_up(self, at_server_s: float = 0.0, at_client_s: float = 0.0) -> None:
        """Nothing arrives any more; the ends learn of it after so long."""
        if self.is_broken:
            return
        self.is_broken = True
        world = self._network.world
        world.after(at_server_s, lambda: self.server.routes.pop(self.route, None))
        world.after(at_client_s, lambda: self.client.lost(self))


class Server(Generic[M]):
    """A bound end, `testbed.control.transport.ServerEnd`."""

    def __init__(
        self, network: Network, process: Process, codec: Codec[M], address: str, *, is_local: bool = False
    ) -> None:
        """``is_local``: its messages travel within one machine, where only deaths harm them, and its program does
        nothing on its own, so that it need not look up."""
        self.address = address
        self.process = process
        self.is_local = is_local
        self.routes: dict[bytes, Connection] = {}
        self.num_dropped = 0
        self._network = network
        self._codec = codec
        self._inbox: deque[tuple[bytes, bytes]] = deque()
        network.listening[address] = self
        process.at_end.append(self._close)

    def now_s(self) -> float:
        """Of the process."""
        return self.process.now_s()

    def send(self, route: bytes, message: M) -> bool:
        """To one connection; False if it is known to be gone."""
        return not self.send_all([route], message)

    def send_all(self, routes: Iterable[bytes], message: M) -> list[bytes]:
        """To several; returns those that are known to be gone."""
        if self.process.is_killed:
            raise Killed
        data = self._codec.encode(message)
        gone = []
        for route in routes:
            if (connection := self.routes.get(route)) is None:
                gone.append(route)
            else:
                connection.send(data, to_server=False)
        return gone

    def receive(self, timeout_s: float) -> tuple[Sender, M] | None:
        """The next message that decodes, or None."""
        until_s = self.process.world.now_s + max(timeout_s, SHORTEST_WAIT_S)
        while True:
            if self._inbox:
                route, data = self._inbox.popleft()
                message = _decoded(self._codec, data)
                if not isinstance(message, str):
                    return Sender(route, ""), message
                self.num_dropped += 1
            elif self.process.world.now_s >= until_s:
                return None
            else:
                self.process.wait(until_s if not self.is_local else float("inf"))

    def deliver(self, route: bytes, data: bytes) -> None:
        """A message has come."""
        self._inbox.append((route, data))
        self.process.wake()

    def in_words(self, data: bytes) -> str:
        """A message for people."""
        return str(self._codec.decode(data))[:300]

    def _close(self) -> None:
        del self._network.listening[self.address]
        for connection in list(self.routes.values()):
            _part(connection, self.process)


class Client(Generic[M]):
    """A connecting end, `testbed.control.transport.ClientEnd`; connects again by itself."""

    def __init__(self, network: Network, process: Process, codec: Codec[M], address: str) -> None:
        self.address = address
        self.process = process
        self.num_dropped = 0
        self._network = network
        self._codec = codec
        self._connection: Connection | None = None
        self._unsent: deque[bytes] = deque()
        self._inbox: deque[bytes] = deque()
        process.at_end.append(self._close)
        self._connect_after(network.delay_s(is_fair=True), 0.05)

    def now_s(self) -> float:
        """Of the process."""
        return self.process.now_s()

    def send(self, message: M) -> None:
        """Send it, now or when there is a connection."""
        if self.process.is_killed:
            raise Killed
        data = self._codec.encode(message)
        self.send_raw(data)

    def send_raw(self, data: bytes) -> None:
        """Send any bytes."""
        if self._connection is not None:
            self._connection.send(data, to_server=True)
        elif len(self._unsent) < _CLIENT_QUEUE:
            self._unsent.append(data)
        else:
            raise TransportError(f"{self.address} does not read what is sent to it; is the program there alive?")

    def receive(self, timeout_s: float) -> M | None:
        """The next message that decodes, or None."""
        until_s = self.process.world.now_s + max(timeout_s, SHORTEST_WAIT_S)
        while True:
            if self._inbox:
                message = _decoded(self._codec, self._inbox.popleft())
                if not isinstance(message, str):
                    return message
                self.num_dropped += 1
            elif self.process.world.now_s >= until_s:
                return None
            else:
                self.process.wait(until_s)

    def deliver(self, route: bytes, data: bytes) -> None:
        """A message has come."""
        if not self.process.is_over:
            self._inbox.append(data)
            self.process.wake()

    def in_words(self, data: bytes) -> str:
        """A message for people."""
        return str(self._codec.decode(data))[:300]

    def lost(self, connection: Connection) -> None:
        """This connection is known to be gone."""
        if self._connection is connection:
            self._connection = None
            self._connect_after(0.05, 0.05)

    def _connect_after(self, delay_s: float, patience_s: float) -> None:
        self.process.world.after(delay_s, lambda: self._connect(patience_s))

    def _connect(self, patience_s: float) -> None:
        if self.process.is_over or self._connection is not None:
            return
        world, server = self.process.world, self._network.listening.get(self.address)
        if (
            server is None
            or self.process.is_frozen
            or server.process.is_frozen
            or self._network.cut_until_s(self.process, server.process) > world.now_s
        ):
            self._connect_after(patience_s * world.rng.uniform(1, 2), min(2 * patience_s, 1.0))
            return
        self._connection = connection = Connection(self._network, self, server)
        server.routes[connection.route] = connection
        while self._unsent:
            connection.send(self._unsent.popleft(), to_server=True)

    def _close(self) -> None:
        if (connection := self._connection) is not None:
            _part(connection, self.process)


def _part(connection: Connection, process: Process) -> None:
    """An end is gone: what it has sent may still come, if it was not killed surely."""
    world = process.world
    if process.is_killed and world.rng.random() < 0.5:
        connection.break_up(world.rng.uniform(0, 0.05), world.rng.uniform(0, 0.05))
    else:
        world.at(connection.ends_s + 1e-6, lambda: connection.break_up(0.0, 0.0))
