"""All built-in radios pass the contract that a lab's own ones are tested by; and what only the loopback does."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest

from radio.air.air import Air
from radio.backends.backend import Backend
from radio.backends.base import movable_carrier
from radio.backends.loopback import LoopbackRadio
from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.radio import PlutoRadio
from radio.backends.registry import backend as backend_named
from radio.config import RadioConfig
from radio.errors import RadioConfigError
from testbed.testing.radios import (
    QUIET_AIR,
    TUNING,
    RadioBench,
    RadioContract,
    SimulatedBackendContract,
    some_frame,
    tuned,
)
from tests.libiio import require_libiio, virtual_plutos


@contextmanager
def loopback_bench() -> Iterator[RadioBench]:
    air = Air(QUIET_AIR, num_devices=1, seed=1, sample_rate_hz=TUNING.sample_rate_hz, tx_power=TUNING.max_power)
    yield RadioBench(LoopbackRadio(air, 0), LoopbackRadio(air, air.access_point), amplitude_tolerance=1e-5)


@contextmanager
def pluto_bench(*, counts_samples: bool = False) -> Iterator[RadioBench]:
    """Two virtual Plutos behind the IIOD protocol, through libiio; `counts_samples` on the receiver."""
    with virtual_plutos(num_devices=1, air=QUIET_AIR, shared_clock=True) as plutos:
        radios = [
            PlutoRadio(
                PlutoConfig(
                    uri=uri, shared_clock=True, streaming=counts_samples, counts_samples=counts_samples,
                    real_time=False, stream_block_samples=256,
                )
            )
            for uri in plutos.uris
        ]  # fmt: skip
        yield RadioBench(*radios, amplitude_tolerance=1e-3)


BENCHES: dict[str, Callable[[], AbstractContextManager[RadioBench]]] = {
    "pluto": pluto_bench,
    "pluto stream": partial(pluto_bench, counts_samples=True),
}


class TestRadioContract(RadioContract):
    @pytest.fixture(params=sorted(BENCHES))
    def bench(self, request: pytest.FixtureRequest) -> Iterator[RadioBench]:
        require_libiio()
        with BENCHES[request.param]() as made, tuned(made):
            yield made


class TestLoopbackBackend(SimulatedBackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return backend_named("loopback")


class TestLoopbackOnly:
    def test_another_sample_rate_than_the_airs_is_refused(self) -> None:
        with loopback_bench() as bench, pytest.raises(RadioConfigError, match="sample_rate_hz"):
            bench.transmitter.configure(RadioConfig(sample_rate_hz=2e6))

    def test_a_radio_must_be_configured_first(self) -> None:
        with loopback_bench() as bench, pytest.raises(RadioConfigError, match="configure"):
            bench.transmitter.transmit(some_frame(8), num_repeats=1)

    def test_there_is_no_oscillator_to_move(self) -> None:
        with loopback_bench() as bench, pytest.raises(RadioConfigError, match=r"air\.cfo_max_hz"):
            movable_carrier(bench.transmitter)

    def test_a_device_owns_no_clock(self) -> None:
        with loopback_bench() as bench:
            radio = bench.transmitter
            radio.configure(TUNING)
            for call in (lambda: radio.elapse(8), lambda: radio.begin_block(0, 0)):
                with pytest.raises(RadioConfigError, match="access point only"):
                    call()
