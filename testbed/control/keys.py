"""CurveZMQ key pairs of this user on this machine: files of their own, 0600, that no run directory ever holds.

Three kinds: ``local`` (made at first use, for what talks on one machine), ``access-point`` (one a machine, also its
air's), and ``device`` (one a name). Secrets leave this module inside a KeyPair only, which does not print them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import zmq

from testbed.config.schema import HostName, PublicKey, Rig
from testbed.errors import TransportError

LOCAL = "local"
ACCESS_POINT = "access-point"
_DEVICE = "device-"
_MAX_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CurveZMQ pair, each key in Z85 (40 characters)."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client proves itself with, and which server it talks to, nobody else."""

    own: KeyPair
    server_key: str


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key file holds."""

    kind: Literal["local", "access-point", "device"]
    public: PublicKey
    secret: Annotated[str, msgspec.Meta(min_length=40, max_length=40)]
    access_point: PublicKey | None = None
    """Of a device host: whom it talks to."""

    @property
    def pair(self) -> KeyPair:
        """The keys alone."""
        return KeyPair(self.public, self.secret)


def is_loopback(address: str) -> bool:
    """Whether no other machine can reach this address. Raises TransportError for what is no address."""
    scheme, _, rest = address.partition("://")
    if scheme in ("inproc", "ipc") and rest:
        return True
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not (port.isdigit() or port == "*"):
        raise TransportError(
            f"address: got {address!r}, allowed tcp://HOST:PORT, ipc://PATH or inproc://NAME; correct it"
        )
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def folder() -> Path:
    """Where keys are kept: $AIRZERO_KEYS, $XDG_CONFIG_HOME/airzero/keys or ~/.config/airzero/keys; made if need be.

    Raises TransportError for one that others can write to, or that lies in a run directory.
    """
    if given := os.environ.get("AIRZERO_KEYS"):
        path = Path(given).absolute()
    else:
        config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        path = Path(config).expanduser().absolute() / "airzero" / "keys"
    if run := next((parent for parent in (path, *path.parents) if (parent / "journal.bin").exists()), None):
        raise TransportError(f"key folder {path}: lies in the run directory {run}; set AIRZERO_KEYS to another place")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as err:
        raise TransportError(f"key folder {path}: {err.strerror}; set AIRZERO_KEYS to another place") from err
    if mode & 0o022:
        raise TransportError(f"key folder {path}: others can write to it (mode {mode:04o}), allowed 0700; chmod 700 it")
    return path


def local_pair() -> KeyPair:
    """Of this user on this machine; made at first use, the same for all processes that start at once."""
    try:
        return create(LOCAL).pair
    except FileExistsError:
        return load(LOCAL).pair


def server_pair(address: str) -> KeyPair | None:
    """What a server at ``address`` proves itself with; None where no keys are used.

    Raises TransportError for an address that other machines can reach, where `testbed keys init` was never called.
    """
    if not address.startswith("tcp://"):
        return None
    if exists(ACCESS_POINT):
        return load(ACCESS_POINT).pair
    if is_loopback(address):
        return local_pair()
    raise TransportError(
        f"address: {address} can be reached by other machines, which takes keys, and this machine has none; "
        "call `testbed keys init` here first, or keep to 127.0.0.1"
    )


def credentials(address: str, name: str | None = None) -> Credentials | None:
    """What a client of ``address`` needs: the pair of host ``name`` (the only one, if there is one), or on loopback
    that of this machine; None where no keys are used. Raises TransportError.
    """
    if not address.startswith("tcp://"):
        return None
    server = None
    if name is None and (is_loopback(address) or exists(ACCESS_POINT)):
        server = server_pair(address)
    if server is not None:
        return Credentials(local_pair(), server.public)
    known = device_names()
    if name is None and len(known) != 1:
        have = (
            f"this machine has several: {', '.join(known)}; say which with --as" if known else "this machine has none"
        )
        remedy = "" if known else "; call `testbed keys device NAME --access-point KEY` here first"
        raise TransportError(f"address: {address} is on another machine, which takes keys, and {have}{remedy}")
    chosen = name or known[0]
    if chosen not in known:
        raise TransportError(
            f"--as: got {chosen!r}, this machine has {', '.join(known) or 'no keys of hosts'}; "
            f"call `testbed keys device {chosen} --access-point KEY` here first"
        )
    file = load(_DEVICE + chosen)
    if file.access_point is None:
        raise TransportError(
            f"key of host {chosen}: it does not say whom to talk to; "
            f"call `testbed keys device {chosen} --access-point KEY`, KEY as `testbed keys show` says on that machine"
        )
    return Credentials(file.pair, file.access_point)


def may_serve(rig: Rig, key: str, *, local_key: str) -> frozenset[int] | None:
    """Devices that the holder of ``key`` may serve; None for any: this user on this machine, and inside a process.

    An unknown key may serve none.
    """
    if key in ("", local_key):
        return None
    return frozenset(device for host in rig.hosts.values() if host.key == key for device in host.devices)


def make_device(name: str, access_point: str | None) -> KeyFile:
    """The key file of a host, made if there is none; ``access_point`` is remembered. Raises TransportError."""
    try:
        msgspec.convert(name, HostName)
    except msgspec.ValidationError as err:
        raise TransportError(
            f"name: got {name!r}, allowed are 1 to 64 letters, digits, dashes and underscores"
        ) from err
    if access_point is not None:
        try:
            msgspec.convert(access_point, PublicKey)
        except msgspec.ValidationError as err:
            raise TransportError(
                f"--access-point: got {access_point!r}, expected the 40 characters that `testbed keys show` prints "
                "there; quote them for the shell"
            ) from err
    try:
        return create(_DEVICE + name, access_point=access_point)
    except FileExistsError:
        file = load(_DEVICE + name)
    if access_point is not None and access_point != file.access_point:
        file = msgspec.structs.replace(file, access_point=access_point)
        with _written(_DEVICE + name, file) as temporary:
            os.replace(temporary, _path(_DEVICE + name))
    return file


def create(name: str, *, access_point: str | None = None) -> KeyFile:
    """A new pair in a file of its own. Raises FileExistsError if there is one already, which is never replaced."""
    if exists(name):
        raise FileExistsError(_path(name))
    public, secret = (key.decode() for key in zmq.curve_keypair())
    kind: Literal["local", "access-point", "device"] = (
        "local" if name == LOCAL else "access-point" if name == ACCESS_POINT else "device"
    )
    file = KeyFile(kind=kind, public=public, secret=secret, access_point=access_point)
    with _written(name, file) as temporary:
        os.link(temporary, _path(name))  # unlike a rename, fails where another process was faster
    return file


def exists(name: str) -> bool:
    """Whether there is such a file."""
    return _path(name).exists()


def device_names() -> list[str]:
    """Hosts that this machine has keys of."""
    return sorted(path.stem.removeprefix(_DEVICE) for path in folder().glob(f"{_DEVICE}*.json"))


def names() -> list[str]:
    """All key files, as `load` takes them."""
    return sorted(path.stem for path in folder().glob("*.json"))


def load(name: str) -> KeyFile:
    """A key file. Raises TransportError where others can read it, or it holds no pair; never says what is in it."""
    path = _path(name)
    try:
        with open(path, "rb", opener=lambda p, flags: os.open(p, flags | os.O_NOFOLLOW)) as opened:
            permitted = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            content = opened.read(_MAX_FILE_BYTES)
    except OSError as err:
        raise TransportError(f"key file {path}: cannot be read: {err.strerror}") from err
    if permitted & 0o077:
        raise TransportError(
            f"key file {path}: others can read this secret (mode {permitted:04o}), allowed 0600; "
            "delete it and make a new pair, or chmod 600 it if nobody has"
        )
    try:
        file = msgspec.json.decode(content, type=KeyFile)
        derived = zmq.curve_public(file.secret.encode()).decode()
    except (msgspec.DecodeError, ValueError, zmq.ZMQError):
        derived = ""  # the error would quote what it stumbled over
    if not derived or derived != file.public:
        raise TransportError(f"key file {path}: holds no pair of keys; delete it and make a new one")
    return file


def mode(name: str) -> int:
    """Who may read and write a key file."""
    return stat.S_IMODE(_path(name).stat().st_mode)


def _path(name: str) -> Path:
    return folder() / f"{name}.json"


@contextlib.contextmanager
def _written(name: str, file: KeyFile) -> Iterator[Path]:
    """A complete temporary file beside its place, 0600 from the first moment; gone afterwards."""
    temporary = folder() / f".{name}-{secrets.token_hex(8)}"
    try:
        with open(temporary, "xb", opener=lambda p, flags: os.open(p, flags, 0o600)) as opened:
            opened.write(msgspec.json.encode(file) + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
