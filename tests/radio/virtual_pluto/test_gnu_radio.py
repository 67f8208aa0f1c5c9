"""GNU Radio's own blocks against virtual Plutos."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radio.virtual_pluto.config import VirtualConfig
from radio.virtual_pluto.server import VirtualPlutos

from .conftest import QUIET
from .test_virtual_clients import GIVE_UP_S, SYSTEM_PYTHON, opened, run

GNU_RADIO = """
import os, sys
from gnuradio import blocks, gr, iio
uri, num_samples = sys.argv[1], int(sys.argv[2])
source = iio.fmcomms2_source_fc32(uri, [True, True], 32768)
source.set_len_tag_key("")
source.set_frequency(915000000)
source.set_samplerate(2500000)
source.set_gain_mode(0, "manual")
source.set_gain(0, 30)
source.set_quadrature(True)
source.set_filter_params("Auto", "", 0, 0)
top = gr.top_block()
head, sink = blocks.head(gr.sizeof_gr_complex, num_samples), blocks.vector_sink_c()
top.connect(source, head, sink)
top.run()
data = sink.data()
print(len(data), max(abs(x) for x in data), flush=True)
os._exit(0)  # the source's overflow watcher does not end by itself
"""


GNU_RADIO_SINK = """
import os, sys, time
from gnuradio import analog, blocks, gr, iio
sink = iio.fmcomms2_sink_fc32(sys.argv[1], [True, True], 32768, False)
sink.set_len_tag_key("")
sink.set_frequency(915000000)
sink.set_samplerate(2500000)
sink.set_attenuation(0, 30.0)
sink.set_filter_params("Auto", "", 0, 0)
top = gr.top_block()
top.connect(analog.sig_source_c(2500000, analog.GR_COS_WAVE, 250000, 0.5), sink)
top.start()
print("sending", flush=True)
sys.stdin.readline()
os._exit(0)
"""


@pytest.fixture
def gnu_radio() -> Callable[..., list[str]]:
    """A command line that runs a script under the system's Python; skips where that has no GNU Radio."""
    probe = [SYSTEM_PYTHON, "-c", "from gnuradio import gr, iio"]
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("GNU Radio with gr-iio is not installed for the system's Python")
    return lambda script, *arguments: [SYSTEM_PYTHON, "-c", script, *arguments]


def test_gnu_radios_source_reads_samples(
    adi: Any, gnu_radio: Callable[..., list[str]], serve: Callable[..., VirtualPlutos]
) -> None:
    plutos = serve(VirtualConfig(first_port=0, ppm_max=0.0), air=QUIET)
    with opened(adi, plutos.uris[0]) as sender:
        sender.sample_rate = 2_500_000
        sender.tx_cyclic_buffer = True
        sender.tx(np.full(1000, 2**14))
        done = run(*gnu_radio(GNU_RADIO, plutos.uris[1], "200000"))
    num_samples, peak = done.stdout.split()[-2:]
    assert int(num_samples) == 200_000
    assert float(peak) == pytest.approx(0.1, rel=0.05)  # gr-iio divides by 2048
    assert plutos.air.stations[1].chip.sample_rate_hz == 2_500_000


def test_gnu_radios_sink_streams_a_tone_without_gaps(
    adi: Any, gnu_radio: Callable[..., list[str]], serve: Callable[..., VirtualPlutos]
) -> None:
    plutos = serve(VirtualConfig(first_port=0, ppm_max=0.0, hold_s=20.0), air=QUIET)
    with opened(adi, plutos.uris[1]) as receiver:
        receiver.sample_rate = 2_500_000
        receiver.rx_buffer_size = 50_000
        command = gnu_radio(GNU_RADIO_SINK, plutos.uris[0])
        sink = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert sink.stdout is not None
            assert sink.stdout.readline() == "sending\n"
            station = plutos.air.stations[0]
            while len(station.playouts) < 2:
                time.sleep(0.01)
            heard = np.concatenate([receiver.rx() for _ in range(8)])[30_000:]
            turns = np.angle(heard[1:] * heard[:-1].conj()) / (2 * np.pi)
            assert np.abs(turns - 0.1).max() < 0.01  # not one jump of the phase in eleven buffers
            assert not station.underflowed
        finally:
            sink.communicate("stop\n", timeout=GIVE_UP_S)
