"""Dask, and all that is known of it: one future for each order, on workers that this process or somebody else started.

Dask pickles what it sends. What goes through it here is bytes of our own encoding and the name of one function.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import msgspec

from testbed.errors import SweepError
from testbed.failures import in_one_line
from testbed.sweep.kernel_cache import use_own_cache
from testbed.sweep.work import Answer, Order, carry_out

CONNECT_S = 5.0
_POLL_S = 0.1
_SILENT = logging.CRITICAL + 1
_EXTRA = "pip install 'airzero-testbed[sweep]'"


class Cluster(Protocol):
    """Where runs are computed."""

    def submit(self, order: Order) -> None:
        """Have a run carried out by some worker."""

    def answers(self, timeout_s: float) -> Iterator[tuple[str, Answer | None]]:
        """Orders that came to an end within ``timeout_s``, by the run's name; None of those whose worker died.

        Raises LostError with the scheduler.
        """

    def num_workers(self) -> int:
        """How many there are."""

    def withdraw(self) -> None:
        """Want no run any longer: workers stop before their next round."""


class LostError(Exception):
    """The scheduler is gone, or was never there; what it knew is on the disk."""


def carry_out_here(order: bytes) -> bytes:
    """On a worker: the run of an encoded order, for as long as the scheduler wants it from this very worker."""
    use_own_cache()
    from distributed import Status, get_worker

    for package in ("testbed", "radio", "learner"):  # what becomes of rounds is in their records
        logging.getLogger(package).setLevel(logging.ERROR)
    worker = get_worker()
    key = worker.get_current_task()
    leaving = (Status.closing, Status.closing_gracefully, Status.closed, Status.failed)

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return worker.status not in leaving and task is not None and task.state == "executing"

    return msgspec.msgpack.encode(carry_out(msgspec.msgpack.decode(order, type=Order), is_wanted))


@contextmanager
def local_cluster(num_workers: int, *, num_threads: int = 1) -> Iterator[Cluster]:
    """Worker processes of this machine, which end with this process. Raises SweepError without Dask.

    Each computes one run at a time on ``num_threads`` threads. They are reached over TLS on the loopback interface,
    with keys that nobody else on this machine has. Raises LostError where they cannot be started.
    """
    dask = _dask()
    variables = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA")
    cluster = dask.LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        protocol="tls://",
        security=dask.Security.temporary(),
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address=None,
        memory_limit=0,
        silence_logs=_SILENT,
        env={f"{name}_NUM_THREADS": str(num_threads) for name in variables},
    )
    with cluster, dask.Client(cluster, set_as_default=False) as client:
        yield _Dask(client)


@contextmanager
def remote_cluster(address: str) -> Iterator[Cluster]:
    """The workers of a scheduler at ``address``, or that a scheduler's file names. Raises LostError if none answers."""
    dask = _dask()
    is_file = address.endswith(".json")
    if not is_file and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", address):
        raise SweepError(
            f"--scheduler: got {address!r}; allowed: tcp://HOST:PORT, tls://HOST:PORT, or a scheduler's .json file; "
            "give the one that `dask scheduler` prints"
        )
    if is_file and not os.path.isfile(address):
        raise LostError(f"there is no file {address}")
    target = {"scheduler_file": address} if is_file else {"address": address}
    try:
        client = dask.Client(**target, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as err:
        raise LostError(str(err)) from err
    try:
        yield _Dask(client)
    finally:
        with suppress(OSError, TimeoutError):
            client.close(timeout=2)


class _Dask:
    """A client and its futures."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._futures: dict[str, Any] = {}
        self._serial = 0

    def submit(self, order: Order) -> None:
        self._serial += 1
        self._futures[order.name] = self._client.submit(
            carry_out_here,
            msgspec.msgpack.encode(order),
            key=f"run-{self._client.id}-{self._serial}",
            priority=-self._serial,
            pure=False,
        )

    def answers(self, timeout_s: float) -> Iterator[tuple[str, Answer | None]]:
        deadline = time.monotonic() + timeout_s
        while True:
            ended = [name for name, future in self._futures.items() if future.status != "pending"]
            if self._client.status != "running":
                raise LostError("the scheduler has gone")
            if ended or time.monotonic() >= deadline:
                break
            time.sleep(_POLL_S)
        for name in ended:
            yield name, self._answer(self._futures.pop(name))

    def _answer(self, future: Any) -> Answer | None:
        if future.status in ("cancelled", "lost"):  # by nobody here
            raise LostError("the scheduler has forgotten a run")
        try:
            if future.status == "error":
                err = future.exception(timeout=CONNECT_S)
                died = type(err).__name__ == "KilledWorker"
                return None if died else Answer(outcome="unfit", words=f"a worker failed: {in_one_line(err)}")
            answer: Answer = msgspec.msgpack.decode(future.result(timeout=CONNECT_S), type=Answer)
        except (OSError, TimeoutError, CancelledError) as err:
            raise LostError(in_one_line(err)) from err
        return answer

    def num_workers(self) -> int:
        try:
            return len(self._client.nthreads())
        except (OSError, TimeoutError) as err:
            raise LostError(in_one_line(err)) from err

    def withdraw(self) -> None:
        with suppress(OSError, TimeoutError, CancelledError):
            self._client.cancel(list(self._futures.values()))
        self._futures.clear()


def _dask() -> Any:
    """The package. Raises SweepError where it is not installed."""
    try:
        import distributed
    except ImportError as err:
        raise SweepError(
            f"sweep: needs the package distributed, which is not installed ({err}); allowed: installed; {_EXTRA}"
        ) from err
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(_SILENT)  # lost connections are expected here, and told otherwise
    return distributed
