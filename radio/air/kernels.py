"""The inner loops of the simulated air, compiled: interpolating filter, carrier rotation, phase noise.

All loops work on chunks that are fixed in absolute time, and without reordering of sums, so a sample's value does
not depend on where a capture begins or ends, nor on the process that computes it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CHUNK_SAMPLES, MIN_CHUNK_SAMPLES = 256, 4
"""Within a chunk gains move straight: shorter ones where they move fast."""
SEGMENT_SAMPLES = 64
NUM_OCTAVES = 6
OCTAVE_RATIO = 4
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW_16 = np.uint64(0xFFFF)
_STD_OF_16_BITS = 65536.0 / np.sqrt(12.0)


@njit(cache=True, nogil=True)
def interpolator_taps(table, fractions, delays, gains):  # type: ignore[no-untyped-def]
    """FIR taps [B, J] that delay by `delays` [L] − `fractions` [B], each tap weighted by `gains` [B, L].

    `table` [P + 1, 2·HALF] holds the windowed sinc at P phases; neighbours are joined by straight lines.
    """
    num_phases, width = table.shape[0] - 1, table.shape[1]
    span = 0
    for tap in range(delays.size):
        span = max(span, int(np.ceil(delays[tap])) + 1)
    taps = np.zeros((fractions.size, -(-(width + span + 1) // 4) * 4), dtype=np.complex64)
    for b in range(fractions.size):
        for tap in range(delays.size):
            # the kernel K(position + j − half) for j = 0..; position in (−span, 1]
            position = fractions[b] - delays[tap]
            whole = int(np.floor(position))
            phase = (position - whole) * num_phases
            low = min(int(phase), num_phases - 1)
            weight = phase - low
            for m in range(width):
                value = table[low, m] + weight * (table[low + 1, m] - table[low, m])
                taps[b, m - whole + 1] += gains[b, tap] * value
    return taps


@njit(cache=True, nogil=True)
def read_cyclic(samples, begin, first, last, real, imag):  # type: ignore[no-untyped-def]
    """Add a repeating frame to [first, last) of `real` and `imag`; `begin` is how far into it `first` is."""
    length = samples.size
    position = begin % length
    for i in range(first, last):
        real[i] += samples[position].real
        imag[i] += samples[position].imag
        position += 1
        if position == length:
            position = 0


@njit(cache=True, nogil=True)
def filter_chunks(real, imag, offsets, starts, changes, moving, chunk, out):  # type: ignore[no-untyped-def]
    """Each `chunk` samples of `out` are the input [N] behind their FIR, moving straight from `starts` by
    `changes`, both [B, J].

    All float32. J is a multiple of 4: four taps a pass, so that the running sums stay in registers for longer.
    """
    num_chunks = starts.shape[0]
    ar, ai = np.empty(chunk, np.float32), np.empty(chunk, np.float32)
    br, bi = np.empty(chunk, np.float32), np.empty(chunk, np.float32)
    for b in range(num_chunks):
        _accumulate(real, imag, offsets[b], starts[b], ar, ai)
        begin = b * chunk
        if moving:
            _accumulate(real, imag, offsets[b], changes[b], br, bi)
            for i in range(chunk):
                weight = np.float32(i) / np.float32(chunk)
                out[begin + i] = complex(ar[i] + weight * br[i], ai[i] + weight * bi[i])
        else:
            for i in range(chunk):
                out[begin + i] = complex(ar[i], ai[i])


@njit(cache=True, nogil=True)
def _accumulate(real, imag, offset, taps, sum_real, sum_imag):  # type: ignore[no-untyped-def]
    """sum[i] = Σ_j taps[j]·x[offset − j + i]; taps that are all zero are passed over."""
    chunk = sum_real.size
    sum_real[:] = np.float32(0)
    sum_imag[:] = np.float32(0)
    for j in range(0, taps.size, 4):
        t0, t1, t2, t3 = taps[j], taps[j + 1], taps[j + 2], taps[j + 3]
        if t0 == 0 and t1 == 0 and t2 == 0 and t3 == 0:
            continue
        r0, i0, r1, i1 = t0.real, t0.imag, t1.real, t1.imag
        r2, i2, r3, i3 = t2.real, t2.imag, t3.real, t3.imag
        xr = real[offset - j - 3 : offset - j + chunk]
        xi = imag[offset - j - 3 : offset - j + chunk]
        for i in range(chunk):
            sum_real[i] += (
                xr[i + 3] * r0 - xi[i + 3] * i0 + xr[i + 2] * r1 - xi[i + 2] * i1
                + xr[i + 1] * r2 - xi[i + 1] * i2 + xr[i] * r3 - xi[i] * i3
            )  # fmt: skip
            sum_imag[i] += (
                xr[i + 3] * i0 + xi[i + 3] * r0 + xr[i + 2] * i1 + xi[i + 2] * r1
                + xr[i + 1] * i2 + xi[i + 1] * r2 + xr[i] * i3 + xi[i] * r3
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _noise_at(key, octave, knot):  # type: ignore[no-untyped-def]
    """A unit-variance, near-Gaussian number (the sum of four 16-bit uniforms) of a counter."""
    z = np.uint64(key) + np.uint64(octave) * _MIX_1 + np.uint64(knot) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    z = z ^ (z >> np.uint64(31))
    total = 0.0
    for _ in range(4):
        total += float(z & _LOW_16) - 32767.5
        z = z >> np.uint64(16)
    return total / (2.0 * _STD_OF_16_BITS)


@njit(cache=True, nogil=True)
def normal_steps(key, first, count):  # type: ignore[no-untyped-def]
    """Unit-variance, near-Gaussian numbers [count] of the counters from `first` on."""
    steps = np.empty(count, np.float64)
    for i in range(count):
        steps[i] = _noise_at(key, NUM_OCTAVES, first + i)
    return steps


@njit(cache=True, nogil=True)
def phase_noise(key, std_rad, segment):  # type: ignore[no-untyped-def]
    """Phase at the start of a segment: a sum of octaves of straight-line noise, knots 1, 4, 16, … segments apart.

    Between knots a straight line of independent ends has 2/3 of their variance on average, for which the scale makes
    up; the finest octave is read at its knots only, and loses that third when rotation draws its own straight lines.
    """
    total = 0.0
    spacing = 1
    for octave in range(NUM_OCTAVES):
        knot = segment // spacing
        weight = (segment - knot * spacing) / spacing
        total += (1.0 - weight) * _noise_at(key, octave, knot)
        if weight > 0.0:
            total += weight * _noise_at(key, octave, knot + 1)
        spacing *= OCTAVE_RATIO
    return std_rad * np.sqrt(1.5 / NUM_OCTAVES) * total


@njit(cache=True, nogil=True)
def rotate(samples, first_segment, cycles_per_sample, key, std_rad):  # type: ignore[no-untyped-def]
    """Turn whole segments in place by carrier offset and phase noise; within a segment the phase is a straight line."""
    step = 2.0 * np.pi * cycles_per_sample * SEGMENT_SAMPLES
    fine = np.empty(8, np.complex128)
    noise_rad = 0.0
    if std_rad > 0.0:
        noise_rad = phase_noise(key, std_rad, first_segment)
    for s in range(samples.size // SEGMENT_SAMPLES):
        segment = first_segment + s
        cycles = cycles_per_sample * (float(segment) * SEGMENT_SAMPLES)
        start_rad = 2.0 * np.pi * (cycles - np.floor(cycles)) + noise_rad
        turn_rad = step
        if std_rad > 0.0:
            next_rad = phase_noise(key, std_rad, segment + 1)
            turn_rad += next_rad - noise_rad
            noise_rad = next_rad
        turn_rad /= SEGMENT_SAMPLES
        # e^{j(start + i·turn)} as products of 8 fine and 8 coarse phasors: no long chain of multiplications
        turn = complex(np.cos(turn_rad), np.sin(turn_rad))
        fine[0] = 1.0
        for i in range(1, 8):
            fine[i] = fine[i - 1] * turn
        coarse = complex(np.cos(start_rad), np.sin(start_rad))
        for k in range(8):
            begin = s * SEGMENT_SAMPLES + 8 * k
            for i in range(8):
                samples[begin + i] *= coarse * fine[i]
            coarse *= fine[7] * turn
