"""The law of everything radiated in one round, for each scheme and schedule: whole runs with forced rejections."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from radio.link.block import Channels
from radio.link.device import DeviceLink
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.rounds.processes import run_in_one_process
from testbed.schedule.power import Power, credited_noise

SMALL = ("rounds.num=4", "rounds.eval_every=4", "rounds.max_attempts=3", "task.num_test=16", "num_devices=2")
CASES = [
    (scheme, schedule)
    for scheme in ("coherent", "sign", "energy", "fsk_vote", "digital")
    for schedule in ("static", "solution", "reversed", "online")
] + [("coherent", "paper")]


@pytest.fixture
def radiated(monkeypatch):
    """(round, device) → the values of every payload that left a radio, and under which plan; first attempts fail."""
    sent = defaultdict(list)
    send, receive = DeviceLink.send_values, Channels.receive

    def sending(link, values, plan, *rest, **named):
        sent[plan.round_index, link._device].append((values.copy(), plan))
        return send(link, values, plan, *rest, **named)

    def receiving(channels, plan, poll):
        reception = receive(channels, plan, poll)
        if all(len(those) < 3 for (t, _), those in sent.items() if t == plan.round_index):
            return replace(reception, estimate=replace(reception.estimate, rejected="receiver saturated"))
        return reception

    monkeypatch.setattr(DeviceLink, "send_values", sending)
    monkeypatch.setattr(Channels, "receive", receiving)
    return sent


@pytest.mark.parametrize(("scheme", "schedule"), CASES)
def test_nothing_that_a_round_radiates_together_has_less_noise_than_was_charged(scheme, schedule, radiated, tmp_path):
    noise = "untrusted" if schedule != "paper" else "trusted"
    config = resolve(
        load(
            None,
            None,
            [*SMALL, f"scheme.name={scheme}", f"schedule.name={schedule}", f"privacy.receiver_noise={noise}",
             "ground_truth=false"],
        )
    )  # fmt: skip
    run_in_one_process(config, out=tmp_path / "run")
    terms = terms_of(config)
    spent = defaultdict(float)
    for record in j.read(tmp_path / "run" / "journal.bin"):
        if isinstance(record, j.Spent):
            assert record.rho is not None
            spent[record.round] += record.rho
    assert max(len(those) for those in radiated.values()) == 3
    for (round_index, _), those in radiated.items():
        values, plans = zip(*those, strict=True)
        assert len({plan.artificial_noise_std for plan in plans}) == 1
        for again in values[1:]:
            np.testing.assert_array_equal(again, values[0])
        if not terms.crediting.receiver_trusted:
            # equal values are one observation: its noise is the artificial one, and no combination has less
            least = terms.crediting.num_noise_sources * plans[0].artificial_noise_std ** 2
            assert spent[round_index] >= terms.sensitivity**2 / (2 * least) * (1 - 1e-9)
    assert sum(spent.values()) <= terms.accountant.limit


def test_receiver_noise_of_every_attempt_is_charged_as_if_all_were_averaged(radiated, tmp_path):
    config = resolve(
        load(None, None, [*SMALL, "schedule.name=static", "air.level=symbol", "air.csi=genie", "ground_truth=false"])
    )
    run_in_one_process(config, out=tmp_path / "run")
    terms = terms_of(config)
    spent = defaultdict(float)
    for record in j.read(tmp_path / "run" / "journal.bin"):
        if isinstance(record, j.Spent):
            spent[record.round] += record.rho or 0.0
    rig = config.rig
    variance = rig.air.noise_power(rig.radio.max_power) / 2  # N0' of a symbol
    for round_index in {t for t, _ in radiated}:
        plans = [plan for _, plan in radiated[round_index, 0]]
        gain = np.sqrt(sum(plan.gain**2 for plan in plans))
        assert plans[0].artificial_noise_std == 0
        noise = credited_noise(Power(gain=float(gain), noise_std=0.0), variance, terms.crediting)
        assert spent[round_index] == pytest.approx(terms.sensitivity**2 / (2 * noise), rel=1e-6)
