"""A backend from outside is one class: nothing of ours names it."""

from typing import Any

import msgspec
import pytest

from radio.air.medium import Medium
from radio.backends import registry
from radio.backends.backend import Backend, Setup
from radio.backends.base import Radio
from radio.backends.loopback import LoopbackRadio
from radio.errors import RadioConfigError
from radio.samples import IQ
from testbed.bench.doctor import examine_radio
from testbed.bench.doctor_report import examine
from testbed.bench.rig import resolve
from testbed.commands.screen.terminal import console
from testbed.config.backends import settings_of
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError
from testbed.planning.terms import is_simulated, terms_of
from testbed.rounds.processes import run_in_one_process


class AttenuatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of its own."""

    gain: float = 1.0


class OneWayRadio:
    """No more than a `Radio`: neither does it count samples, nor know slots, nor move its carrier."""

    def __init__(self, inner: LoopbackRadio, gain: float) -> None:
        self._inner, self._gain = inner, gain

    def transmit(self, frame: IQ, *, num_repeats: int) -> None:
        self._inner.transmit((self._gain * frame).astype(frame.dtype), num_repeats=num_repeats)

    def __getattr__(self, name: str) -> Any:
        if name in ("transmit_at", "transmit_after", "stream", "epoch", "shift_carrier"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __enter__(self) -> "OneWayRadio":
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.close()


class Attenuated(Backend):
    """The simulated air behind attenuators."""

    name = "attenuated"
    is_simulated = True
    settings = AttenuatorSettings

    def open(self, settings: AttenuatorSettings, station: int, setup: Setup, medium: Medium | None) -> Radio:
        assert medium is not None
        return OneWayRadio(LoopbackRadio(medium, station, setup.capabilities), settings.gain)  # type: ignore[return-value]


class OnTheBench(Attenuated):
    """The same, said to be hardware."""

    name = "on_the_bench"
    is_simulated = False


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry._BACKENDS, "_registered", dict(registry._BACKENDS._registered))
    registry.register(Attenuated)
    registry.register(OnTheBench)


LIMITS = ("limits.min_freq_hz=900e6", "limits.max_freq_hz=930e6", "limits.max_tx_gain_db=0")


def on(backend: str, *overrides: str) -> RunConfig:
    limits = LIMITS if backend == "on_the_bench" else ()
    return load("loopback", "quickstart", [f"backend={backend}", *limits, *overrides])


def test_a_run_uses_it_by_name_with_settings_of_its_own(tmp_path):
    small = ["rounds.num=2", "rounds.eval_every=2", "task.num_test=8", "learner.batch_size=2", "num_devices=2"]
    attenuated = run_in_one_process(resolve(on("attenuated", "settings.gain=0.5", *small)), out=tmp_path / "half")
    whole = run_in_one_process(resolve(on("attenuated", *small)), out=tmp_path / "whole")
    ours = run_in_one_process(resolve(on("loopback", *small)), out=tmp_path / "ours")
    estimates = [[r.estimate for r in run.directory.read_rounds()] for run in (attenuated, whole, ours)]
    assert estimates[0] != estimates[1] == estimates[2]
    assert len(estimates[2]) == 2


def test_hardware_from_outside_is_asked_nothing_that_only_a_simulation_can_do():
    assert is_simulated(on("attenuated").rig)
    assert not is_simulated(on("on_the_bench").rig)
    for override in ("scheme.name=ideal", "scheme.air_level=symbol"):
        with pytest.raises(RadioConfigError, match="got 'on_the_bench'"):
            resolve(on("on_the_bench", override))
    with pytest.raises(ConfigError, match=r"got no min_freq_hz on a rig whose radios are real"):
        resolve(load("loopback", "quickstart", ["backend=on_the_bench", *LIMITS[1:]]))
    with pytest.raises(ConfigError, match="every channel in advance"):
        resolve(on("on_the_bench", "ground_truth=false", "schedule.name=solution"))


def test_noise_that_is_real_voids_no_claim():
    private = ["ground_truth=false", "schedule.name=static"]
    declared = [
        "bounds.noise_figure_db=3", "bounds.full_scale_dbm=-20", "bounds.doppler_max_hz=1",
        "bounds.delay_max_samples=1", "bounds.path_loss_min_db=30",
    ]  # fmt: skip
    assert terms_of(resolve(on("attenuated", *private))).statement(1.0).startswith("VOID: ")
    found = terms_of(resolve(on("on_the_bench", *private, *declared))).statement(1.0)
    assert found.startswith("VALID for this run alone: (1, 0.01)-differential privacy")
    with pytest.raises(ConfigError, match=r"nobody declared bounds\.noise_figure_db"):
        resolve(on("on_the_bench", *private))


def test_doctor_looks_at_it_as_far_as_it_can_be_looked_at():
    found = examine_radio(on("on_the_bench").rig, 5)
    assert (found.station, found.model, found.problem) == ("access point", "on_the_bench", None)
    assert any(finding.supported for finding in examine(on("attenuated").rig, console(stderr=True)).schemes)


def test_a_misspelt_backend_is_answered_with_the_nearest():
    with pytest.raises(
        ConfigError, match="allowed: attenuated, loopback, on_the_bench, pluto; did you mean 'loopback'"
    ):
        on("lopback")


def test_a_table_that_nobody_reads_is_refused():
    with pytest.raises(ConfigError, match="remove it"):
        resolve(on("loopback", "settings.gain=1"))


def test_its_settings_are_checked_against_its_own_record():
    assert settings_of(on("attenuated", "settings.gain=0.5").rig) == AttenuatorSettings(gain=0.5)
    assert settings_of(on("attenuated").rig) == AttenuatorSettings()
    for wrong in ("settings.gian=0.5", "settings.gain=loud"):
        with pytest.raises(ConfigError, match="backend 'attenuated'"):
            resolve(on("attenuated", wrong))
