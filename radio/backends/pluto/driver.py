"""The only module that imports adi and iio, when the first radio is opened; one `Connection` is one libiio context.

Whatever libiio, or pyadi-iio's bare Exceptions, report becomes a RadioError here. Buffers go before their context,
or libiio frees memory that it still uses.
"""

from __future__ import annotations

import ctypes.util
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from radio.backends.pluto.remedies import remedy
from radio.backends.pluto.samples import Codes
from radio.errors import DriverError, RadioConfigError, RadioError, RadioLinkError

INSTALL_LIBRARY = "apt-get install libiio0"
INSTALL_PACKAGES = "pip install pyadi-iio==0.0.21 pylibiio==0.25"
STATUS_REGISTER = 0x80000088
OVERFLOW_BIT = 1 << 2
UNDERFLOW_BIT = 1 << 0
STALE_BITS = 0b110
STUCK_READS, STUCK_PAUSE_S = 4, 0.002
CONFIG_REFUSED = (22, 33, 34)  # EINVAL, EDOM, ERANGE
NEEDED_DEVICES = ("ad9361-phy", "cf-ad9361-lpc", "cf-ad9361-dds-core-lpc")

T = TypeVar("T")
_abandoned: list[Any] = []


def load_iio() -> ModuleType:
    """The binding of libiio 0.x. Raises DriverError with what to install."""
    if ctypes.util.find_library("iio") is None:
        raise DriverError(f"libiio: not found on this machine; a PlutoSDR needs version 0.x: {INSTALL_LIBRARY}")
    try:
        import iio

        version = tuple(iio.version)
    except ImportError as err:
        raise DriverError(f"pylibiio: not installed ({err}); {INSTALL_PACKAGES}") from err
    except (AttributeError, OSError) as err:  # a symbol of another major version is missing
        raise DriverError(
            f"libiio: the library and its Python binding do not fit ({err}); allowed: libiio 0.x with pylibiio 0.25: "
            f"{INSTALL_LIBRARY}; {INSTALL_PACKAGES}"
        ) from err
    if version[0] >= 1:
        raise DriverError(
            f"libiio: got version {'.'.join(map(str, version[:2]))}; allowed: 0.x, as pyadi-iio 0.0.21 sends only a "
            f"part of a buffer through 1.x: {INSTALL_LIBRARY}; {INSTALL_PACKAGES}"
        )
    module: ModuleType = iio
    return module


def load_adi() -> ModuleType:
    """pyadi-iio. Raises DriverError with what to install."""
    load_iio()
    try:
        import adi
    except ImportError as err:
        raise DriverError(f"pyadi-iio: not installed ({err}); {INSTALL_PACKAGES}") from err
    module: ModuleType = adi
    return module


def visible_contexts() -> dict[str, str]:
    """URI → description of every radio that libiio finds on USB, and by Avahi on the network where that runs.

    Raises DriverError.
    """
    iio = load_iio()
    try:
        return dict(iio.scan_contexts())
    except OSError:  # one backend that cannot scan spoils it for all
        return {}


def versions() -> dict[str, str]:
    """Of what is installed. Raises DriverError."""
    iio, adi = load_iio(), load_adi()
    return {"libiio": "{}.{} ({})".format(*iio.version), "pyadi-iio": str(adi.__version__)}


class Connection:
    """A PlutoSDR through `adi.Pluto`; used by one thread, except that a transmit buffer may be fed by another."""

    def __init__(self, uri: str, timeout_s: float) -> None:
        """Raises DriverError, RadioLinkError when nothing answers at `uri`, or RadioConfigError for another device."""
        adi, iio = load_adi(), load_iio()
        self.uri = uri
        self._iio = iio
        try:
            context = iio.Context(uri)
        except OSError as err:
            raise RadioLinkError(
                f"{uri}: no radio answers ({err.strerror or err}); {remedy(uri, err.errno)}; of virtual Plutos, start "
                "`testbed air --rig RIG` first"
            ) from err
        _check_is_pluto(uri, context)
        with self._errors("open"):
            self.set_timeout(timeout_s, context)
            self.pluto: Any = adi.Pluto(uri_ctx=context)
            self.context = context

    def set_timeout(self, timeout_s: float, context: Any = None) -> None:
        """Of one exchange with the radio."""
        with self._errors("set the timeout"):
            (context or self.context).set_timeout(math.ceil(timeout_s * 1e3))

    def call(self, what: str, action: Callable[[Any], T]) -> T:
        """`action` on the `adi.Pluto`; its failures are RadioErrors."""
        with self._errors(what):
            return action(self.pluto)

    def open_transmitter(self, num_samples: int, *, cyclic: bool, num_buffers: int) -> None:
        """Make the transmit buffer; closes the one before."""
        self.close_transmitter()
        with self._errors("open the transmitter"):
            pluto = self.pluto
            pluto._txdac.set_kernel_buffers_count(num_buffers)
            pluto.tx_cyclic_buffer = cyclic
            pluto._tx_buffer_size = num_samples
            pluto._tx_init_channels()

    def push(self, codes: Codes) -> None:
        """Hand a whole transmit buffer over; blocks while all kernel buffers are full."""
        with self._errors("transmit"):
            pluto = self.pluto
            pluto._tx_buffer_push(codes.data.cast("B"))

    def cancel_transmitter(self) -> None:
        """Make a waiting `push` fail; any thread may call this. The buffer must be closed afterwards."""
        buffer = self.pluto._txbuf if self.pluto is not None else None
        if buffer is not None:
            buffer.cancel()

    def close_transmitter(self) -> None:
        """Destroy the transmit buffer, which ends what it sends."""
        if self.pluto is not None:
            buffer = self.pluto._txbuf
            self.pluto.tx_destroy_buffer()
            self._destroy(buffer)

    def open_receiver(self, num_samples: int, *, num_buffers: int) -> None:
        """Make the receive buffer anew, so that nothing old is in it."""
        self.close_receiver()
        with self._errors("open the receiver"):
            pluto = self.pluto
            pluto._rxadc.set_kernel_buffers_count(num_buffers)
            pluto.rx_buffer_size = num_samples
            pluto._rxadc.reg_write(STATUS_REGISTER, STALE_BITS)
            pluto._rx_init_channels()

    def refill(self) -> Codes:
        """The next receive buffer, interleaved I and Q, shape [2·N]."""
        with self._errors("receive"):
            buffer = self.pluto._rxbuf
            buffer.refill()
            return np.frombuffer(buffer.read(), dtype=np.int16)

    def close_receiver(self) -> None:
        """Destroy the receive buffer."""
        if self.pluto is not None:
            buffer = self.pluto._rxbuf
            self.pluto.rx_destroy_buffer()
            self._destroy(buffer)

    def overflowed(self) -> bool:
        """Whether the receiver lost samples since this was asked last."""
        return self._flag("_rxadc", OVERFLOW_BIT)

    def underflowed(self) -> bool:
        """Whether the transmitter ran out of samples since this was asked last."""
        return self._flag("_txdac", UNDERFLOW_BIT)

    def clear_status(self) -> None:
        """Forget overflows and underflows that happened to somebody else."""
        with self._errors("clear the status registers"):
            self.pluto._rxadc.reg_write(STATUS_REGISTER, OVERFLOW_BIT)
            self.pluto._txdac.reg_write(STATUS_REGISTER, UNDERFLOW_BIT)

    def underflow_sticks(self) -> bool:
        """Whether the underflow bit is set however often it is cleared; of a transmitter that has enough to send."""
        for _ in range(STUCK_READS):
            if not self.underflowed():
                return False
            time.sleep(STUCK_PAUSE_S)
        return True

    def abandon(self) -> None:
        """Leave buffers and context in memory for ever, as a thread still works on them."""
        _abandoned.append(self.pluto)
        self.pluto = None
        self.context = None

    def close(self) -> None:
        """Buffers first, then the context; at once, as whoever caught an error may hold on to these objects."""
        self.close_transmitter()
        self.close_receiver()
        self.pluto = None
        context, self.context = self.context, None
        if context is not None and context._context is not None:
            pointer, context._context = context._context, None
            self._iio._destroy(pointer)

    def _destroy(self, buffer: Any) -> None:
        """Now, while the context is there, whoever else still holds the object: tracebacks do."""
        if buffer and buffer._buffer is not None:
            pointer, buffer._buffer = buffer._buffer, None
            self._iio._buffer_destroy(pointer)

    def _flag(self, device: str, bit: int) -> bool:
        with self._errors("read the status register"):
            core = getattr(self.pluto, device)
            if not core.reg_read(STATUS_REGISTER) & bit:
                return False
            core.reg_write(STATUS_REGISTER, bit)
            return True

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except RadioError:
            raise
        except OSError as err:
            kind = RadioConfigError if err.errno in CONFIG_REFUSED else RadioLinkError
            raise kind(
                f"{self.uri}: {what}: {err.strerror or err} (errno {err.errno}); {remedy(self.uri, err.errno)}"
            ) from err
        except Exception as err:  # pyadi-iio raises bare ones
            raise RadioLinkError(f"{self.uri}: {what}: {type(err).__name__}: {err}") from err


def _check_is_pluto(uri: str, context: Any) -> None:
    """Raise RadioConfigError for a context of another device."""
    names = [device.name or device.id for device in context.devices]
    if any(name not in names for name in NEEDED_DEVICES):
        model = context.attrs.get("hw_model", "a device without a model name")
        raise RadioConfigError(
            f"{uri}: got {model} with {', '.join(names) or 'no devices'}; allowed: a PlutoSDR, which has "
            f"{', '.join(NEEDED_DEVICES)}; look at the rig's addresses (`testbed doctor` shows what is visible)"
        )
