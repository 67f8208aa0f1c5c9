"""What may be claimed, of which noise, and in which words."""

import math
from dataclasses import replace as dataclass_replace

import msgspec
import pytest

from radio.backends.pluto.config import PlutoSettings
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import BoundsConfig, RunConfig
from testbed.errors import ConfigError
from testbed.planning.checks import check_privacy
from testbed.planning.terms import is_simulated, terms_of

STATIC = ["ground_truth=false", "schedule.name=static"]
GENIE = ["air.level=symbol", "air.csi=genie"]


def on_plutos(pluto: PlutoSettings) -> RunConfig:
    config = resolve(load(None, None, STATIC))
    return msgspec.structs.replace(config, rig=msgspec.structs.replace(config.rig, backend="pluto", pluto=pluto))


def terms(*overrides):
    return terms_of(resolve(load(None, None, [*STATIC, *overrides])))


def test_a_claim_carries_its_threat_model():
    words = terms().statement(1.234)
    for part in (
        "(1.23, 0.01)-differential privacy at client level",
        "honest-but-curious access point",
        "every received sample",
        "nobody colludes",
        "passive devices",
        "receiver's own noise is trusted",
        "batches are not secret",
        "the guarantee itself is void here",
    ):
        assert part in words


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["ground_truth=true"], "ground_truth = true"),
        (["schedule.name=full"], "keeps no budget"),
        (["schedule.name=full", "scheme.name=ideal"], "'ideal' is not one whose leak is known"),
    ],
)
def test_a_void_claim_says_why(overrides, why):
    found = terms(*overrides)
    assert found.void is not None
    assert why in found.statement(1.0)
    assert found.statement(1.0).startswith("VOID: no privacy is claimed")


def test_a_leak_that_cannot_be_stated_voids_the_claim():
    assert terms().statement(None).startswith("VOID: no privacy is claimed")


def test_a_real_rig_is_not_told_that_its_guarantee_is_void():
    assert "void" not in terms_of(on_plutos(PlutoSettings(access_point="usb:1.1.5", devices=("usb:1.2.5",)))).statement(
        1.0
    )


def test_virtual_radios_are_told_that_their_receiver_noise_protects_nobody():
    assert "Virtual radios: the receiver's noise comes from a seed" in terms_of(on_plutos(PlutoSettings())).statement(
        1.0
    )


def test_receiver_noise_counts_on_every_backend_as_all_payloads_end():
    assert terms_of(resolve(load(None, None, STATIC))).crediting.receiver_trusted
    assert terms_of(on_plutos(PlutoSettings())).crediting.receiver_trusted


DECLARED = BoundsConfig(noise_figure_db=3.0, full_scale_dbm=-30.0, doppler_max_hz=0.0, delay_max_samples=0.0)
REAL = PlutoSettings(access_point="usb:1.1.5", devices=("usb:1.2.5",))


def on_a_bench(bounds: BoundsConfig, *overrides: str) -> RunConfig:
    config = resolve(load(None, None, [*STATIC, *overrides]))
    rig = msgspec.structs.replace(config.rig, backend="pluto", pluto=REAL, bounds=bounds)
    return msgspec.structs.replace(config, rig=rig)


def test_real_receivers_are_credited_with_ktbf_and_only_where_everything_is_declared():
    terms = terms_of(on_a_bench(DECLARED))
    assert terms.void is None
    assert terms.bounds is not None
    # −174 dBm/Hz in 1 MHz and 3 dB, against −30 dBm
    assert 10 * math.log10(terms.bounds.noise_power) == pytest.approx(-173.98 + 60 + 3 + 30, abs=1e-9)
    assert terms.bounds.change_power(1.0) == 0.0
    colder = terms_of(on_a_bench(msgspec.structs.replace(DECLARED, temperature_k=145.0)))
    assert colder.bounds is not None
    assert colder.bounds.noise_power == pytest.approx(terms.bounds.noise_power / 2)


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"noise_figure_db": None}, "bounds.noise_figure_db"),
        ({"full_scale_dbm": None}, "bounds.full_scale_dbm"),
        ({"doppler_max_hz": None}, "bounds.doppler_max_hz"),
        ({"delay_max_samples": None}, "bounds.delay_max_samples"),
        ({"doppler_max_hz": 1.0}, "bounds.path_loss_min_db"),
    ],
)
def test_without_a_declared_bound_no_receiver_noise_counts(changed, missing):
    config = on_a_bench(msgspec.structs.replace(DECLARED, **changed), "schedule.name=online")
    terms = terms_of(config)
    assert terms.bounds is None
    assert missing in (terms.void or "")
    with pytest.raises(ConfigError, match=missing):
        check_privacy(config)
    check_privacy(on_a_bench(BoundsConfig(), "schedule.name=online", "privacy.receiver_noise=untrusted"))
    assert terms_of(on_a_bench(BoundsConfig(), "privacy.receiver_noise=untrusted")).void is None


def test_blocks_of_virtual_plutos_that_end_at_any_time_leave_no_bound():
    config = on_plutos(PlutoSettings())
    assert terms_of(config).bounds is not None
    virtual = msgspec.structs.replace(config.rig.virtual, block_ms=10.0)
    config = msgspec.structs.replace(config, rig=msgspec.structs.replace(config.rig, virtual=virtual))
    assert "virtual.block_ms" in (terms_of(config).void or "")


def test_antennas_and_better_receivers_are_charged_and_said():
    usual, better = terms(), terms("privacy.num_antennas=2", "privacy.eavesdropper_advantage_db=10")
    assert better.crediting.payload_energy == pytest.approx(20 * usual.crediting.payload_energy)
    assert "0 dB on each of 1 antenna;" in usual.guarantee
    assert "10 dB on each of 2 antennas;" in better.guarantee


def test_the_floor_of_a_simulated_air_is_its_own_noise():
    found = terms("air.snr_db=7", "air.receiver.noise_figure_db=3")
    air = resolve(load(None, None, [*STATIC, "air.snr_db=7", "air.receiver.noise_figure_db=3"])).rig
    assert found.bounds is not None
    assert found.bounds.noise_power == air.air.noise_power(air.radio.max_power, air.radio.sample_rate_hz)


def test_devices_draw_their_secrets_from_the_system_unless_they_are_simulated():
    assert not is_simulated(on_plutos(PlutoSettings()).rig)
    assert is_simulated(resolve(load(None, None, STATIC)).rig)


def test_others_noise_counts_only_where_everything_is_aligned():
    untrusted = "privacy.receiver_noise=untrusted"
    assert terms(untrusted).crediting.num_noise_sources == 1
    assert terms(untrusted, "air.level=symbol").crediting.num_noise_sources == 1
    assert terms(untrusted, *GENIE).crediting.num_noise_sources == 5
    assert terms(untrusted, *GENIE, "privacy.num_colluders=2").crediting.num_noise_sources == 3
    assert terms(untrusted, *GENIE, "air.doppler_hz=2").crediting.num_noise_sources == 1
    assert "2 of 5 devices collude" in terms(untrusted, *GENIE, "privacy.num_colluders=2").guarantee


def test_a_scheme_whose_devices_can_be_told_apart_is_accounted_per_device():
    found = terms("scheme.name=digital")
    assert not found.crediting.receiver_trusted
    assert found.crediting.num_noise_sources == 1
    assert "local" in found.guarantee


def test_the_cyclic_prefix_is_charged_too():
    assert terms().crediting.payload_energy == pytest.approx((256 + 32) / 256)
    assert terms(*GENIE).crediting.payload_energy == 1


def test_part_of_delta_is_kept_for_estimates_that_turn_out_wrong():
    estimated, known = terms("rounds.num=1000"), terms(*GENIE)
    assert estimated.accountant.limit < known.accountant.limit
    assert 0 < estimated.estimate_failure * 1000 * 2 * 6 <= 0.01 * 0.01 * (1 + 1e-9)
    assert known.estimate_failure == 1
    assert dataclass_replace(known, void="x").statement(1.0) == "VOID: no privacy is claimed: x"


EXAMPLE = ["privacy.level=example", "privacy.adjacency=remove"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["privacy.batch_rate=0.1"], ["privacy.batch_rate", "example level", "'remove'"]),
        (EXAMPLE, ["privacy.adjacency", "'remove'", "known batches", "'replace'", "privacy.batch_rate"]),
        (["privacy.level=example", "privacy.accountant=rdp"], ["privacy.accountant", "batch_rate"]),
        ([*EXAMPLE, "privacy.batch_rate=0.1", "privacy.accountant=exact"], ["privacy.accountant", "'rdp'"]),
        (["privacy.num_colluders=5"], ["privacy.num_colluders", "honest"]),
        (["scheme.name=ideal"], ["schedule.name", "ideal", "full"]),
        (["air.snr_db=inf"], ["schedule.name", "air.snr_db", "untrusted"]),
        (["schedule.name=paper", "privacy.level=example"], ["paper", "client level"]),
        (
            ["schedule.name=online", *EXAMPLE, "privacy.batch_rate=0.1", "privacy.accountant=pld"],
            ["pld", "static"],
        ),
    ],
)
def test_what_cannot_mean_what_it_says_is_refused(overrides, expected):
    with pytest.raises(ConfigError) as caught:
        terms(*overrides)
    for part in expected:
        assert part in str(caught.value)


def test_schedules_that_need_the_future_are_refused_on_real_radios():
    from testbed.planning.checks import check_privacy

    config = resolve(load(None, None, [*STATIC, "schedule.name=solution"]))
    real = msgspec.structs.replace(config, rig=msgspec.structs.replace(config.rig, backend="pluto"))
    with pytest.raises(ConfigError, match="online"):
        check_privacy(real)
