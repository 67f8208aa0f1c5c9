"""Settings are refused with key, value and allowed range, from TOML and from Python alike."""

import math

import msgspec
import pytest

from radio.air.config import AirConfig, check_compatible
from radio.config import FrameConfig, RadioConfig
from radio.errors import RadioConfigError

BAD = [
    (AirConfig, {"cfo_max_hz": -1.0}),
    (AirConfig, {"snr_db": math.nan}),
    (AirConfig, {"path_loss_db": math.inf}),
    (AirConfig, {"level": "chip"}),
    (AirConfig, {"start_jitter_samples": -1}),
    (FrameConfig, {"samples_per_symbol": 0}),
    (FrameConfig, {"samples_per_symbol": 6}),
    (FrameConfig, {"cyclic_prefix_samples": 30}),
    (FrameConfig, {"cyclic_prefix_samples": 512}),
    (FrameConfig, {"guard_samples": 8}),
    (FrameConfig, {"pilot_spacing_symbols": 0}),
    (RadioConfig, {"sample_rate_hz": 0.0}),
    (RadioConfig, {"max_power_dbfs": 0.1}),
]


@pytest.mark.parametrize(("record", "setting"), BAD)
def test_a_bad_setting_is_refused_in_python_with_its_name(record, setting):
    with pytest.raises(RadioConfigError, match=rf"{next(iter(setting))}.*got.*allowed"):
        record(**setting)


@pytest.mark.parametrize(("record", "setting"), BAD)
def test_a_bad_setting_is_refused_when_decoded(record, setting):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(setting, record)


def test_an_unknown_key_is_an_error():
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"snr": 3.0}, AirConfig)


def test_a_whole_number_from_toml_is_a_fine_decibel_value():
    assert msgspec.convert({"snr_db": 7}, AirConfig).snr_db == 7.0


def test_infinite_snr_is_a_noiseless_air():
    assert AirConfig(snr_db=math.inf).noise_power(0.25) == 0.0


def test_noise_power_follows_from_snr_power_and_path_loss():
    config = AirConfig(snr_db=20.0, path_loss_db=20.0)
    assert config.noise_power(0.25) == pytest.approx(0.25 * 1e-2 * 1e-2, rel=1e-12)


def test_genie_csi_is_refused_on_the_sample_level():
    with pytest.raises(RadioConfigError, match="genie"):
        AirConfig(csi="genie")
    assert AirConfig(csi="genie", level="symbol").csi == "genie"


def test_a_frame_of_the_other_level_is_refused():
    with pytest.raises(RadioConfigError, match="samples_per_symbol"):
        check_compatible(AirConfig(level="symbol"), FrameConfig())
    with pytest.raises(RadioConfigError, match="samples_per_symbol"):
        check_compatible(AirConfig(), FrameConfig.symbol_level())
    check_compatible(AirConfig(), FrameConfig())
    check_compatible(AirConfig(level="symbol"), FrameConfig().for_level("symbol"))


def test_delays_beyond_half_the_prefix_are_refused():
    with pytest.raises(RadioConfigError, match="prefix"):
        check_compatible(AirConfig(delay_max_samples=2.0, start_jitter_samples=15), FrameConfig())


@pytest.mark.parametrize("num_symbols", range(1, 10))
def test_every_frame_is_a_multiple_of_four_samples(num_symbols):
    for frame in (FrameConfig(), FrameConfig.symbol_level()):
        assert frame.num_samples(num_symbols) % 4 == 0
        assert frame.num_samples(num_symbols) >= frame.guard_samples + num_symbols * frame.symbol_samples
