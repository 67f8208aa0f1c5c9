"""A PlutoSDR as `radio.backends.base.Radio`; used by one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from radio.backends.pluto import silence
from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.driver import Connection
from radio.backends.pluto.identity import serial_of
from radio.backends.pluto.receiver import Receiver
from radio.backends.pluto.samples import Codes, to_codes
from radio.backends.pluto.stream import TransmitStream
from radio.backends.pluto.tuning import move_carrier, mute, tune, unmute
from radio.config import Capabilities, RadioConfig
from radio.errors import RadioConfigError, RadioLinkError, SamplesLostError, SignalError, TooLateError
from radio.samples import IQ, check_frame

MAX_BUFFER_SAMPLES = 1 << 20  # 4 MiB, of the memory that stock firmware has for one buffer
TAIL_SAMPLES = 256
ONE_SHOT_BUFFERS = 2
RETRY_S = 0.1
IDLE_TIMEOUT_S = 600.0
BREAK_SAMPLES = 1 << 40
"""What a broken transmit count jumps ahead by, so that starts asked for before lie in the past."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class PlutoRadio:
    """One PlutoSDR, real or virtual. It connects when it is configured, and again after a lost link.

    A lost link raises RadioLinkError once; the call after it connects anew, with the same tuning. The transmitter is
    muted while it is configured and when the radio is closed, also at the end of the process.
    """

    def __init__(self, config: PlutoConfig) -> None:
        self._config = config
        self._link: Connection | None = None
        self._tuning: RadioConfig | None = None
        self._receiver = Receiver(config)
        self._stream: TransmitStream | None = None
        self._stream_origin = 0
        self._cyclic = False
        self._carrier_shift_hz = 0.0
        self._was_reached = False
        self._user = threading.current_thread()
        self._closed = False
        silence.watch(self)

    @property
    def capabilities(self) -> Capabilities:
        """What the rig promises of this radio; stock firmware has no trigger."""
        return Capabilities(trigger=False, streaming=self._config.streaming, shared_clock=self._config.shared_clock)

    @property
    def clock_samples(self) -> int:
        """Index of the sample at which the next capture starts, counted over what was received."""
        return self._receiver.clock_samples

    @property
    def epoch(self) -> int:
        """How often the receive count was broken."""
        return self._receiver.epoch

    def configure(self, config: RadioConfig) -> None:
        """Tune, muted, and read every setting back; raises RadioConfigError, RadioLinkError or DriverError.

        Also reports a stream that had come to an end by itself.
        """
        self._check_open()
        if self._stream is not None:
            self.stop()
        if config.sample_rate_hz > self._config.sustained_rate_hz:
            log.warning(
                "%s: sample_rate_hz = %g is more than this link sustains (%g): captures longer than a buffer and "
                "streams will lose samples",
                self._config.uri,
                config.sample_rate_hz,
                self._config.sustained_rate_hz,
            )
        self._tuning, self._user = config, threading.current_thread()
        self._receiver.restart(self._link, config.sample_rate_hz)
        try:
            if self._link is None:
                self._connect(config)
            else:
                self._run(lambda link: self._tune(link, config))
        except RadioConfigError:
            self._tuning = None
            raise

    def transmit(self, frame: IQ, *, num_repeats: int) -> None:
        """Send a frame so many times back to back and silence behind it, as one buffer."""
        if num_repeats < 1:
            raise SignalError(f"num_repeats: got {num_repeats}; allowed: at least 1; use stop() for silence")
        check_frame(frame)
        codes = np.concatenate((np.tile(to_codes(frame), num_repeats), np.zeros(2 * TAIL_SAMPLES, dtype=np.int16)))
        self._run(lambda link: self._push_once(link, codes, cyclic=False))

    def start_cyclic(self, frame: IQ) -> None:
        """Repeat a frame until `stop`."""
        check_frame(frame)
        codes = to_codes(frame)
        self._run(lambda link: self._push_once(link, codes, cyclic=True))

    def stream(self, frame: IQ) -> None:
        """Append a frame right behind what the stream still sends; starts as soon as can be when it sends nothing."""
        self.transmit_at(frame, None)

    def transmit_at(self, frame: IQ, start_sample: int | None) -> int:
        """Send a frame once from a sample of the transmit count on, None as soon as can be; returns the sample.

        Raises TooLateError when the sample has passed, which it also has after a break of the count.
        """
        check_frame(frame)
        codes = to_codes(frame)

        def send(link: Connection) -> int:
            return self._running_stream(link).send(codes, start_sample)

        return self._run(send)

    def stop(self) -> None:
        """Fall silent: at once, or a stream after what was already handed over. Safe to call twice.

        Raises RadioLinkError when the stream had come to an end by itself.
        """
        stream = self._stream
        if stream is not None:
            stream.drop()
            self._run(lambda _: stream.check())
        elif self._link is not None:
            self._run(lambda link: self._end_transmission(link))

    def capture(self, num_samples: int, *, skip_samples: int = 0) -> IQ:
        """Receive fresh samples, shape [N], behind some that are forgotten. Raises SamplesLostError on an overflow."""
        _check_length(num_samples)
        return self._run(
            lambda link: self._receiver.capture(link, num_samples, skip_samples), num_samples + skip_samples
        )

    def elapse(self, num_samples: int) -> None:
        """Receive so many samples and forget them."""
        if num_samples:
            _check_length(num_samples)
            self._run(lambda link: self._receiver.elapse(link, num_samples), num_samples)

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Forget what was received since the last capture."""
        self._run(self._receiver.catch_up)

    def shift_carrier(self, shift_hz: float) -> None:
        """Move the transmitter's carrier by so much more; its phase is random afterwards."""
        tuning = self._check_ready()
        self._run(lambda link: move_carrier(link, tuning.center_freq_hz + self._carrier_shift_hz + shift_hz))
        self._carrier_shift_hz += shift_hz

    def close(self) -> None:
        """Fall silent, muted, and let go; safe to call twice, and when the radio is gone.

        From another thread than the one that uses the radio, at the end of the process, it only mutes.
        """
        if self._closed:
            return
        self._closed = True
        link = self._link
        if link is None:
            return
        try:
            mute(link)
        except (RadioLinkError, RadioConfigError) as err:
            log.warning("could not mute: %s", err)
        if self._user is threading.current_thread() or not self._user.is_alive():
            self._link = None
            self._let_go(link)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- the link

    def _run(self, action: Callable[[Connection], T], num_samples: int = 0) -> T:
        """`action` on a connected, tuned radio; a link that fails is let go, so that the next call connects again."""
        tuning = self._check_ready()
        self._user = threading.current_thread()
        link = self._link or self._connect(tuning)
        timeout_s = self._config.timeout_s + num_samples / tuning.sample_rate_hz
        try:
            if num_samples:
                link.set_timeout(timeout_s)
            return action(link)
        except (SamplesLostError, TooLateError):
            raise
        except RadioLinkError:
            self._link = None
            self._receiver.restart(link)
            self._let_go(link)
            raise

    def _connect(self, tuning: RadioConfig) -> Connection:
        link = self._reach()
        try:
            self._check_serial(link)
            self._tune(link, tuning)
        except (RadioLinkError, RadioConfigError):
            link.close()
            raise
        self._link, self._was_reached = link, True
        return link

    def _reach(self) -> Connection:
        """A new connection; a radio that answered before gets the time of a restart to answer again."""
        deadline = time.monotonic() + (self._config.timeout_s if self._was_reached else 0.0)
        while True:
            try:
                return Connection(self._config.uri, self._config.timeout_s)
            except RadioLinkError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(RETRY_S)

    def _check_serial(self, link: Connection) -> None:
        if self._config.serial and (found := serial_of(link)) != self._config.serial:
            raise RadioConfigError(
                f"{self._config.uri}: got the radio with serial number {found or 'unknown'}; allowed: "
                f"{self._config.serial} (pluto.serials); look at cables and addresses"
            )

    def _tune(self, link: Connection, config: RadioConfig) -> None:
        self._end_transmission(link)
        tune(link, config, self._carrier_shift_hz, quadrature_tracking=self._config.quadrature_tracking)
        try:
            unmute(link, config)
        except RadioConfigError:
            mute(link)
            raise

    def _let_go(self, link: Connection) -> None:
        self._end_transmission(link)
        link.close()

    # ---- transmitting

    def _push_once(self, link: Connection, codes: Codes, *, cyclic: bool) -> None:
        num_samples = codes.size // 2
        if num_samples > MAX_BUFFER_SAMPLES:
            raise SignalError(
                f"frame: got {num_samples} samples with its repeats; allowed: at most {MAX_BUFFER_SAMPLES}; "
                "use fewer repeats"
            )
        self._end_transmission(link)
        link.open_transmitter(num_samples, cyclic=cyclic, num_buffers=ONE_SHOT_BUFFERS)
        self._cyclic = cyclic
        link.push(codes)

    def _running_stream(self, link: Connection) -> TransmitStream:
        if self._cyclic:
            raise RadioConfigError(f"{self._config.uri}: got a stream behind a cyclic transmission; stop that first")
        if self._stream is not None and self._sees_underflows() and link.underflowed():
            log.warning("%s: the transmit stream ran dry; its count starts anew", self._config.uri)
            self._end_transmission(link)
        if self._stream is None:
            link.close_transmitter()
            block = self._config.stream_block_samples
            if not self._config.real_time:  # air time waits for whoever reads
                link.set_timeout(IDLE_TIMEOUT_S)  # which a buffer takes over when it is opened
            link.open_transmitter(block, cyclic=False, num_buffers=self._config.stream_transmit_buffers)
            link.set_timeout(self._config.timeout_s)
            self._stream = TransmitStream(
                link.push, block_samples=block, first_sample=self._stream_origin, name=self._config.uri
            )
            self._stream.wait_until_ahead(self._config.stream_transmit_buffers - 1, self._config.timeout_s)
            self._check_underflow_bit(link)
        return self._stream

    def _sees_underflows(self) -> bool:
        return self._config.real_time and not self._config.ignore_underflow

    def _check_underflow_bit(self, link: Connection) -> None:
        """A bit that says "gap" of a stream that is ahead of the air tells nothing of gaps."""
        if self._sees_underflows() and link.underflow_sticks():
            self._end_transmission(link)
            raise RadioConfigError(
                f"{self._config.uri}: its underflow bit stays set however often it is cleared (plutosdr-fw issue 107), "
                "so gaps in what it streams cannot be seen; allowed: firmware whose bit clears, schemes that do not "
                "count samples, or pluto.ignore_underflow = true, after which no gap is reported"
            )

    def _end_transmission(self, link: Connection) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            if not stream.close(link.cancel_transmitter):
                log.error("%s: its transmit thread hangs; the connection is left as it is", self._config.uri)
                link.abandon()
            self._stream_origin += BREAK_SAMPLES
        self._cyclic = False
        link.close_transmitter()

    # ---- checks

    def _check_open(self) -> None:
        if self._closed:
            raise RadioConfigError(f"{self._config.uri}: used after close(); open a new radio")

    def _check_ready(self) -> RadioConfig:
        self._check_open()
        if self._tuning is None:
            raise RadioConfigError(f"{self._config.uri}: used before it was configured; call configure() first")
        return self._tuning


def _check_length(num_samples: int) -> None:
    if num_samples < 1:
        raise RadioConfigError(f"num_samples: got {num_samples}; allowed: at least 1")
