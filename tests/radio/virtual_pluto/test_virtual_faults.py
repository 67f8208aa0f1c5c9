"""Everything that can go wrong between libiio and a radio, on purpose; the client runs in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from radio.virtual_pluto.config import Fault, VirtualConfig
from radio.virtual_pluto.faults import Faults
from radio.virtual_pluto.server import VirtualPlutos

from .conftest import STEADY

needs_libiio = pytest.mark.usefixtures("libiio")
GIVE_UP_S = 400.0
QUICK = msgspec.structs.replace(STEADY, hold_s=0.0)

CLIENT = """
import collections, gc, json, os, sys, time
import numpy as np
import iio

uris, num_cycles = sys.argv[1:3], int(sys.argv[3])
frame = bytearray(np.full(2048, 8192, dtype="<i2").tobytes())

def connect(uri):
    deadline = time.monotonic() + 100
    while True:
        try:
            context = iio.Context(uri)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    context.set_timeout(1500)  # less than the servers' silences, more than a busy machine takes
    return context

def device(context, name, output):
    found = context.find_device(name)
    for channel in ("voltage0", "voltage1"):
        found.find_channel(channel, output).enabled = True
    return found

errors, done, contexts, num_contexts, num_fds = collections.Counter(), 0, None, 0, []
while done < num_cycles:
    dac = adc = tx = rx = None
    try:
        if contexts is None:
            contexts = [connect(uri) for uri in uris]
            num_contexts += 1
            for context in contexts:
                phy = context.find_device("ad9361-phy")
                for channel, output, attribute, value in (
                    ("voltage0", False, "gain_control_mode", "manual"), ("voltage0", False, "hardwaregain", "30"),
                    ("voltage0", True, "hardwaregain", "-30"), ("altvoltage0", True, "frequency", "915000000"),
                    ("altvoltage1", True, "frequency", "915000000"),
                ):
                    phy.find_channel(channel, output).attrs[attribute].value = value
        dac = device(contexts[0], "cf-ad9361-dds-core-lpc", True)
        adc = device(contexts[1], "cf-ad9361-lpc", False)
        tx = iio.Buffer(dac, 1024, True)
        tx.write(frame)
        tx.push()
        rx = iio.Buffer(adc, 4096, False)
        rx.refill()
        heard = np.frombuffer(rx.read(), dtype="<i2").astype(float)
        assert 50 < np.abs(heard[-2000:]).mean() < 200, np.abs(heard[-2000:]).mean()
        done += 1
    except OSError as error:
        errors[error.errno] += 1
        contexts = None
    finally:
        del rx, tx, adc, dac
    if contexts is None:
        gc.collect()
    num_fds.append(len(os.listdir("/proc/self/fd")))
print(json.dumps({"errors": errors, "done": done, "contexts": num_contexts, "fds": max(num_fds)}))
"""


def cycle(plutos: VirtualPlutos, num_cycles: int, timeout_s: float = GIVE_UP_S) -> dict[str, object]:
    """So many good start/capture/stop cycles through libiio; what the client says about them."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, plutos.uris[0], plutos.uris[1], str(num_cycles)],
        capture_output=True, text=True, timeout=timeout_s,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + GIVE_UP_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def num_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_faults_strike_when_and_where_they_are_told() -> None:
    faults = Faults([Fault(kind="busy", command="OPEN", station=1, skip=2, every=3, times=2)])
    struck = [faults.strike(1, "OPEN") is not None for _ in range(12)]
    assert struck == [False, False, True, False, False, True] + [False] * 6
    assert faults.strike(0, "OPEN") is None
    assert faults.num_struck == 2
    faults.add(Fault(kind="drop", command="READ", times=0))
    assert all(faults.strike(0, "READ") for _ in range(5))
    faults.clear()
    assert faults.strike(0, "READ") is None


@needs_libiio
@pytest.mark.parametrize(("fault", "errno"), [
    (Fault(kind="busy", command="OPEN", station=0), 16),
    (Fault(kind="timeout", command="READBUF"), 110),
    (Fault(kind="silence", command="READBUF", duration_s=30.0), 32),  # so libiio names its own deadline
    (Fault(kind="drop", command="READBUF"), 32),
    (Fault(kind="drop", command="WRITE", skip=3), 32),
    (Fault(kind="restart", command="OPEN", station=1, duration_s=0.3), 32),
    (Fault(kind="restart", command="WRITEBUF", duration_s=0.1), 32),
], ids=lambda value: f"{value.kind}-{value.command}" if isinstance(value, Fault) else None)  # fmt: skip
def test_libiio_reports_each_fault_and_recovers(serve: Callable[..., VirtualPlutos], fault: Fault, errno: int) -> None:
    plutos = serve(QUICK)
    plutos.faults.add(fault)
    said = cycle(plutos, 3)
    assert said["done"] == 3
    assert plutos.faults.num_struck == 1
    reported = {int(number): count for number, count in said["errors"].items()}
    assert sum(reported.values()) == 1
    assert errno in reported, reported


@needs_libiio
@pytest.mark.parametrize("num_cycles", [30, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_cycles_with_faults_leave_nothing_behind(serve: Callable[..., VirtualPlutos], num_cycles: int) -> None:
    faults = (
        Fault(kind="busy", command="OPEN", every=11, skip=5, times=0),
        Fault(kind="timeout", command="READBUF", every=17, skip=3, times=0),
        Fault(kind="drop", command="READBUF", every=19, skip=6, times=0),
        Fault(kind="drop", command="WRITEBUF", every=23, skip=2, times=0),
        Fault(kind="restart", command="OPEN", every=37, skip=20, times=0, duration_s=0.05),
        Fault(kind="silence", command="READBUF", every=101, skip=15, times=0, duration_s=30.0),
    )
    plutos = serve(msgspec.structs.replace(QUICK, faults=faults))
    cycle(plutos, 10)  # compiles, connects, breaks a few
    assert wait_until(lambda: plutos.num_connections == 0)
    files, threads = num_open_files(), threading.active_count()
    memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    struck = plutos.faults.num_struck
    said = cycle(plutos, num_cycles, timeout_s=800)
    assert said["done"] == num_cycles
    assert said["fds"] < 40
    struck = plutos.faults.num_struck - struck
    assert struck >= num_cycles // 8
    assert sum(said["errors"].values()) == struck  # every fault was reported, and nothing else
    assert wait_until(lambda: plutos.num_connections == 0)
    assert wait_until(lambda: threading.active_count() == threads)
    assert num_open_files() == files
    assert not plutos.air.sending
    assert not plutos.air.receiving
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kib < 30_000


@needs_libiio
def test_a_client_survives_a_server_that_dies_first(serve: Callable[..., VirtualPlutos]) -> None:
    script = """
import sys, adi, numpy as np
radio = adi.Pluto(sys.argv[1])
radio.tx_cyclic_buffer = True
radio.tx(np.ones(1024) * 1000)
radio.rx()
print("ready", flush=True)
sys.stdin.readline()
try:
    radio.rx()
except OSError as error:
    print("reported", error.errno, flush=True)
radio.rx_destroy_buffer()
radio.tx_destroy_buffer()
del radio
print("done", flush=True)
"""
    plutos = serve()
    client = subprocess.Popen(
        [sys.executable, "-c", script, plutos.uris[0]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    plutos.close()
    out, err = client.communicate("go\n", timeout=GIVE_UP_S)
    assert client.returncode == 0, err
    assert out.startswith("reported")
    assert out.endswith("done\n")


def test_a_bench_in_a_rig_file_can_carry_faults() -> None:
    config = msgspec.convert(
        {"faults": [{"kind": "busy", "command": "OPEN", "every": 7, "times": 0}], "first_port": 0}, VirtualConfig
    )
    assert config.faults[0].every == 7
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value"):
        msgspec.convert({"faults": [{"kind": "fire", "command": "OPEN"}]}, VirtualConfig)


def test_idle_servers_use_no_processor_time(serve: Callable[..., VirtualPlutos]) -> None:
    serve(num_devices=5)
    before = os.times()
    time.sleep(1.0)
    after = os.times()
    assert after.user + after.system - before.user - before.system < 0.5
