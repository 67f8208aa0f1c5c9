"""Names are known before anything slow is imported."""

import subprocess
import sys


def test_no_registry_of_names_imports_anything_that_computes() -> None:
    asked = (
        "import sys; from radio.schemes.registry import scheme_names; from testbed.schedule.registry import "
        "schedule_names; from testbed.optimisers.registry import optimiser_names; "
        "scheme_names(), schedule_names(), optimiser_names(); "
        "print([name for name in ('scipy', 'numba', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
