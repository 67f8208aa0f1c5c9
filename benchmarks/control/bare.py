"""The same exchange without anything around it: a ROUTER, as many DEALERs, the same messages, no disk.

Peers are threads, as the hosts of `benchmarks.control.rounds` are; a peer waits for a message, and answers with as many
bytes as a host did. Between two phases nothing is computed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import zmq


def round_seconds(phases: Sequence[tuple[int, int]], *, num_peers: int, num_rounds: int) -> list[float]:
    """Seconds of each round; a phase is the bytes of a request, and of its answer, 0 where none is expected."""
    context = zmq.Context()
    context.setsockopt(zmq.MAX_SOCKETS, 4 * num_peers + 64)
    server = context.socket(zmq.ROUTER)
    server.setsockopt(zmq.ROUTER_MANDATORY, 1)
    server.bind("tcp://127.0.0.1:*")
    address = server.getsockopt_string(zmq.LAST_ENDPOINT)
    answers = [bytes(answer) for _, answer in phases]

    def peer() -> None:
        socket = context.socket(zmq.DEALER)
        socket.connect(address)
        socket.send(b"here")
        for _ in range(num_rounds):
            for answer in answers:
                socket.recv()
                if answer:
                    socket.send(answer)
        socket.close()

    threads = [threading.Thread(target=peer, daemon=True) for _ in range(num_peers)]
    for thread in threads:
        thread.start()
    routes = [server.recv_multipart()[0] for _ in range(num_peers)]
    seconds = []
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
    for thread in threads:
        thread.join()
    server.close()
    context.term()
    return seconds
