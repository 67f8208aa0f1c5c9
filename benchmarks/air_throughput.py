"""Complex samples per second through the simulated air, on one core and two, beside GNU Radio where it is installed.

    python -m benchmarks.air_throughput [--seconds S]

K transmitters with carrier and sampling offsets, 24 taps, phase noise and noise. GNU Radio's side is as many
`channels.channel_model` blocks, each with 8 taps, an offset and a resampling ratio, times a phase noise
source, summed. Prints one JSON object as its last line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time

import numpy as np

from radio.air.air import Air
from radio.air.config import AirConfig, TransmitterConfig

CAPTURE_SAMPLES = 1 << 20
FRAME_SAMPLES = 10_000
GNURADIO = """
import sys, time
import numpy as np
from gnuradio import analog, blocks, channels, gr

num_transmitters, num_samples = int(sys.argv[1]), int(sys.argv[2])
top = gr.top_block()
draws = np.random.default_rng(1)
total = blocks.add_vcc(1)
for k in range(num_transmitters):
    frame = 0.1 * np.exp(2j * np.pi * draws.uniform(size=10000))
    taps = (draws.normal(size=8) + 1j * draws.normal(size=8)) / 4
    source = blocks.vector_source_c(frame.tolist(), True)
    channel = channels.channel_model(0.01, 2e-5 * (k + 1), 1 + 1e-5 * (k + 1), taps.tolist(), k)
    top.connect(source, channel, channels.phase_noise_gen(0.005, 0.01), (total, k))
head, sink = blocks.head(gr.sizeof_gr_complex, num_samples), blocks.null_sink(gr.sizeof_gr_complex)
top.connect(total, head, sink)
start = time.perf_counter()
top.run()
print(num_samples / (time.perf_counter() - start) / 1e6)
"""


def impaired() -> AirConfig:
    """What the figure claims, and more: TDL-C has 24 taps, here over 7 samples."""
    return AirConfig(
        tdl="C", delay_spread_s=0.8e-6, cfo_max_hz=20.0,
        transmitter=TransmitterConfig(ppm_max=25.0, phase_noise_deg=0.3),
    )  # fmt: skip


def air_msps(num_transmitters: int, num_threads: int, seconds: float) -> float:
    """Mega-samples per second of wall time out of one receiver; the best of the captures that fit."""
    air = Air(
        impaired(), num_devices=num_transmitters, seed=1, sample_rate_hz=1e6, tx_power=0.25, num_threads=num_threads
    )
    draws = np.random.default_rng(1)
    for device in range(num_transmitters):
        frame = 0.1 * np.exp(2j * np.pi * draws.uniform(size=FRAME_SAMPLES))
        air.transmit(device, frame.astype(np.complex64), None)
    air.capture(air.access_point, CAPTURE_SAMPLES // 8)  # compiles
    best, deadline = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < deadline or best == 0:
        start = time.perf_counter()
        air.capture(air.access_point, CAPTURE_SAMPLES)
        best = max(best, CAPTURE_SAMPLES / (time.perf_counter() - start) / 1e6)
    return best


def gnuradio_msps(num_transmitters: int, cores: set[int], seconds: float) -> float | None:
    """The same with GNU Radio's blocks under the system's Python; None where that is not installed."""
    python = "/usr/bin/python3"
    if shutil.which("gnuradio-config-info") is None or not os.path.exists(python):
        return None
    best, deadline = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < deadline or best == 0:
        done = subprocess.run(
            [python, "-c", GNURADIO, str(num_transmitters), str(2 * CAPTURE_SAMPLES)],
            capture_output=True, text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
        best = max(best, float(done.stdout.split()[-1]))
    return best


def main() -> None:
    """Measure both, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    seconds = parser.parse_args().seconds
    every_core = sorted(os.sched_getaffinity(0))
    result: dict[str, float | int | None] = {"num_cores": len(every_core)}
    os.sched_setaffinity(0, set(every_core[:1]))
    for num_transmitters in (1, 5, 20):
        result[f"msps_k{num_transmitters}_one_core"] = round(air_msps(num_transmitters, 1, seconds), 2)
    os.sched_setaffinity(0, set(every_core[:2]))
    for num_transmitters in (1, 5, 20):
        result[f"msps_k{num_transmitters}"] = round(air_msps(num_transmitters, 2, seconds), 2)
    theirs = gnuradio_msps(5, set(every_core[:2]), seconds)
    theirs_one = gnuradio_msps(5, set(every_core[:1]), seconds)
    result["gnuradio_msps_k5"] = theirs and round(theirs, 2)
    result["gnuradio_msps_k5_one_core"] = theirs_one and round(theirs_one, 2)
    result["ratio_to_gnuradio_k5"] = theirs and round(float(result["msps_k5"] or 0) / theirs, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
