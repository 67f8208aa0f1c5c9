"""The roots of all expected failures, for the one place that turns them into a line and an exit code."""

from learner.errors import LearnerError
from radio.errors import RadioError
from testbed.errors import TestbedError

EXPECTED = (TestbedError, LearnerError, RadioError)
