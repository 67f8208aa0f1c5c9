"""What may be promised of a scheme or schedule of somebody else's follows from the facts that it declares."""

import numpy as np
import pytest

from radio.schemes import registry as schemes
from radio.schemes.coherent import Coherent
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.errors import ConfigError
from testbed.plan.planner import Planner
from testbed.plan.preview import plan_of
from testbed.plan.terms import terms_of
from testbed.schedule import registry as schedules
from testbed.schedule.base import Schedule, Scope
from tests.parts import keep_parts

PRIVATE = ["ground_truth=false", "rounds.num=20", "scheme.name=mine"]


@pytest.fixture(autouse=True)
def _only_built_in_parts_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_parts(monkeypatch)


def scheme_with(**facts: object) -> None:
    schemes.register(type("Mine", (Coherent,), {"name": "mine", **facts}))


def schedule_with(**facts: object) -> None:
    schedules.register(
        type("Own", (Schedule,), {"name": "own", "leaks": lambda self, p: np.full(p.num_rounds, 0.01), **facts})
    )


def config(*overrides: str):
    return resolve(load(None, None, [*PRIVATE, *overrides]))


def terms(*overrides: str):
    return terms_of(config(*overrides))


@pytest.mark.parametrize("schedule", sorted(schedules.BUILT_IN))
@pytest.mark.parametrize("exposes", ["sum", "each"])
def test_a_scheme_that_says_what_it_exposes_is_accepted_with_every_schedule(schedule: str, exposes: str) -> None:
    scheme_with(exposes=exposes)
    if (schedule, exposes) == ("paper", "each"):
        with pytest.raises(ConfigError, match="trusted receiver noise of a sum"):
            terms(f"schedule.name={schedule}")
        return
    found = terms(f"schedule.name={schedule}")
    assert found.crediting.receiver_trusted == (exposes == "sum")
    assert (found.void is None) == (schedule != "full")


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        ({"exposes": "unknown"}, "exposes = 'unknown', not 'sum' or 'each'"),
        ({"exposes": "some"}, "exposes = 'some', not 'sum' or 'each'"),
        ({"mapped": lambda self, values: 3 * values}, "sent_bound = None though it maps values"),
        ({"sent_bound": 0.0}, "sent_bound = 0.0, which is no bound"),
    ],
)
def test_a_scheme_without_a_fact_is_refused_with_the_fact(facts: dict[str, object], missing: str) -> None:
    scheme_with(**facts)
    with pytest.raises(ConfigError) as caught:
        terms("schedule.name=static")
    assert missing in str(caught.value)
    assert "allowed: schedule 'full', or a scheme that states it: coherent, digital" in str(caught.value)
    void = terms("schedule.name=full").void
    assert void is not None
    assert missing in void


def test_what_a_scheme_sends_decides_how_far_one_client_can_move_it() -> None:
    scheme_with(sent_bound=3.0, mapped=lambda self, values: 3 * np.tanh(values))
    found = terms("schedule.name=static", "learner.num_queries=4")
    assert (found.clip, found.sensitivity) == (3.0, 2 * 3.0 * 2)


def test_every_symbol_that_a_scheme_spends_on_a_value_is_charged() -> None:
    scheme_with()
    once = terms("schedule.name=static").crediting.payload_energy
    scheme_with(frame_symbols=lambda self, num_queries: 3 * num_queries)
    assert terms("schedule.name=static").crediting.payload_energy == pytest.approx(3 * once)


def test_a_schedule_with_a_scope_is_refused_beyond_it() -> None:
    scheme_with()
    schedule_with(scope=Scope(level="example", adjacency="replace", accountant="zcdp"))
    with pytest.raises(ConfigError, match=r"got 'own' at client level.*allowed: example level, 'replace', 'zcdp'"):
        terms("schedule.name=own")
    assert "zCDP" in terms("schedule.name=own", "privacy.level=example").guarantee


def test_a_schedule_with_equal_rounds_may_be_judged_by_privacy_loss_distributions() -> None:
    scheme_with()
    sampled = [
        "privacy.level=example", "privacy.adjacency=remove", "privacy.batch_rate=0.1", "privacy.accountant=pld",
    ]  # fmt: skip
    schedule_with()
    with pytest.raises(ConfigError, match="allowed: 'static'; use"):
        terms("schedule.name=own", *sampled)
    schedule_with(has_equal_rounds=True)
    assert terms("schedule.name=own", *sampled).void is None


@pytest.mark.parametrize(
    "leaks", [lambda self, p: np.full(3, 1.0), lambda self, p: p.caps * np.nan, lambda self, p: -p.caps]
)
def test_leaks_that_are_none_are_refused_before_the_run(leaks: object) -> None:
    scheme_with()
    schedule_with(leaks=leaks)
    made = config("schedule.name=own")
    with pytest.raises(ConfigError, match="schedule 'own': got leaks of shape"):
        Planner(made, terms_of(made))


def test_a_plan_shows_the_experiments_own_schedule_beside_the_others() -> None:
    scheme_with()
    schedule_with()
    found = plan_of(config("schedule.name=own"))
    assert [each.name for each in found.previews] == [
        "solution", "online", "static", "reversed", "paper", "full", "own",
    ]  # fmt: skip
    assert found.preview("own").gap > 1
    assert found.preview("own").num_silent == 0
