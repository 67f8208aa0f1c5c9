"""The shared medium: exact oracles for delay, rotation, superposition, time and noise."""

import math
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.air.air import Air
from radio.air.channel import Oscillator
from radio.air.config import AirConfig, TransmitterConfig
from radio.air.propagation import Path, Transmission, propagate
from radio.errors import RadioConfigError

RATE_HZ = 1e6
QUIET = AirConfig(snr_db=math.inf, fading="none", path_loss_db=0.0, cfo_max_hz=0.0, delay_max_samples=0.0)


def make(config: AirConfig, num_devices: int = 3, seed: int = 1) -> Air:
    return Air(config, num_devices=num_devices, seed=seed, sample_rate_hz=RATE_HZ, tx_power=0.25)


def noise_like(num_samples: int, seed: int, amplitude: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (amplitude * (rng.uniform(-1, 1, (num_samples, 2)) @ [1, 1j])).astype(np.complex64)


def with_settings(config: AirConfig, **changes: object) -> AirConfig:
    return AirConfig(**{name: getattr(config, name) for name in config.__struct_fields__} | changes)


@given(delay=st.floats(0.0, 40.0), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_fractional_delay_equals_the_exact_delay_of_a_periodic_signal(delay, seed):
    length = 256
    rng = np.random.default_rng(seed)
    frequencies = np.fft.fftfreq(length)
    occupied = np.abs(frequencies) <= 0.3
    spectrum = np.where(occupied, rng.normal(size=length) + 1j * rng.normal(size=length), 0)
    signal = np.fft.ifft(spectrum)
    exact = np.fft.ifft(spectrum * np.exp(-2j * np.pi * frequencies * delay))
    cyclic = [Transmission(signal, -length * 10, 1 << 40)]
    path = Path(
        delay_samples=delay,
        tap_delays_samples=np.zeros(1),
        oscillator=Oscillator(cfo_hz=0.0),
        cycles_per_sample=0.0,
    )
    got = propagate(cyclic, path, np.ones(1, dtype=complex), 0, length)
    assert np.linalg.norm(got - exact) <= 1e-5 * np.linalg.norm(exact)  # ripple of the 24-tap Kaiser window


def test_a_finite_transmission_is_heard_once_and_ends_by_itself():
    air, frame = make(QUIET), noise_like(40, 1)
    air.transmit(0, frame, 2)
    heard = air.capture(3, 100)
    assert np.array_equal(heard[:80], np.tile(frame, 2))
    assert not heard[80:].any()


def test_the_carrier_offset_turns_forwards_by_absolute_time():
    air = make(with_settings(QUIET, cfo_max_hz=20.0))
    cfo_hz = air.truth().cfo_hz[1]
    assert 0 < abs(cfo_hz) <= 20
    air.transmit(1, np.full(4, 0.5, dtype=np.complex64), None)
    air.elapse(123_456)
    heard = air.capture(3, 10_000)
    time_s = (123_456 + np.arange(10_000)) / RATE_HZ
    assert np.abs(heard - 0.5 * np.exp(2j * np.pi * cfo_hz * time_s)).max() < 1e-6


@given(cuts=st.lists(st.integers(1, 6000), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_capturing_in_pieces_equals_capturing_at_once(cuts):
    config = AirConfig(snr_db=math.inf, start_jitter_samples=3)
    total = sum(cuts)
    captures = []
    for lengths in (cuts, [total]):
        air = make(config)
        air.begin_block(4, 1)
        air.transmit(0, noise_like(400, 1), None)
        air.transmit(1, noise_like(1000, 2), 3)
        air.stream(2, noise_like(300, 3))
        air.stream(2, noise_like(500, 4))
        captures.append(np.concatenate([air.capture(3, length) for length in lengths]))
    assert captures[0].tobytes() == captures[1].tobytes()


def test_the_order_of_arrival_changes_no_bit():
    captures = []
    for order in ((0, 1, 2), (2, 0, 1)):
        air = make(AirConfig(start_jitter_samples=5))
        air.begin_block(2, 0)
        for device in order:
            air.transmit(device, noise_like(500, device), 1)
        captures.append(air.capture(3, 600).tobytes())
    assert captures[0] == captures[1]


def test_concurrent_stations_change_no_bit():
    def capture(concurrent: bool) -> bytes:
        air = make(AirConfig(), num_devices=8)
        air.begin_block(2, 0)
        work = [Thread(target=air.transmit, args=(device, noise_like(500, device), 1)) for device in range(8)]
        for thread in work:
            thread.start()
            if not concurrent:
                thread.join()
        for thread in work:
            thread.join()
        return air.capture(8, 600).tobytes()

    assert capture(True) == capture(False)


def test_a_stream_is_gapless_and_filtered_across_its_seams():
    config = with_settings(QUIET, delay_max_samples=2.0)
    whole = noise_like(600, 1)
    pieces, once = make(config), make(config)
    pieces.stream(0, whole[:200])
    pieces.stream(0, whole[200:450])
    heard = [pieces.capture(3, 300)]
    pieces.stream(0, whole[450:])
    heard.append(pieces.capture(3, 350))
    once.transmit(0, whole, 1)
    assert np.concatenate(heard).tobytes() == once.capture(3, 650).tobytes()


def test_a_stream_behind_a_cyclic_transmission_is_refused():
    air = make(QUIET)
    air.transmit(0, noise_like(8, 1), None)
    with pytest.raises(RadioConfigError, match="stop that first"):
        air.stream(0, noise_like(8, 1))


def test_noise_depends_on_the_capture_not_on_the_clock():
    first, second = make(AirConfig()), make(AirConfig())
    second.elapse(777)
    for air in (first, second):
        air.begin_block(3, 1)
    assert first.capture(3, 50).tobytes() == second.capture(3, 50).tobytes()
    assert first.capture(3, 50).tobytes() == second.capture(3, 50).tobytes()
    again = make(AirConfig())
    again.begin_block(3, 2)
    assert again.capture(3, 50).tobytes() != second.capture(3, 50).tobytes()


def test_a_new_block_silences_everyone_and_redraws_the_gains():
    air = make(AirConfig(snr_db=math.inf))
    before = air.truth()
    air.transmit(0, noise_like(8, 1), None)
    air.begin_block(1, 0)
    assert not air.capture(3, 20).any()
    after = air.truth()
    assert (before.gains != after.gains).all()
    assert np.array_equal(before.cfo_hz, after.cfo_hz)
    assert np.array_equal(before.delays_samples, after.delays_samples)


def test_the_receiver_saturates_at_full_scale_per_component():
    air = make(QUIET)
    for device in range(3):
        air.transmit(device, np.full(8, 0.6 - 0.1j, dtype=np.complex64), 1)
    assert np.allclose(air.capture(3, 8), 1 - 0.3j, atol=1e-6)


def test_the_symbol_level_air_is_the_sum_of_gains_times_symbols_plus_noise():
    config = AirConfig(level="symbol", snr_db=10.0)
    air, quiet = make(config), make(with_settings(config, snr_db=math.inf))
    frames = [noise_like(20_000, device, amplitude=1 / np.sqrt(2)) for device in range(3)]
    for medium in (air, quiet):
        for device, frame in enumerate(frames):
            medium.transmit(device, frame, 1)
    exact = air.truth().gains @ np.array(frames)
    sums = quiet.capture(3, 20_000)
    assert np.abs(sums - exact).max() < 1e-6 * np.abs(exact).max()
    noise = air.capture(3, 20_000) - sums
    assert noise.real.var() == pytest.approx(air.truth().noise_power / 2, rel=5 * np.sqrt(2 / 20_000))
    assert noise.imag.var() == pytest.approx(air.truth().noise_power / 2, rel=5 * np.sqrt(2 / 20_000))


def test_a_station_that_is_not_on_this_air_is_refused():
    air = make(QUIET)
    for call in (lambda: air.capture(4, 10), lambda: air.transmit(-1, noise_like(8, 1), 1)):
        with pytest.raises(RadioConfigError, match=r"devices 0\.\.2 and the access point, 3"):
            call()


def test_time_passes_by_captures_and_elapse_only():
    air = make(QUIET)
    air.transmit(0, noise_like(8, 1), 1)
    air.begin_block(1, 0)
    assert air.clock_samples == 0
    air.capture(3, 5)
    air.elapse(0)
    air.elapse(7)
    assert air.clock_samples == 12
    with pytest.raises(RadioConfigError, match="num_samples"):
        air.elapse(-1)


@pytest.mark.parametrize(
    "config",
    [
        AirConfig(
            doppler_hz=20.0,
            tdl="A",
            delay_spread_s=1e-6,
            start_jitter_samples=30,
            transmitter=TransmitterConfig(ppm_max=25.0, phase_noise_deg=0.5, gain_error_db=0.5),
        ),
        AirConfig(block_correlation=0.9, fading="rice", start_jitter_samples=30),
        AirConfig(level="symbol", block_correlation=0.3),
    ],
    ids=["moving", "correlated", "symbols"],
)
def test_an_air_that_starts_later_is_the_one_that_has_run_until_then(config):
    def play(air: Air, rounds: range) -> list[bytes]:
        heard = []
        for t in rounds:
            air.begin_block(t, 1)
            for device in range(3):
                air.transmit(device, noise_like(300, device), 2)
            heard.append(air.capture(3, 1000).tobytes())
            air.elapse(10_000 + t)
        return heard

    whole = make(config)
    play(whole, range(5))
    resumed = Air(
        config, num_devices=3, seed=1, sample_rate_hz=RATE_HZ, tx_power=0.25, clock_samples=whole.clock_samples
    )
    assert play(resumed, range(5, 10)) == play(whole, range(5, 10))
    assert resumed.truth().to_plain() == whole.truth().to_plain()


def test_measured_losses_and_carriers_replace_draws() -> None:
    config = AirConfig(
        fading="none", path_loss_db=20, path_loss_spread_db=3, path_loss_offsets_db=(-3.0, 0.5),
        cfo_max_hz=50, cfo_offsets_hz=(-50.0, 12.5),
    )  # fmt: skip
    for seed in (1, 2):
        truth = Air(config, num_devices=2, seed=seed, sample_rate_hz=1e6, tx_power=1.0).truth()
        assert (20 * np.log10(np.abs(truth.gains))).tolist() == pytest.approx([-17.0, -20.5])
        assert truth.cfo_hz.tolist() == [-50.0, 12.5]
    with pytest.raises(RadioConfigError, match="got 2 for 3 links; allowed: one for each device"):
        Air(config, num_devices=3, seed=1, sample_rate_hz=1e6, tx_power=1.0)


@pytest.mark.parametrize(
    "settings", [{"path_loss_offsets_db": (0.1,)}, {"cfo_offsets_hz": (20.5,)}, {"cfo_offsets_hz": (float("nan"),)}]
)
def test_measured_offsets_beyond_what_others_rely_on_are_refused(settings: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(RadioConfigError, match="allowed: at most that, on which others rely; raise it"):
        AirConfig(**settings)  # type: ignore[arg-type]
