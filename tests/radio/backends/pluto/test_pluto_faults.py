"""Start, capture and stop again and again while things go wrong: every fault is a RadioError, nothing is left over."""

import os
import resource
import threading
import time

import numpy as np
import pytest

from radio.air.config import AirConfig
from radio.config import RadioConfig
from radio.errors import RadioError, RadioLinkError
from radio.virtual_pluto.config import Fault
from tests.libiio import require_libiio, virtual_plutos
from tests.radio.backends.pluto.test_pluto_radio import radio

AIR = AirConfig(fading="none", path_loss_db=10.0, snr_db=60.0, cfo_max_hz=0.0, delay_max_samples=0.0)
FAULTS = (
    Fault(kind="busy", command="OPEN", every=37, skip=5, times=0),
    Fault(kind="timeout", command="READBUF", every=41, skip=7, times=0),
    Fault(kind="drop", command="READBUF", every=43, skip=11, times=0),
    Fault(kind="drop", command="WRITEBUF", every=47, skip=13, times=0),
    Fault(kind="drop", command="WRITE", every=301, skip=90, times=0),
    Fault(kind="timeout", command="READ", every=211, skip=40, times=0),
    Fault(kind="silence", command="READBUF", every=151, skip=60, times=0, duration_s=0.6),
    Fault(kind="restart", command="CLOSE", every=173, skip=70, times=0, duration_s=0.05),
)
"""On both radios; a silence is longer than the timeout."""
WARM_UP = 20
GIVE_UP_S = 120.0
"""More than any cycle takes on a busy machine, far less than the ten minutes that a buffer waits."""
STREAM_CAPTURE = 60_000
"""Samples: 15 times what is sent, so that a thread that a busy machine held up is still heard."""
ARRIVING_AMPLITUDE = 0.5 * 10**-0.5


def num_open() -> tuple[int, int]:
    """File descriptors and threads of this process."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


@pytest.mark.parametrize(
    ("mode", "num_cycles"),
    [
        ("cyclic", 60),
        ("stream", 60),
        pytest.param("cyclic", 1000, marks=pytest.mark.long),
        pytest.param("stream", 1000, marks=pytest.mark.long),
    ],
)
def test_cycles_with_faults_leave_nothing_and_hide_nothing(mode, num_cycles):
    require_libiio()
    frame = np.exp(2j * np.pi * np.arange(400) / 8).astype(np.complex64) / 2
    failures, heard_well, reported_late, longest_s = 0, 0, 0, 0.0
    in_doubt = False  # the last cycle reported nothing, but its frame was not heard
    counting = {"streaming": True, "counts_samples": True, "stream_block_samples": 1024} if mode == "stream" else {}
    with virtual_plutos(air=AIR, shared_clock=True, faults=FAULTS, hold_s=1.0) as served:
        with (
            radio(served.uris[0], timeout_s=0.4, **counting) as sender,
            radio(served.uris[1], timeout_s=0.4, **counting) as receiver,
        ):
            for cycle in range(num_cycles):
                if cycle == WARM_UP:
                    before, mib = num_open(), resident_mib()
                began = time.monotonic()
                try:
                    sender.configure(RadioConfig())
                    receiver.configure(RadioConfig())
                    receiver.begin_block(cycle, 1)
                    if mode == "stream":
                        for _ in range(10):
                            sender.stream(frame)
                    else:
                        sender.start_cyclic(frame)
                    if mode == "cyclic":
                        heard = receiver.capture(12_000, skip_samples=3000)
                    else:
                        heard = receiver.capture(STREAM_CAPTURE)
                    sender.stop()
                except RadioError as err:
                    failures += isinstance(err, RadioLinkError)
                    reported_late, in_doubt = reported_late + in_doubt, False
                else:
                    assert not in_doubt, "what a thread could not send is reported by the next call at the latest"
                    num_sent = 12_000 if mode == "cyclic" else 4000
                    well = bool(np.abs(np.fft.fft(heard))[len(heard) // 8] > 0.9 * num_sent * ARRIVING_AMPLITUDE)
                    heard_well, in_doubt = heard_well + well, not well
                longest_s = max(longest_s, time.monotonic() - began)
            after, mib_after = num_open(), resident_mib()
        while served.num_connections:  # until the server's threads see that their clients are gone
            time.sleep(0.01)
    assert failures >= num_cycles // 25, "the faults must have struck"
    assert heard_well + reported_late + in_doubt + failures == num_cycles, "what reports no fault works"
    assert reported_late + in_doubt <= (1 + num_cycles // 100 if mode == "stream" else 0)
    assert longest_s < GIVE_UP_S
    assert after[0] <= before[0] + 12  # connections of the moment, of both ends
    assert after[1] <= before[1] + 8
    assert mib_after - mib < 30
