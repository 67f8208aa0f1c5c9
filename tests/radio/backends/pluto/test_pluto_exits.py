"""However a process with a transmitting radio ends, and whoever dies first: silence, muted, and no crash."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from radio.air.config import AirConfig
from radio.backends.pluto.tuning import MUTED_DB
from radio.config import RadioConfig
from radio.virtual_pluto.server import VirtualPlutos
from tests.dispositions import as_from_a_terminal
from tests.libiio import require_libiio, virtual_plutos
from tests.radio.backends.pluto.test_pluto_radio import radio, tx_gain_db

ROOT = Path(__file__).parent.parent.parent.parent.parent
AIR = AirConfig(fading="none", path_loss_db=10.0, snr_db=60.0, cfo_max_hz=0.0, delay_max_samples=0.0)
GIVE_UP_S = 400.0

TRANSMITTER = """
import sys
import numpy as np
from radio.config import RadioConfig
from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.radio import PlutoRadio

uri, mode, ending = sys.argv[1:]
radio = PlutoRadio(PlutoConfig(uri=uri, real_time=False, streaming=True, timeout_s=20.0))
radio.configure(RadioConfig())
frame = np.full(4000, 0.5, dtype=np.complex64)
if mode == "stream":
    for _ in range(200):
        radio.stream(frame)
else:
    radio.start_cyclic(frame)
print("transmitting", flush=True)
if ending == "error":
    raise RuntimeError("on purpose")
if ending == "wait":
    sys.stdin.readline()
"""

SURVIVOR = """
import sys
import numpy as np
from radio.config import RadioConfig
from radio.errors import RadioLinkError
from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.radio import PlutoRadio

uri, mode = sys.argv[1:]
radio = PlutoRadio(PlutoConfig(uri=uri, real_time=False, streaming=True, counts_samples=True, timeout_s=1.0))
radio.configure(RadioConfig())
frame = np.full(4000, 0.5, dtype=np.complex64)
radio.begin_block(0, 1)
radio.stream(frame) if mode == "stream" else radio.start_cyclic(frame)
print("transmitting", flush=True)
sys.stdin.readline()  # the server is gone now
failures = 0
for call in (
    lambda: radio.capture(1000), lambda: radio.transmit(frame, num_repeats=1), lambda: radio.stream(frame),
    lambda: radio.start_cyclic(frame), lambda: radio.elapse(1000), lambda: radio.shift_carrier(10.0),
):
    try:
        call()
    except RadioLinkError:
        failures += 1
radio.stop()
radio.close()
print(f"{failures} reported", flush=True)
"""


@pytest.fixture(autouse=True)
def _libiio() -> None:
    require_libiio()


@pytest.fixture
def plutos() -> Iterator[VirtualPlutos]:
    with virtual_plutos(air=AIR, shared_clock=True, hold_s=0.1) as served:
        yield served


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    with as_from_a_terminal():
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    if line.strip() != "transmitting":
        process.kill()
        raise AssertionError(process.communicate()[1])
    return process


def heard_rms(plutos: VirtualPlutos) -> float:
    with radio(plutos.access_point_uri) as receiver:
        receiver.configure(RadioConfig())
        return float(np.sqrt(np.mean(np.abs(receiver.capture(4000, skip_samples=4000)) ** 2)))


@pytest.mark.parametrize("mode", ["cyclic", "stream"])
@pytest.mark.parametrize(("ending", "code"), [("return", 0), ("error", 1), ("SIGTERM", 143), ("SIGINT", -2)])
def test_the_end_of_the_process_mutes_and_silences(plutos, mode, ending, code):
    uri = plutos.device_uris[0]
    process = start(TRANSMITTER, uri, mode, "wait" if ending.startswith("SIG") else ending)
    if ending.startswith("SIG"):
        if mode == "cyclic":
            assert heard_rms(plutos) > 0.05
            assert tx_gain_db(uri) == -30
        process.send_signal(getattr(signal, ending))
    process.communicate(timeout=GIVE_UP_S)
    assert process.returncode == code
    assert tx_gain_db(uri) == MUTED_DB
    assert heard_rms(plutos) < 0.01


def test_even_a_killed_process_leaves_no_carrier_modulated(plutos):
    """Nobody can mute then; but the daemon ends what a lost connection was sending."""
    process = start(TRANSMITTER, plutos.device_uris[0], "cyclic", "wait")
    assert heard_rms(plutos) > 0.05
    process.kill()
    process.communicate(timeout=GIVE_UP_S)
    while heard_rms(plutos) > 0.01:
        time.sleep(0.01)


@pytest.mark.parametrize("mode", ["cyclic", "stream"])
def test_a_server_that_dies_first_is_reported_and_crashes_nothing(mode):
    with virtual_plutos(air=AIR, shared_clock=True, hold_s=0.1) as served:
        process = start(SURVIVOR, served.device_uris[0], mode)
    stdout, stderr = process.communicate("gone\n", timeout=GIVE_UP_S)
    assert process.returncode == 0, stderr
    assert stdout.strip() == "6 reported"
    assert "Traceback" not in stderr
