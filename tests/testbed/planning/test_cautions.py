"""A δ that allows giving one record away is said, wherever a promise is."""

import pytest

from learner.config import EMBEDDED_NUM_TRAIN, TaskConfig
from learner.tasks.reading.sources import read_examples
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.planning.cautions import cautions


def said(*overrides: str) -> list[str]:
    return cautions(resolve(load(None, None, ["ground_truth=false", "schedule.name=static", *overrides])))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["num_devices=100"], "not below 1/100, one over the number of clients"),
        (["privacy.level=example"], "not below 1/2000, one over the number of training examples"),
        (["privacy.level=example", "task.num_train=100"], "not below 1/100, one"),
        (["privacy.level=example", "task.path=elsewhere"], "many more than 100 training examples"),
    ],
)
def test_a_delta_of_a_hundredth_is_too_much_for_a_hundred(overrides: list[str], expected: str) -> None:
    (caution,) = said(*overrides)
    assert expected in caution


def test_nothing_is_said_of_a_small_delta() -> None:
    assert said("num_devices=5") == []
    assert said("privacy.level=example", "privacy.dp_delta=1e-5") == []


def test_the_number_of_reviews_in_the_package_is_the_stated_one() -> None:
    assert len(read_examples(TaskConfig(), seed=0).train) == EMBEDDED_NUM_TRAIN
