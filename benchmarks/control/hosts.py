"""Many hosts in a process of their own, whose radios are played elsewhere (`benchmarks.control.rounds`)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import zmq

from benchmarks.control import learner
from testbed.control import messages as m
from testbed.control.keys import Credentials
from testbed.control.transport import Client, new_context
from testbed.hosts import device_host
from testbed.hosts.device_host import LearnerHost

_ENDS_WITHIN_S = 10.0


class SilentRadios:
    """Answers as radios do, at once."""

    def __init__(self, *_: Any) -> None:
        pass

    def polled(self, poll: m.Poll, *_: Any) -> m.Transmitting:
        """All have sent."""
        reports = tuple(m.Report(device=device) for device in poll.devices)
        return m.Transmitting(round=poll.round, attempt=poll.attempt, number=poll.number, reports=reports)

    def ready(self, start: m.RoundStart, *_: Any) -> m.Ready:
        """All will send."""
        return m.Ready(round=start.round, attempt=start.attempt, ground_truth=None, losses=None)

    def silence(self) -> None:
        """They are."""

    def close(self) -> None:
        """Nothing is held."""


def serve(address: str, shares: Sequence[Sequence[int]], credentials: Credentials | None) -> None:
    """Hosts in one thread, each asked to attend to what it receives, until all have ended."""
    device_host.Transmissions = SilentRadios  # type: ignore[assignment,misc]
    device_host.prepare = learner.prepared
    with ExitStack() as stack:
        context = new_context()
        context.set(zmq.MAX_SOCKETS, len(shares) + 64)
        stack.callback(context.term)
        of: dict[Any, tuple[Any, LearnerHost]] = {}
        poller = zmq.Poller()
        for devices in shares:
            client = stack.enter_context(Client(context, m.control_codec(), address, credentials=credentials))
            host = LearnerHost(
                client, devices, lambda _: None, load=learner.load, prove=learner.prove, judge=learner.judge
            )
            of[client.pollable] = (client, host)
            poller.register(client.pollable, zmq.POLLIN)
            host.greet()
        while of:
            for socket, _ in poller.poll():
                client, host = of[socket]
                message = client.receive(0.0)
                if message is not None and host.attend(message) is not None:
                    poller.unregister(socket)
                    del of[socket]


@contextmanager
def beside(target: Any, *arguments: Any) -> Iterator[None]:
    """Run a function in a process of its own, until what is done meanwhile is over."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.join(_ENDS_WITHIN_S)
        process.kill()
        process.join()
