"""What every part must do, as tests that a lab derives its own from: one class a kind, one fixture to write."""

import pytest

pytest.register_assert_rewrite(
    "testbed.testing.schemes",
    "testbed.testing.schedules",
    "testbed.testing.optimisers",
    "testbed.testing.radios",
    "testbed.testing.tasks",
)
