"""Parts of other packages: found by decorator or entry point, and refused in one line that says whose they are."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import testbed
from radio.errors import RadioConfigError
from radio.schemes import registry as schemes
from radio.schemes.coherent import Coherent
from testbed import plugins
from testbed.errors import ConfigError
from testbed.optimisers import registry as optimisers
from testbed.optimisers.sgd import Sgd
from testbed.schedule import registry as schedules
from testbed.schedule.static import Static
from tests.parts import keep_parts

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def _only_built_in_parts_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_parts(monkeypatch)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package of one module, with entry points, as pip leaves it."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(package: str, module: str, source: str, *entry_points: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{package.replace('-', '_')}-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text("[testbed.plugins]\n" + "\n".join(entry_points) + "\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make


SOURCE = """
from testbed import register
from testbed.schedule.static import Static

@register
class Flat(Static):
    name = "flat"
"""


def test_the_decorator_sends_a_class_to_the_registry_of_its_kind() -> None:
    @testbed.register
    class Mine(Coherent):
        name = "mine"

    @testbed.register
    class Other(Sgd):
        name = "other"

    assert isinstance(schemes.scheme("mine"), Mine)
    assert isinstance(optimisers.optimiser("other"), Other)
    assert "mine" in plugins.registered("scheme")
    assert "mine" not in plugins.registered("schedule")


def test_what_is_no_part_is_refused_with_what_would_be_one() -> None:
    with pytest.raises(ConfigError, match=r"got <class 'int'>; allowed: .*radio\.schemes\.base\.Scheme"):
        testbed.register(int)


@pytest.mark.parametrize("value", ["flat_part", "flat_part:Flat"])
def test_an_entry_point_names_a_module_or_a_class(install: Install, value: str) -> None:
    install("lab-flat", "flat_part", SOURCE, f"flat = {value}")
    assert type(schedules.schedule("flat")).__name__ == "Flat"
    assert "flat" in plugins.registered("schedule")


def test_nothing_is_loaded_while_only_built_in_names_are_asked_for(install: Install) -> None:
    install("lab-broken", "broken_part", "1 / 0", "broken = broken_part")
    for name in schedules.BUILT_IN:
        schedules.schedule(name)
    assert plugins.look_for("scheme", "coherent")
    assert "broken_part" not in sys.modules


@pytest.mark.parametrize(
    ("source", "value", "cause"),
    [
        ("1 / 0", "part", "ZeroDivisionError: division by zero"),
        ("import no_such_module", "part", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1", "part:x", "it is 1; allowed: a class, or a module that registers some"),
        ("x = 1", "part:y", "AttributeError"),
        ("class Nothing:\n    name = 'a'", "part:Nothing", "allowed: a class derived from one of"),
        ("raise ValueError('two\\n\\nlines')", "part", "ValueError: two lines"),
    ],
)
def test_a_broken_plug_in_is_one_line_with_its_package_and_cause(
    install: Install, source: str, value: str, cause: str
) -> None:
    install("lab-broken", "part", source, f"broken = {value}")
    for _ in range(2):  # unknown means refuse, each time
        with pytest.raises(ConfigError) as caught:
            schedules.schedule("flat")
        assert str(caught.value).startswith(f"plug-in 'broken' of lab-broken 2.0 ({value}): ")
        assert cause in str(caught.value)
        assert "\n" not in str(caught.value)


def test_two_parts_of_one_name_are_refused(install: Install) -> None:
    install("lab-one", "one_part", SOURCE, "flat = one_part")
    install("lab-two", "two_part", SOURCE, "flat = two_part")
    with pytest.raises(ConfigError, match=r"plug-in 'flat' of lab-(one|two) 2\.0 .*got two, \w+_part:Flat and"):
        plugins.registered("schedule")


def test_a_built_in_name_cannot_be_taken() -> None:
    with pytest.raises(ConfigError, match=r"schedule 'static': got two, testbed\.schedule\.static:Static and"):
        testbed.register(type("Mine", (Static,), {}))
    with pytest.raises(RadioConfigError, match="scheme 'coherent': got two"):
        testbed.register(type("Mine", (Coherent,), {}))


def test_a_class_that_is_defined_again_replaces_itself() -> None:
    for bound in (1.0, 2.0):
        testbed.register(type("Mine", (Coherent,), {"name": "mine", "sent_bound": bound}))
    assert schemes.scheme("mine").sent_bound == 2.0


def test_a_part_with_something_missing_says_what() -> None:
    from testbed.schedule.base import Schedule

    with pytest.raises(ConfigError, match=r"schedule 'mine': .* lacks leaks; write what is missing"):
        testbed.register(type("Mine", (Schedule,), {"name": "mine"}))
    with pytest.raises(ConfigError, match=r"got name None; allowed: a text"):
        testbed.register(type("Mine", (Schedule,), {"leaks": lambda self, problem: problem.caps}))


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (
            lambda: schedules.schedule("onlin"),
            "schedule.name: got 'onlin'; allowed: full, online, ",
        ),
        (lambda: schemes.scheme("coherant"), "scheme.name: got 'coherant'; allowed: coherent, "),
        (lambda: optimisers.optimiser("adam"), "update.optimiser: got 'adam'; allowed: sgd"),
    ],
)
def test_a_name_that_nobody_has_is_answered_with_the_nearest_and_all(ask: Callable[[], object], expected: str) -> None:
    with pytest.raises((ConfigError, RadioConfigError)) as caught:
        ask()
    assert str(caught.value).startswith(expected)
