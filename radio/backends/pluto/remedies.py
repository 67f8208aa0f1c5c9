"""What to do about an errno of libiio; of a busy radio, which programs of this machine hold it. Linux only."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DEFAULT_PORT = 30431
_ESTABLISHED = "01"
_USB = re.compile(r"usb:(\d+)\.(\d+)")

_GONE = "the connection broke: did the radio restart, or its cable slip?"
_REMEDIES = {
    errno.ECONNREFUSED: "the machine there runs no IIO daemon at this port; is the port right? restart the radio",
    errno.ETIMEDOUT: "it did not answer in time; look at power and cable, or raise pluto.timeout_s",
    errno.EHOSTUNREACH: "nothing is at this address; look at power, cable and the radio's network address",
    errno.ENETUNREACH: "this machine has no way to this address; does the radio's USB network have one of its own?",
    errno.EACCES: "this user may not open it; install ADI's udev rules (53-adi-plutosdr-usb.rules)",
    errno.EPERM: "this user may not open it; install ADI's udev rules (53-adi-plutosdr-usb.rules)",
    errno.ENODEV: "there is no such device; `iio_info -s` lists what is connected",
    errno.ENOENT: "there is no such device or attribute; `iio_info -s` lists what is connected",
    errno.ENOMEM: "the radio has no memory for these buffers; lower pluto.stream_block_samples, or restart it",
    errno.EPIPE: _GONE,
    errno.ECONNRESET: _GONE,
    errno.ENOTCONN: _GONE,
    errno.EBADF: _GONE,
}


def remedy(uri: str, number: int | None) -> str:
    """What to do about an errno from a radio."""
    if number in (errno.EBUSY, errno.EAGAIN):
        programs = programs_at(uri)
        if programs:
            return f"it is in use by {', '.join(programs)}; end that"
        return (
            "it is in use, by no program of this machine that this user may see; look at others, or restart the radio"
        )
    return _REMEDIES.get(number or 0, "look at power, cable and address (`testbed doctor`)")


def programs_at(uri: str, *, proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Name and process id of the other programs of this machine that hold the radio at a URI, as far as this user may
    see; empty where there are none, or nothing can be known."""
    try:
        wanted = _usb_files(uri) or _sockets(uri, proc)
        found = {pid for pid, file in _open_files(proc) if file in wanted} if wanted else set()
    except OSError:
        return ()
    return tuple(f"{_name(proc, pid)} (process {pid})" for pid in sorted(found - {os.getpid()}))


def _usb_files(uri: str) -> set[str]:
    match = _USB.match(uri)
    return {f"/dev/bus/usb/{int(match[1]):03}/{int(match[2]):03}"} if match else set()


def _sockets(uri: str, proc: Path) -> set[str]:
    """Links to sockets with an established connection to a radio's address."""
    if not uri.startswith("ip:") or uri.count(":") > 2:
        return set()
    host, _, port = uri.removeprefix("ip:").partition(":")
    addresses = {info[4][0] for info in socket.getaddrinfo(host, None, socket.AF_INET)}
    peers = {f"{_little_endian(str(address))}:{int(port or DEFAULT_PORT):04X}" for address in addresses}
    lines = [line.split() for line in (proc / "net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{words[9]}]" for words in lines if words[2] in peers and words[3] == _ESTABLISHED}


def _little_endian(address: str) -> str:
    return socket.inet_aton(address)[::-1].hex().upper()


def _open_files(proc: Path) -> Iterator[tuple[int, str]]:
    for directory in proc.glob("[0-9]*/fd"):
        pid = int(directory.parent.name)
        with suppress(OSError):  # it ended, or is another user's
            for name in os.listdir(directory):
                with suppress(OSError):  # closed meanwhile
                    yield pid, os.readlink(directory / name)


def _name(proc: Path, pid: int) -> str:
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "a program"
    return " ".join(os.path.basename(word.decode("utf-8", "replace")) for word in words[:3] if word) or "a program"
