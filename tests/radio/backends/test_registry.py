"""Backends by name: ours without an import, others by one decorator."""

import subprocess
import sys
from typing import Any

import pytest

from radio.air.medium import Medium
from radio.backends import registry
from radio.backends.backend import Backend, Setup
from radio.backends.base import Radio
from radio.errors import RadioConfigError


@pytest.fixture(autouse=True)
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten behind it."""
    monkeypatch.setattr(registry._BACKENDS, "_registered", {})


def make(name: str) -> type[Backend]:
    class Mine(Backend):
        def open(self, settings: Any, station: int, setup: Setup, medium: Medium | None) -> Radio:
            raise NotImplementedError

    Mine.name = name
    return Mine


def test_a_decorated_class_is_a_backend_of_its_name():
    mine = make("mine")
    assert registry.register(mine) is mine
    assert isinstance(registry.backend("mine"), mine)
    assert registry.backend_names() == ("loopback", "mine", "pluto")
    registry.register(mine)


def test_an_unknown_name_is_answered_with_the_names_and_the_nearest():
    registry.register(make("usrp"))
    with pytest.raises(RadioConfigError, match=r"got 'plutoo'; allowed: loopback, pluto, usrp; did you mean 'pluto'"):
        registry.backend("plutoo")
    with pytest.raises(RadioConfigError, match=r"allowed: loopback, pluto, usrp$"):
        registry.backend("?")


@pytest.mark.parametrize("name", ["pluto", "loopback", "taken", ""])
def test_a_name_that_is_taken_or_missing_is_refused(name: str):
    class Other(make("taken")):  # type: ignore[misc]
        pass

    registry.register(Other)
    with pytest.raises(RadioConfigError, match=r"rename one|a text, by which"):
        registry.register(make(name))


@pytest.mark.parametrize("name", ["loopback", "pluto"])
def test_ours_are_found_by_the_names_that_they_have(name: str):
    assert registry.backend(name).name == name
    assert registry.backend(name).is_simulated == (name == "loopback")


def test_names_are_known_without_importing_a_backend():
    code = "import sys; from radio.backends.registry import backend_names; print(backend_names()); "
    code += "print(sorted(set(sys.modules) & {'numba', 'scipy', 'adi', 'radio.backends.loopback'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["('loopback', 'pluto')", "[]"]
