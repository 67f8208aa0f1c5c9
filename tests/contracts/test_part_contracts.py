"""All built-in parts pass the contracts that a lab's own ones are tested by."""

from typing import Any

import pytest

from learner.config import LearnerConfig
from learner.tasks.registry import BUILT_IN as TASKS
from learner.tasks.registry import template as template_named
from learner.tasks.templates import Template
from radio.schemes.base import Scheme
from radio.schemes.registry import BUILT_IN as SCHEMES
from radio.schemes.registry import scheme as scheme_named
from testbed.config.schema import Experiment, UpdateConfig
from testbed.optimisers.base import Optimiser
from testbed.optimisers.registry import BUILT_IN as OPTIMISERS
from testbed.optimisers.registry import optimiser as optimiser_named
from testbed.schedule.base import Schedule
from testbed.schedule.registry import BUILT_IN as SCHEDULES
from testbed.schedule.registry import schedule as schedule_named
from testbed.testing.optimisers import OptimiserContract
from testbed.testing.schedules import ScheduleContract
from testbed.testing.schemes import SchemeContract
from testbed.testing.tasks import TaskContract


class TestSchemes(SchemeContract):
    @pytest.fixture(params=sorted(SCHEMES))
    def scheme(self, request: pytest.FixtureRequest) -> Scheme:
        return scheme_named(request.param)


class TestSchedules(ScheduleContract):
    @pytest.fixture(params=sorted(SCHEDULES))
    def schedule(self, request: pytest.FixtureRequest) -> Schedule:
        return schedule_named(request.param)


class TestOptimisers(OptimiserContract):
    @pytest.fixture(params=sorted(OPTIMISERS))
    def optimiser(self, request: pytest.FixtureRequest) -> Optimiser[Any]:
        return optimiser_named(request.param)


class TestSgdWithAllThereIs(OptimiserContract):
    @pytest.fixture
    def optimiser(self) -> Optimiser[Any]:
        return optimiser_named("sgd")

    @pytest.fixture(params=["none", "rms", "std"])
    def experiment(self, request: pytest.FixtureRequest) -> Experiment:
        return Experiment(
            learner=LearnerConfig(num_queries=2),
            update=UpdateConfig(
                shrinkage=True,
                noise_aware_step=True,
                normalise=request.param,
                max_step=3.0,
                momentum=0.5,
                decay="cosine",
                warmup_rounds=2,
            ),
        )


class TestTasks(TaskContract):
    @pytest.fixture(params=sorted(TASKS))
    def template(self, request: pytest.FixtureRequest) -> Template:
        return template_named(request.param)
