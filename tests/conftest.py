"""Where CI requires libiio (AIRZERO_REQUIRE_LIBIIO), a test that is skipped for want of it has failed."""

import os
from collections.abc import Generator

import pytest

OF_LIBIIO = ("libiio", "iio_info", "iiod")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
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
