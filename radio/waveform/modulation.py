"""The symbol block, and how symbols become frames and captures become symbols.

Pilots and payload use one block, so a fractional delay and every filter act on both alike and cancel in ĥ.
The block is a Zadoff-Chu sequence on the 2·max(1, N/32) bins around DC of an N-point grid: narrow enough that
a delay of a few samples costs little amplitude, with nothing on the DC bin (LO leakage) and the band edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radio.arrays import Complexes, Indices, Reals
from radio.config import FrameConfig, RadioConfig
from radio.errors import SignalError
from radio.samples import IQ
from radio.waveform.synchronisation import sync_sequence

OCCUPIED_FRACTION = 32  # bins 1..N/32 on each side of DC
LEAST_CONFINED = 0.999
"""How much of a sequence's energy must be in the band."""
FEWEST_SEQUENCES = 3  # of spans too short for that; one goes with the constant
MAX_SPAN_SAMPLES = 512
POWER_TOLERANCE = 1e-6  # relative, on amplitude: rounding of c/ĥ


@lru_cache
def symbol_block(samples_per_symbol: int) -> Complexes:
    """The block b, shape [N], mean |b|² = 1, read-only; [1.0] for N = 1.

    Of all Zadoff-Chu roots it takes the one with the lowest peak (1.37 for N = 256).
    """
    if samples_per_symbol == 1:
        block = np.ones(1, dtype=np.complex128)
    else:
        edge = max(1, samples_per_symbol // OCCUPIED_FRACTION)
        bins = np.concatenate((np.arange(-edge, 0), np.arange(1, edge + 1)))
        roots = [root for root in range(1, 2 * edge) if math.gcd(root, 2 * edge) == 1]
        candidates = [_on_bins(root, bins, samples_per_symbol) for root in roots]
        block = min(candidates, key=lambda candidate: float(np.abs(candidate).max()))
    block.flags.writeable = False
    return block


def _on_bins(root: int, bins: Indices, num_samples: int) -> Complexes:
    index = np.arange(bins.size)
    spectrum = np.zeros(num_samples, dtype=np.complex128)
    spectrum[bins] = np.exp(-1j * np.pi * root * index**2 / bins.size)
    block: Complexes = np.fft.ifft(spectrum)
    block /= np.sqrt(np.mean(np.abs(block) ** 2))
    return block


def peak_amplitude(samples_per_symbol: int) -> float:
    """The largest |b|."""
    return float(np.abs(symbol_block(samples_per_symbol)).max())


def max_symbol_amplitude(frame: FrameConfig, radio: RadioConfig) -> float:
    """The largest symbol magnitude |a| that keeps mean power |a|² within P and the peak within full scale."""
    peak = peak_amplitude(frame.samples_per_symbol)
    if frame.sync_samples:
        peak = max(peak, float(np.abs(sync_sequence(frame.sync_samples)).max()))
    return min(math.sqrt(radio.max_power), 1 / peak)


@lru_cache
def _prefixed_block(frame: FrameConfig) -> Complexes:
    block = symbol_block(frame.samples_per_symbol)
    return np.concatenate((block[block.size - frame.cyclic_prefix_samples :], block))


def block_response(delays_samples: Reals, frame: FrameConfig) -> Reals:
    """What the matched filter leaves of a block that is late by so many samples, real as its bins are symmetric."""
    edge = max(1, frame.samples_per_symbol // OCCUPIED_FRACTION)
    bins = np.arange(1, edge + 1) / frame.samples_per_symbol
    response: Reals = np.cos(2 * np.pi * np.multiply.outer(delays_samples, bins)).mean(axis=-1)
    return response


def modulate(symbols: Complexes, frame: FrameConfig, *, max_amplitude: float, sync_amplitude: complex = 0.0) -> IQ:
    """Guard, synchronisation part, a prefixed block scaled by each of `symbols` [S], tail; shape [num_samples(S)].

    Raises SignalError for symbols that are not finite or exceed `max_amplitude`.
    """
    if symbols.ndim != 1 or symbols.size == 0:
        raise SignalError(f"symbols: got shape {symbols.shape}; allowed: one non-empty axis")
    largest = max(float(np.abs(symbols).max()), abs(sync_amplitude))
    if not math.isfinite(largest):
        raise SignalError("symbols: got NaN or infinite ones; allowed: finite; look at the values and the CSI")
    if largest > max_amplitude * (1 + POWER_TOLERANCE):
        raise SignalError(
            f"symbols: got one beyond full power; allowed: at most {max_amplitude:.6g} "
            "(max_power_dbfs and full scale); lower the alignment gain"
        )
    samples = np.zeros(frame.num_samples(symbols.size), dtype=np.complex64)
    payload = np.outer(symbols, _prefixed_block(frame)).reshape(-1)
    if frame.sync_samples:
        part = slice(frame.guard_samples, frame.first_symbol_samples)
        samples[part] = sync_amplitude * sync_sequence(frame.sync_samples)
    samples[frame.first_symbol_samples : frame.first_symbol_samples + payload.size] = payload
    return samples


def matched_filter(capture: IQ, num_symbols: int, frame: FrameConfig) -> Complexes:
    """Symbols of a capture that begins with the guard, shape [S], unit gain.

    The window of N samples starts in the middle of the prefix: what is early or late by less than half a
    prefix still sees whole periods. White noise of power N0 leaves with Var(Re) = Var(Im) = N0/(2N).
    """
    needed = frame.num_samples(num_symbols)
    if capture.shape != (needed,):
        raise SignalError(f"capture: got shape {capture.shape}; allowed: ({needed},) for {num_symbols} symbols")
    period, length = frame.symbol_samples, frame.samples_per_symbol
    begin = frame.first_symbol_samples
    periods = capture[begin : begin + num_symbols * period].reshape(num_symbols, period)
    early = frame.cyclic_prefix_samples // 2
    reference = _prefixed_block(frame)[early : early + length]
    symbols: Complexes = periods[:, early : early + length].astype(np.complex128) @ reference.conj()
    symbols /= length
    return symbols


def noise_power_of_guard(capture: IQ, frame: FrameConfig) -> float:
    """N0, total per complex sample, from the first 3/4 of the guard, which filters' pre-ringing spares."""
    return _noise_power(guard_span(capture, frame))


def noise_power_of_gap(capture: IQ, symbol: int, frame: FrameConfig) -> float:
    """N0 from a silent symbol, less what neighbours' delays and filter tails may reach: half a prefix at both ends."""
    return _noise_power(silent_span(capture, symbol, frame))


def _noise_power(quiet: IQ) -> float:
    """Of what is not a constant, which is the receiver's own DC and disturbs no block."""
    samples = quiet.astype(np.complex128)
    return float(np.sum(np.abs(samples - samples.mean()) ** 2) / (samples.size - 1))


def real_noise_variance(noise_power: float, frame: FrameConfig) -> float:
    """N0' = Var(Re z) after the matched filter: N0/(2N)."""
    return noise_power / (2 * frame.samples_per_symbol)


def symbol_snr_db(gain_power: float, noise_variance: float, max_power: float) -> float:
    """P·|h|²/N0' of a symbol at full power; infinite without noise."""
    if noise_variance == 0:
        return math.inf
    snr = max_power * gain_power / noise_variance
    return 10 * math.log10(snr) if snr > 0 else -math.inf


def is_saturated(capture: IQ, frame: FrameConfig) -> bool:
    """Whether any I or Q sits at full scale; symbols have no converter and never saturate."""
    if frame.is_symbol_level:
        return False
    return bool(np.abs(capture.view(np.float32)).max() >= 1)


@dataclass(frozen=True, slots=True)
class InBandNoise:
    """What one silent span showed."""

    energy: float
    """Sum over dimensions, each N0 in the mean."""
    num_dimensions: int
    """Complex ones, independent for white noise."""


def in_band_noise(span: IQ, frame: FrameConfig) -> InBandNoise:
    """How strong the noise is on the payload's bins, from a span in which nobody sends, less its constant.

    The span is projected on discrete prolate spheroidal sequences (Slepian 1978), the signals of its length that are
    most nearly confined to a band. They are orthonormal, so white noise of power N0 has N0 in each of them, and what
    is outside the band is hardly in any. The constant is the receiver's own DC, which hides nothing.
    """
    if frame.is_symbol_level:
        samples = span.astype(np.complex128)
        return InBandNoise(float(np.sum(np.abs(samples - samples.mean()) ** 2)), span.size - 1)
    piece = span[:MAX_SPAN_SAMPLES]
    basis = _sequences(piece.size, frame.samples_per_symbol)
    return InBandNoise(float(np.sum(np.abs(basis @ piece.astype(np.complex128)) ** 2)), basis.shape[0])


def guard_span(capture: IQ, frame: FrameConfig) -> IQ:
    """The first 3/4 of the guard, which filters' pre-ringing spares."""
    return capture[: frame.guard_samples * 3 // 4]


def silent_span(capture: IQ, symbol: int, frame: FrameConfig) -> IQ:
    """A silent symbol, less what its neighbours' delays and filter tails may reach."""
    begin, margin = frame.first_symbol_samples + symbol * frame.symbol_samples, frame.cyclic_prefix_samples
    return capture[begin + margin : begin + frame.symbol_samples - margin // 2]


@lru_cache
def _sequences(num_samples: int, samples_per_symbol: int) -> Reals:
    """Orthonormal rows [dimensions, num_samples], each within the payload's bins and without a constant part."""
    edge = max(1, samples_per_symbol // OCCUPIED_FRACTION)
    half_width = (edge + 0.5) / samples_per_symbol  # cycles per sample
    index = np.arange(num_samples)
    kernel = 2 * half_width * np.sinc(2 * half_width * (index[:, None] - index))
    confined, sequences = np.linalg.eigh(kernel)
    num_kept = max(int(np.count_nonzero(confined >= LEAST_CONFINED)), FEWEST_SEQUENCES)
    kept = sequences[:, -num_kept:]
    constant = kept.sum(axis=0)
    others = np.linalg.svd(constant[None])[2][1:]  # the kept ones' combinations that sum to zero
    rows: Reals = others @ kept.T
    rows.flags.writeable = False
    return rows
