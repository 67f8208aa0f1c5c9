"""Shares the machine between the workers of a run, and keeps its user's keys out of it. And where CI requires libiio
(AIRZERO_REQUIRE_LIBIIO), network namespaces or Chromium, a test that is skipped for want of it has failed.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

OF_LIBIIO = ("libiio", "iio_info", "iiod")
STARTED_FIRST = "tests/system/"
"""The longest tests: what is left to the end is short, so that all workers end together."""

if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # before anything imports torch or numba
    num_workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_workers)))
    # two processes that save two signatures of one kernel at the same time would mix them up
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "numba" / worker))

os.environ["AIRZERO_KEYS"] = tempfile.mkdtemp(prefix="airzero-keys-")  # processes that tests start inherit it
atexit.register(shutil.rmtree, os.environ["AIRZERO_KEYS"], ignore_errors=True)

settings.register_profile("as_slow_as_it_likes", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("as_slow_as_it_likes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(STARTED_FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("AIRZERO_REQUIRE_NETNS") and report.skipped and "network namespaces" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, but AIRZERO_REQUIRE_NETNS is set: {report.longrepr}"
    if os.environ.get("AIRZERO_REQUIRE_CHROMIUM") and report.skipped and "Chromium" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, but AIRZERO_REQUIRE_CHROMIUM is set: {report.longrepr}"
    required = bool(os.environ.get("AIRZERO_REQUIRE_LIBIIO"))
    if required and report.skipped and any(name in str(report.longrepr) for name in OF_LIBIIO):
        report.outcome = "failed"
        report.longrepr = f"skipped, but AIRZERO_REQUIRE_LIBIIO is set: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if any(n in str(r.longrepr) for n in OF_LIBIIO)]
    if skipped:
        remedy = "as root: apt-get install -y libiio0 libiio-utils"
        terminalreporter.write_line(f"*** {len(skipped)} PlutoSDR tests were NOT run; {remedy}", red=True)
