"""What every radio must do, of whatever backend.

A bench is a transmitter and a receiver that hears it, configured, over a link without noise to speak of. Backends
without timed transmission start late by an unknown amount, so the tests look for a frame instead of expecting it.
"""
# ruff: noqa: D102 - the names of these tests are sentences

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from radio.air.air import Air
from radio.air.config import AirConfig
from radio.backends.backend import Backend, Setup
from radio.backends.base import Counting, Radio, counting
from radio.config import Capabilities, FrameConfig, RadioConfig
from radio.errors import RadioError, SignalError, TooLateError
from radio.samples import IQ

TUNING = RadioConfig()
QUIET_AIR = AirConfig(snr_db=math.inf, cfo_max_hz=0.0, delay_max_samples=0.0, path_loss_db=10.0, fading="none")


@dataclass
class RadioBench:
    """Two radios of one backend that hear each other."""

    transmitter: Radio
    """Device 0."""
    receiver: Radio
    """The access point."""
    amplitude_tolerance: float
    """Of a received frame, relative, after the best complex gain."""


class RadioContract:
    """Derive a class from this one and give it a fixture `bench`: two radios, tuned, in a new block."""

    def test_it_is_a_radio(self, bench: RadioBench) -> None:
        assert isinstance(bench.transmitter, Radio)
        for name in ("trigger", "streaming", "shared_clock"):
            assert isinstance(getattr(bench.transmitter.capabilities, name), bool)
        assert isinstance(bench.transmitter, Counting) or not bench.transmitter.capabilities.streaming

    def test_a_capture_has_the_asked_length_and_type_and_advances_the_clock(self, bench: RadioBench) -> None:
        before = bench.receiver.clock_samples
        heard = bench.receiver.capture(1000)
        assert heard.shape == (1000,)
        assert heard.dtype == np.complex64
        bench.receiver.elapse(500)
        assert bench.receiver.clock_samples >= before + 1500

    @pytest.mark.parametrize("num_repeats", [1, 3])
    def test_a_frame_is_sent_so_many_times_and_ends_by_itself(self, bench: RadioBench, num_repeats: int) -> None:
        frame = some_frame(400)
        bench.transmitter.transmit(frame, num_repeats=num_repeats)
        heard = bench.receiver.capture(4000)
        assert count_frames(heard, frame, bench.amplitude_tolerance) == num_repeats
        assert count_frames(bench.receiver.capture(4000), frame, bench.amplitude_tolerance) == 0

    def test_a_cyclic_frame_repeats_until_stopped(self, bench: RadioBench) -> None:
        frame = some_frame(400)
        bench.transmitter.start_cyclic(frame)
        bench.receiver.elapse(2000)
        for _ in range(2):
            assert count_frames(bench.receiver.capture(4000), frame, bench.amplitude_tolerance) >= 9
        bench.transmitter.stop()
        bench.transmitter.stop()
        bench.receiver.elapse(100)
        assert count_frames(bench.receiver.capture(4000), frame, bench.amplitude_tolerance) == 0

    def test_a_stream_is_gapless(self, bench: RadioBench) -> None:
        if not bench.transmitter.capabilities.streaming:
            pytest.skip("this radio declares no streaming")
        whole = some_frame(1200)
        for piece in np.split(whole, 3):
            counting(bench.transmitter).stream(piece)
        assert count_frames(bench.receiver.capture(4000), whole, bench.amplitude_tolerance) == 1

    def test_a_frame_starts_at_the_sample_that_was_asked_for(self, bench: RadioBench) -> None:
        if not bench.transmitter.capabilities.streaming:
            pytest.skip("this radio declares no streaming")
        frame = some_frame(400)
        epoch, before = counting(bench.receiver).epoch, bench.receiver.clock_samples
        sent = counting(bench.transmitter).transmit_at(frame, None)
        (first,) = find_frames(bench.receiver.capture(4000), frame, bench.amplitude_tolerance)
        for ahead in (6000, 5003, 12_345):
            asked = bench.receiver.clock_samples + ahead
            start = sent + asked - (before + first)
            assert counting(bench.transmitter).transmit_at(frame, start) == start
            heard = bench.receiver.capture(800, skip_samples=asked - bench.receiver.clock_samples)
            assert find_frames(heard, frame, bench.amplitude_tolerance) == [0]
        assert counting(bench.receiver).epoch == epoch

    def test_a_start_that_has_passed_is_refused(self, bench: RadioBench) -> None:
        if not bench.transmitter.capabilities.streaming:
            pytest.skip("this radio declares no streaming")
        sent = counting(bench.transmitter).transmit_at(some_frame(400), None)
        bench.receiver.capture(4000)
        with pytest.raises(TooLateError, match="start_uncertainty_samples"):
            counting(bench.transmitter).transmit_at(some_frame(400), sent)

    def test_silence_keeps_the_count_of_a_stream(self, bench: RadioBench) -> None:
        if not bench.transmitter.capabilities.streaming:
            pytest.skip("this radio declares no streaming")
        frame = some_frame(400)
        before = bench.receiver.clock_samples
        sent = counting(bench.transmitter).transmit_at(frame, None)
        (first,) = find_frames(bench.receiver.capture(4000), frame, bench.amplitude_tolerance)
        bench.transmitter.stop()
        asked = bench.receiver.clock_samples + 6000
        counting(bench.transmitter).transmit_at(frame, sent + asked - (before + first))
        bench.receiver.elapse(asked - bench.receiver.clock_samples)
        assert find_frames(bench.receiver.capture(800), frame, bench.amplitude_tolerance) == [0]

    def test_a_new_transmission_replaces_the_old_one(self, bench: RadioBench) -> None:
        first, second = some_frame(400, 1), some_frame(400, 2)
        bench.transmitter.start_cyclic(first)
        bench.transmitter.transmit(second, num_repeats=1)
        heard = bench.receiver.capture(4000)
        assert count_frames(heard, second, bench.amplitude_tolerance) == 1
        assert count_frames(heard, first, bench.amplitude_tolerance) == 0

    def test_a_capture_sees_nothing_that_ended_before_it(self, bench: RadioBench) -> None:
        frame = some_frame(400)
        bench.transmitter.transmit(frame, num_repeats=1)
        bench.receiver.elapse(4000)
        assert count_frames(bench.receiver.capture(1000), frame, bench.amplitude_tolerance) == 0

    @pytest.mark.parametrize(
        "bad",
        [
            np.zeros(0, dtype=np.complex64),
            np.zeros((2, 4), dtype=np.complex64),
            np.zeros(8, dtype=np.complex128),
            np.full(8, 1.001, dtype=np.complex64),
            np.full(8, np.nan, dtype=np.complex64),
            np.full(8, np.inf, dtype=np.complex64),
            np.zeros(6, dtype=np.complex64),
        ],
        ids=["empty", "two axes", "complex128", "over full scale", "NaN", "infinite", "not a multiple of four"],
    )
    def test_a_bad_frame_never_reaches_the_air(self, bench: RadioBench, bad: np.ndarray) -> None:
        sends: list[Callable[[], None]] = [
            lambda: bench.transmitter.transmit(bad, num_repeats=1),
            lambda: bench.transmitter.start_cyclic(bad),
            lambda: counting(bench.transmitter).stream(bad),
        ]
        for send in sends:
            with pytest.raises(SignalError, match="got"):
                send()

    def test_zero_repeats_are_refused(self, bench: RadioBench) -> None:
        with pytest.raises(SignalError, match="num_repeats"):
            bench.transmitter.transmit(some_frame(8), num_repeats=0)

    def test_closing_silences_and_is_safe_twice(self, bench: RadioBench) -> None:
        frame = some_frame(400)
        bench.transmitter.start_cyclic(frame)
        bench.transmitter.close()
        bench.transmitter.close()
        bench.receiver.elapse(100)
        assert count_frames(bench.receiver.capture(4000), frame, bench.amplitude_tolerance) == 0
        with pytest.raises(RadioError):
            bench.transmitter.transmit(frame, num_repeats=1)

    def test_leaving_the_context_by_an_error_silences(self, bench: RadioBench) -> None:
        frame = some_frame(400)

        def fail() -> None:
            with bench.transmitter as radio:
                radio.start_cyclic(frame)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        bench.receiver.elapse(100)
        assert count_frames(bench.receiver.capture(4000), frame, bench.amplitude_tolerance) == 0

    def test_a_new_block_is_announced_without_harm(self, bench: RadioBench) -> None:
        bench.receiver.begin_block(3, 0)
        assert bench.receiver.capture(100).shape == (100,)


class SimulatedBackendContract(RadioContract):
    """The same for a backend whose radios are stations of a simulated air: give it a fixture `backend`.

    Radios that stand on a desk need a bench of their own, with RadioContract.
    """

    @pytest.fixture
    def settings(self, backend: Backend) -> Any:
        """What the rig's table `settings` says."""
        return None if backend.settings is None else backend.settings()

    @pytest.fixture
    def bench(self, backend: Backend, settings: Any) -> Iterator[RadioBench]:
        """A device and the access point on a quiet air."""
        air = Air(QUIET_AIR, num_devices=1, seed=1, sample_rate_hz=TUNING.sample_rate_hz, tx_power=TUNING.max_power)
        everything = Capabilities(trigger=True, streaming=True, shared_clock=True)
        setup = Setup(num_devices=1, capabilities=everything, frame=FrameConfig())
        device, access_point = (backend.open(settings, station, setup, air) for station in (0, 1))
        with tuned(RadioBench(device, access_point, amplitude_tolerance=1e-5)) as made:
            yield made

    def test_it_says_what_it_is(self, backend: Backend) -> None:
        assert isinstance(backend.name, str)
        assert backend.is_simulated


@contextmanager
def tuned(made: RadioBench) -> Iterator[RadioBench]:
    """The bench with its radios open and tuned, in a new block."""
    with made.transmitter, made.receiver:
        made.transmitter.configure(TUNING)
        made.receiver.configure(TUNING)
        made.receiver.begin_block(0, 1)
        yield made


def some_frame(num_samples: int, seed: int = 1) -> IQ:
    """A frame of constant magnitude that is like no other."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, num_samples)
    return (0.5 * np.exp(1j * phases)).astype(np.complex64)


def count_frames(heard: IQ, frame: IQ, tolerance: float) -> int:
    """How many times `frame` occurs in `heard`, up to one common complex gain each."""
    return len(find_frames(heard, frame, tolerance))


def find_frames(heard: IQ, frame: IQ, tolerance: float) -> list[int]:
    """Where `frame` occurs in `heard`."""
    matches = np.abs(np.correlate(heard, frame, mode="valid"))
    energy = np.convolve(np.abs(heard) ** 2, np.ones(frame.size), mode="valid")
    likeness = matches**2 / np.maximum(energy * float(np.sum(np.abs(frame) ** 2)), 1e-12)
    found: list[int] = np.flatnonzero(likeness > 1 - 10 * tolerance).tolist()
    return found
