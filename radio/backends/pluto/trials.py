"""What one PlutoSDR shows by itself: whether its samples come back right, and how fast its link is."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from radio.backends.pluto.driver import Connection
from radio.backends.pluto.samples import TX_FULL_SCALE
from radio.backends.pluto.tuning import mute

LOOPBACK_SAMPLES = 4096
LOOPBACK_SAMPLE_RATE_HZ = 3_000_000
LOOPBACK_NUM_BUFFERS = 64  # 0.17 s, until what was pushed plays
RATE_BUFFER_SAMPLES = 1 << 16
RATE_NUM_BUFFERS = 32
RATE_SAMPLE_RATE_HZ = 30_720_000


def loopback_errors(link: Connection) -> int:
    """Digital loopback in the chip, muted: how many of 4096 samples come back other than they were sent."""
    words = np.random.default_rng(1).integers(-TX_FULL_SCALE, TX_FULL_SCALE, 2 * LOOPBACK_SAMPLES, dtype=np.int16)
    words &= ~np.int16(15)
    mute(link)
    link.call("sample rate", lambda pluto: setattr(pluto, "sample_rate", LOOPBACK_SAMPLE_RATE_HZ))
    link.call("loopback", lambda pluto: setattr(pluto, "loopback", 1))
    sent = (words >> 4).astype(np.float64).view(np.complex128)
    fewest = LOOPBACK_SAMPLES
    try:
        link.open_transmitter(LOOPBACK_SAMPLES, cyclic=True, num_buffers=2)
        link.push(words)
        link.open_receiver(2 * LOOPBACK_SAMPLES, num_buffers=4)
        for _ in range(LOOPBACK_NUM_BUFFERS):
            fewest = min(fewest, _num_wrong(sent, link.refill()))
            if fewest == 0:
                break
    finally:
        link.close_transmitter()
        link.close_receiver()
        link.call("loopback", lambda pluto: setattr(pluto, "loopback", 0))
    return fewest


def underflow_sticks(link: Connection) -> bool:
    """Whether the underflow bit stays set while a buffer repeats by itself, which cannot run dry; muted."""
    mute(link)
    try:
        link.open_transmitter(LOOPBACK_SAMPLES, cyclic=True, num_buffers=2)
        link.push(np.zeros(2 * LOOPBACK_SAMPLES, dtype=np.int16))
        return link.underflow_sticks()
    finally:
        link.close_transmitter()


def _num_wrong(sent: NDArray[np.complex128], codes: NDArray[np.int16]) -> int:
    heard = codes.astype(np.float64).view(np.complex128)[: sent.size]
    match = np.abs(np.fft.ifft(np.fft.fft(heard) * np.fft.fft(sent).conj()))
    return int(np.sum(heard != np.roll(sent, int(np.argmax(match)))))


def link_rate_hz(link: Connection) -> float:
    """What the link sustains, complex samples a second: buffers read back to back at a rate that is too fast for it."""
    link.call("sample_rate", lambda pluto: setattr(pluto, "sample_rate", RATE_SAMPLE_RATE_HZ))
    link.open_receiver(RATE_BUFFER_SAMPLES, num_buffers=4)
    try:
        link.refill()
        began = time.perf_counter()
        for _ in range(RATE_NUM_BUFFERS):
            link.refill()
        return RATE_BUFFER_SAMPLES * RATE_NUM_BUFFERS / (time.perf_counter() - began)
    finally:
        link.close_receiver()
