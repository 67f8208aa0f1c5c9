"""The same exchange without anything around it: a ROUTER, as many DEALERs, the same messages, no disk.

One process serves all peers, as `benchmarks.control.hosts` serves all hosts: whoever has a message answers it with as
many bytes as a host did.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import zmq

from benchmarks.control.hosts import beside


def serve(address: str, answers: Sequence[bytes], num_peers: int, num_rounds: int) -> None:
    """Peers that answer each phase in turn; none where the answer is empty."""
    context = zmq.Context()
    context.setsockopt(zmq.MAX_SOCKETS, num_peers + 64)
    peers = [context.socket(zmq.DEALER) for _ in range(num_peers)]
    poller = zmq.Poller()
    for socket in peers:
        socket.connect(address)
        poller.register(socket, zmq.POLLIN)
        socket.send(b"here")
    at = dict.fromkeys(peers, 0)
    left = num_peers * num_rounds * len(answers)
    while left:
        for socket, _ in poller.poll():
            socket.recv()
            answer = answers[at[socket] % len(answers)]
            at[socket] += 1
            left -= 1
            if answer:
                socket.send(answer)
    for socket in peers:
        socket.close()
    context.term()


def round_seconds(phases: Sequence[tuple[int, int]], *, num_peers: int, num_rounds: int) -> list[float]:
    """Seconds of each round; a phase is the bytes of a request, and of its answer, 0 where none is expected."""
    context = zmq.Context()
    server = context.socket(zmq.ROUTER)
    server.setsockopt(zmq.ROUTER_MANDATORY, 1)
    server.bind("tcp://127.0.0.1:*")
    address = server.getsockopt_string(zmq.LAST_ENDPOINT)
    seconds = []
    with beside(serve, address, [bytes(answer) for _, answer in phases], num_peers, num_rounds):
        routes = [server.recv_multipart()[0] for _ in range(num_peers)]
        for _ in range(num_rounds):
            started = time.perf_counter()
            for request, answer in phases:
                body = bytes(request)
                for route in routes:
                    server.send_multipart([route, body])
                if answer:
                    for _ in range(num_peers):
                        server.recv_multipart()
            seconds.append(time.perf_counter() - started)
    server.close()
    context.term()
    return seconds
