"""What the control plane costs, and what it withstands.

`python -m benchmarks.control_plane` plays rounds of `coherent` on symbol-level air with K hosts of one device each,
over TCP, and the bare exchange of the same messages in turn with them (`benchmarks.control`); lets a host come back
after 20,000 rounds; floods the port; and plays simulated histories under faults (`benchmarks.simulation`). The last
line is JSON. `--quick` is a tenth of it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.control.bare import round_seconds
from benchmarks.control.flood import delay
from benchmarks.control.rejoin import rejoin_seconds
from benchmarks.control.rounds import Played, play
from benchmarks.simulation.many import many

SKIP = 5
PHASES = (("SoundStart", "Prepared"), ("Poll", "Transmitting"), ("RoundStart", "Ready"), ("RoundResult", ""))
NUM_HISTORIES = 100_000


def phases_of(played: Played) -> list[tuple[int, int]]:
    """Bytes of each request and its answer."""
    return [(round(played.bytes_of[ask]), round(played.bytes_of.get(answer, 0))) for ask, answer in PHASES]


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def cost(num_hosts: int, num_rounds: int, num_turns: int) -> dict[str, Any]:
    """Rounds and bare exchanges with so many peers, in turn; milliseconds."""
    counted = play(num_devices=num_hosts, num_hosts=num_hosts, num_rounds=3, counting=True)
    phases = phases_of(counted)
    plain: list[float] = []
    keyed: list[float] = []
    bare: list[float] = []
    fsync: list[float] = []
    for _ in range(num_turns):
        bare += round_seconds(phases, num_peers=num_hosts, num_rounds=num_rounds)[SKIP:]
        for with_keys, seconds in ((False, plain), (True, keyed)):
            played = play(num_devices=num_hosts, num_hosts=num_hosts, num_rounds=num_rounds + SKIP, with_keys=with_keys)
            seconds += played.watcher.control_s(skip=SKIP)
            fsync += played.watcher.fsync_s
    return {
        "p50": 1e3 * statistics.median(plain),
        "p99": 1e3 * _percentile(plain, 0.99),
        "bare": 1e3 * statistics.median(bare),
        "overhead": statistics.median(plain) / statistics.median(bare),
        "curve_over_plain": statistics.median(keyed) / statistics.median(plain),
        "fsync": 1e3 * statistics.median(fsync),
        "bytes": counted.bytes_per_device_round,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds and histories")
    parser.add_argument("--histories", type=int, default=None, help="so many simulated histories")
    asked = parser.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    small = cost(10, 100 if asked.quick else 400, 2 if asked.quick else 5)
    print(f"10 hosts: {small}", flush=True)
    large = cost(1000, 10 if asked.quick else 20, 1 if asked.quick else 3)
    print(f"1,000 hosts: {large}", flush=True)
    took_s, replay_s = rejoin_seconds(20_000)
    print(f"rejoined after 20,000 rounds in {took_s:.2f} s; the replay alone takes {replay_s:.2f} s", flush=True)
    floods = {name: delay(with_keys=with_keys) for name, with_keys in (("with keys", True), ("without", False))}
    print(f"flood: {floods}", flush=True)
    num = asked.histories if asked.histories is not None else NUM_HISTORIES // (10 if asked.quick else 1)
    found = many(0, num, num_processes=os.cpu_count() or 2)
    print(found)
    print(
        json.dumps(
            {
                "round_ms_p50_k10": round(small["p50"], 3),
                "round_ms_p99_k10": round(small["p99"], 3),
                "round_ms_p99_k1000": round(large["p99"], 1),
                "overhead_over_bare_zmq_k10": round(small["overhead"], 2),
                "overhead_over_bare_zmq_k1000": round(large["overhead"], 2),
                "fsync_ms": round(small["fsync"], 3),
                "curve_over_plain": round(small["curve_over_plain"], 3),
                "bytes_per_device_round": round(small["bytes"], 1),
                "rejoin_s_after_20000_rounds": round(took_s, 2),
                "histories": found.num,
                "histories_failed": len(found.failed),
                "flood_delay_ratio": round(floods["with keys"]["ratio"], 3),
                "flood_delay_ratio_without_keys": round(floods["without"]["ratio"], 3),
                "flood_messages_per_s": round(floods["with keys"]["messages_per_s"]),
            }
        )
    )


if __name__ == "__main__":
    main()
