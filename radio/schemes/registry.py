"""Every scheme by name, and whether a rig can run it."""

from __future__ import annotations

from radio.config import Capabilities
from radio.errors import RadioConfigError, SchemeUnsupportedError
from radio.schemes.base import Scheme
from radio.schemes.coherent import Coherent
from radio.schemes.digital import Digital
from radio.schemes.energy import Energy
from radio.schemes.fsk_vote import FskVote
from radio.schemes.ideal import Ideal
from radio.schemes.sign import Sign

_ALL: tuple[Scheme, ...] = (Coherent(), Sign(), Energy(), FskVote(), Digital(), Ideal())
_SCHEMES: dict[str, Scheme] = {instance.name: instance for instance in _ALL}

SCHEME_NAMES = tuple(sorted(_SCHEMES))


def scheme(name: str) -> Scheme:
    """The scheme of that name; raises RadioConfigError that lists the names there are."""
    if name not in _SCHEMES:
        raise RadioConfigError(f"scheme: got {name!r}; allowed: {', '.join(SCHEME_NAMES)}")
    return _SCHEMES[name]


def check_support(wanted: Scheme, capabilities: Capabilities) -> None:
    """Raise SchemeUnsupportedError naming what the rig lacks and what to do."""
    lacking = [group for group in wanted.needs if not any(getattr(capabilities, name) for name in group)]
    if not lacking:
        return
    needs = " and ".join(" or ".join(sorted(group)) for group in lacking)
    usable = [other.name for other in _SCHEMES.values() if other.air_override is None and _fits(other, capabilities)]
    raise SchemeUnsupportedError(
        f"scheme {wanted.name!r}: this rig lacks {needs}; add it to the bench and declare it in "
        f"the rig's clock section, or use one of: {', '.join(sorted(usable))}"
    )


def _fits(candidate: Scheme, capabilities: Capabilities) -> bool:
    return all(any(getattr(capabilities, name) for name in group) for group in candidate.needs)
