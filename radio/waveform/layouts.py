"""Where pilots, data and gaps are in slots and payloads, as symbol indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radio.arrays import Complexes, Indices

MAX_DATA_BETWEEN_PILOTS = 16  # at 288 µs a symbol, offsets up to ±100 Hz stay unambiguous


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotLayout:
    """Where a slot's pilots [P] and data [D] are, as symbol indices."""

    pilots: Indices
    data: Indices

    @property
    def num_symbols(self) -> int:
        """Symbols from the first pilot to the last."""
        return int(self.pilots[-1]) + 1


def sounding_layout(pilot_spacing_symbols: int) -> SlotLayout:
    """Two pilots and no data."""
    return SlotLayout(pilots=np.array([0, pilot_spacing_symbols]), data=np.array([], dtype=np.int64))


def slot_layout(num_data: int) -> SlotLayout:
    """A pilot, then data with a pilot after every MAX_DATA_BETWEEN_PILOTS symbols and at the end."""
    step = MAX_DATA_BETWEEN_PILOTS + 1
    num_runs = max(1, -(-num_data // MAX_DATA_BETWEEN_PILOTS))
    last = num_data + num_runs
    pilots = np.append(np.arange(num_runs) * step, last)
    return SlotLayout(pilots=pilots, data=np.setdiff1d(np.arange(last), pilots))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PayloadLayout:
    """Where a superposed payload's pilots [L], gap and values [Q] are, as symbol indices."""

    before: Indices
    gap: int
    values: Indices
    after: Indices

    @property
    def num_symbols(self) -> int:
        """Symbols from the first pilot to the last."""
        return 2 * self.before.size + 1 + self.values.size


def payload_layout(num_codes: int, num_values: int) -> PayloadLayout:
    """L orthogonal pilots, a silent symbol in which noise is heard, the values, the pilots again."""
    values = num_codes + 1 + np.arange(num_values)
    return PayloadLayout(
        before=np.arange(num_codes),
        gap=num_codes,
        values=values,
        after=num_codes + 1 + num_values + np.arange(num_codes),
    )


def fill_slot(data: Complexes, layout: SlotLayout, *, pilot_amplitude: float) -> Complexes:
    """A slot's symbols: pilots at `pilot_amplitude`, `data` [D] in between, silence elsewhere."""
    symbols = np.zeros(layout.num_symbols, dtype=np.complex128)
    symbols[layout.pilots] = pilot_amplitude
    symbols[layout.data] = data
    return symbols


def interpolate_channel(symbols: Complexes, layout: SlotLayout, *, pilot_amplitude: float) -> Complexes:
    """The channel at a slot's data [D]; phase and magnitude run straight between neighbouring pilots."""
    pilots = symbols[layout.pilots] / pilot_amplitude
    magnitude = np.interp(layout.data, layout.pilots, np.abs(pilots))
    phase_rad = np.interp(layout.data, layout.pilots, np.unwrap(np.angle(pilots)))
    channel: Complexes = magnitude * np.exp(1j * phase_rad)
    return channel


def equalise_slot(symbols: Complexes, layout: SlotLayout, *, pilot_amplitude: float) -> tuple[Complexes, float]:
    """A slot's data [D] divided by the channel, and the mean |ĥ|²; NaN and 0 where nothing was heard."""
    channel = interpolate_channel(symbols, layout, pilot_amplitude=pilot_amplitude)
    if not np.abs(channel).min() > 0:
        return np.full(layout.data.size, np.nan + 0j), 0.0
    return symbols[layout.data] / channel, float(np.mean(np.abs(channel) ** 2))
