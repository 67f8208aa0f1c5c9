"""Every scheme by name, and whether a rig can run it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

from radio.errors import RadioConfigError, SchemeUnsupportedError
from radio.registry import Registry

if TYPE_CHECKING:  # names are asked for where nothing may be slow
    from radio.config import Capabilities
    from radio.schemes.base import Scheme

BUILT_IN = {
    "coherent": "radio.schemes.coherent:Coherent",
    "digital": "radio.schemes.digital:Digital",
    "energy": "radio.schemes.energy:Energy",
    "fsk_vote": "radio.schemes.fsk_vote:FskVote",
    "ideal": "radio.schemes.ideal:Ideal",
    "sign": "radio.schemes.sign:Sign",
}
_SCHEMES: Registry[Scheme] = Registry("scheme", "scheme.name", BUILT_IN, RadioConfigError)
S = TypeVar("S", bound="type[Scheme]")


def register(cls: S) -> S:
    """Add a scheme under its attribute `name`, and return it. Raises RadioConfigError."""
    return _SCHEMES.register(cls)


def scheme_names() -> tuple[str, ...]:
    """All names, sorted."""
    return _SCHEMES.names


def scheme(name: str) -> Scheme:
    """The scheme of that name. Raises RadioConfigError with the nearest match and the names there are."""
    return _one(_SCHEMES.find(name))


@cache
def _one(cls: type[Scheme]) -> Scheme:
    return cls()


def check_support(wanted: Scheme, capabilities: Capabilities) -> None:
    """Raise SchemeUnsupportedError naming what the rig lacks and what to do."""
    lacking = [group for group in wanted.needs if not any(getattr(capabilities, name) for name in group)]
    if not lacking:
        return
    needs = " and ".join(" or ".join(sorted(group)) for group in lacking)
    others = [scheme(name) for name in scheme_names()]
    usable = [other.name for other in others if other.air_override is None and _fits(other, capabilities)]
    raise SchemeUnsupportedError(
        f"scheme {wanted.name!r}: this rig lacks {needs}; add it to the bench and declare it in "
        f"the rig's clock section, or use one of: {', '.join(sorted(usable))}"
    )


def _fits(candidate: Scheme, capabilities: Capabilities) -> bool:
    return all(any(getattr(capabilities, name) for name in group) for group in candidate.needs)
