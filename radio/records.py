"""What travels through a round: the plan, what a device knows of its channel, what was received, the estimate.

`Plan` and `Csi` also travel on the wire, as they are: strict, and checked however they are built.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from operator import lt

import msgspec

from radio.arrays import Complexes, Reals
from radio.errors import SignalError

NOISE_CLIP_STDS = 4.0  # docs/method.md §1: p + n is clipped at ±(clip + 4σ) before precoding


class Csi(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """What a device is told of its own channel: the gain at the first payload symbol, and how it turns.

    Raises SignalError for what is not finite.
    """

    gain: complex
    cfo_hz: float = 0.0
    resource_powers: tuple[float, float] | None = None
    """|h|² on the two resources of a noncoherent scheme."""

    def __post_init__(self) -> None:
        for name, fine in (
            ("gain", cmath.isfinite(self.gain)),
            ("cfo_hz", math.isfinite(self.cfo_hz)),
            ("resource_powers", all(math.isfinite(power) for power in self.resource_powers or ())),
        ):
            if not fine:
                raise SignalError(f"csi.{name}: got {getattr(self, name)!r}; allowed: finite; sound the channel again")


def value_bound(clip: float, noise_std: float) -> float:
    """The public bound on |p + n| beyond which devices clip."""
    return clip + NOISE_CLIP_STDS * noise_std


def _ascends(devices: tuple[int, ...]) -> bool:
    return not devices or (devices[0] >= 0 and all(map(lt, devices, devices[1:])))


class Plan(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """What the access point announces for one round; public. Raises SignalError for what cannot be sent."""

    gain: float
    """c: as what a value of 1 arrives, in amplitude or, of tones, in power; 0 is a silent round. Digital ignores it."""
    artificial_noise_std: float
    """σ that every active device adds to each value."""
    clip: float
    """γ: values are clipped to ±γ before the noise."""
    num_queries: int
    """Q, values per device."""
    active: tuple[int, ...]
    """Devices that transmit, ascending."""
    ridge: float = 0.0
    """λ of regularised inversion; 0 inverts channels fully."""
    round_index: int = 0
    """Pilots move on by one code a round, so that who sends in the wrong round is noticed."""

    def __post_init__(self) -> None:
        for name, allowed, fine in (
            ("gain", "finite and >= 0", 0 <= self.gain < math.inf),
            ("artificial_noise_std", "finite and >= 0", 0 <= self.artificial_noise_std < math.inf),
            ("clip", "finite and > 0", 0 < self.clip < math.inf),
            ("num_queries", "at least 1", self.num_queries >= 1),
            ("ridge", "finite and >= 0", 0 <= self.ridge < math.inf),
            ("round_index", "at least 0", self.round_index >= 0),
            ("active", "distinct, ascending, >= 0", _ascends(self.active)),
        ):
            if not fine:
                raise SignalError(f"plan.{name}: got {getattr(self, name)!r}; allowed: {allowed}")

    @property
    def value_bound(self) -> float:
        """The public bound on a value with its noise."""
        return value_bound(self.clip, self.artificial_noise_std)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Received:
    """One received payload: of all devices at once, or of one device's slot."""

    symbols: Complexes
    """Shape [S], after the matched filter; those of slots are divided by the channel. Empty for tones."""
    noise_variance: float
    """N0' = Var(Re z) of a symbol after the matched filter: N0/(2N)."""
    symbol_snr_db: float
    """P·mean|ĥ|²/N0' of the devices that were heard."""
    saturated: bool = False
    """Whether the receiver hit full scale."""
    device: int | None = None
    """Whose slot it is; None when superposed."""
    energies: Reals | None = None
    """Of tones, mean power on each resource, shape [Q, 2]."""
    energy_variances: Reals | None = None
    """Their variances, shape [Q, 2]."""
    misalignment: float = 0.0
    """Σ_k E(g_k − 1)² over the active devices, g_k being what of device k's value arrives, over c."""
    value_power: float = 0.0
    """E p_k² as known to the access point; misalignment costs in proportion to it."""
    problem: str | None = None
    """What makes the payload useless whatever the scheme."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """The access point's estimate of the mean over the active devices; of votes, of their majority."""

    values: Reals
    """Shape [Q]; NaN when rejected."""
    error_variance: Reals
    """Shape [Q]: receiver and artificial noise, misalignment (and quantisation); infinite when rejected."""
    symbol_snr_db: float
    rejected: str | None = None
    """Why the round must not be used."""
