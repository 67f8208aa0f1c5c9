"""Real processes without the seconds that importing torch takes: forked from one that has imported everything.

Each child is a process of its own with its own files, signals and exit code, and ends as any interpreter does. The
nursery imports and computes nothing else, so that a child starts as if freshly made.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("testbed", "learner", "radio")
SELDOM_NEEDED = ("__main__", "triton", ".make.")
ALSO = ("transformers.models.opt.modeling_opt", "transformers.activations", "matplotlib.backends.backend_agg")
LONGEST_REQUEST_BYTES = 1 << 17


class Child:
    """One command in a process that the nursery forked; used as `subprocess.Popen` is."""

    def __init__(self, arguments: Sequence[str], done: socket.socket, stdout: int, stderr: int) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self.stderr = os.fdopen(stderr, encoding="utf-8")
        self._done = done.makefile("r")
        pid = self._done.readline()
        if not pid:
            raise AssertionError("the nursery has ended; its error is above")
        self.pid = int(pid)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal; `subprocess.TimeoutExpired` if it does not come in time."""
        if self.returncode is None:
            ended = select.poll()  # select() takes no descriptor above 1023
            ended.register(self._done, select.POLLIN | select.POLLHUP)
            if not ended.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = int(self._done.readline())
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, or None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """As it says."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote from here to its end, on stdout and stderr."""
        texts = ["", ""]

        def read(index: int) -> None:
            file = (self.stdout, self.stderr)[index]
            with file:
                texts[index] = file.read()

        readers = [threading.Thread(target=read, args=(index,), daemon=True) for index in (0, 1)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(timeout)
        return texts[0], texts[1]

    def close(self) -> None:
        """Kill what still runs, and let go of its files."""
        self.kill()
        self.wait()
        for file in (self.stdout, self.stderr, self._done):
            file.close()


class Nursery:
    """Starts `testbed` commands; ends with this process at the latest."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()

    def start(self, arguments: Sequence[str], *, directory: Path, environment: Mapping[str, str]) -> Child:
        """`testbed` with these arguments, in this directory."""
        done, its_done = socket.socketpair()
        (stdout, its_stdout), (stderr, its_stderr) = os.pipe(), os.pipe()
        request = {"arguments": list(arguments), "directory": str(directory), "environment": dict(environment)}
        theirs = [its_done.fileno(), its_stdout, its_stderr]
        socket.send_fds(self._requests, [json.dumps(request).encode()], theirs)
        its_done.close()
        os.close(its_stdout)
        os.close(its_stderr)
        with done:
            return Child(arguments, done, stdout, stderr)

    def close(self) -> None:
        """No more children."""
        self._requests.close()
        self._process.wait()


def _import_everything() -> None:
    """All but Triton, which only GPUs need, and which would complain at each exit about the objects frozen here."""
    sys.modules["triton"] = None  # type: ignore[assignment]
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not any(part in f"{module.name}." for part in SELDOM_NEEDED):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    for name in ALSO:
        importlib.import_module(name)
    del sys.modules["triton"]
    gc.collect()
    gc.freeze()  # what no child can free is not looked at again, in no child


def _serve(requests: socket.socket) -> dict[str, list[str]]:
    """Fork for each request; returns in the child only, with what it shall do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the nannies
    while True:
        message, fds, _, _ = socket.recv_fds(requests, LONGEST_REQUEST_BYTES, 3)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            _mind_a_child(*fds)
            return json.loads(message)
        for fd in fds:
            os.close(fd)


def _mind_a_child(done: int, stdout: int, stderr: int) -> None:
    """Fork, and report its number and exit code; only the child returns, with its standard files in place."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        for fd in (stdout, stderr):
            os.close(fd)
        _report(done, pid)
    os.close(done)
    for fd, standard in ((stdout, 1), (stderr, 2)):
        os.dup2(fd, standard)
        os.close(fd)


def _report(done: int, pid: int) -> NoReturn:
    os.write(done, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(done, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever runs the tests
    sys.path[0] = str(ROOT)
    _import_everything()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["directory"]
    sys.argv = ["testbed", *request["arguments"]]
    runpy.run_module("testbed", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
