"""Who has no business at the access point: well-formed messages from nobody, and an impostor's Hello."""

from __future__ import annotations

import math
import random
from typing import Any

from benchmarks.simulation.network import Client
from benchmarks.simulation.parties import CONTROL, CONTROL_CODEC, Stage
from benchmarks.simulation.world import Process
from testbed.control import messages as m
from testbed.control.proof import Proof
from testbed.hosts.proof import toolkit_fingerprint

_WILD = (0.0, -1.0, 0.5, 1e300, -1e300, 1e-300, math.inf, -math.inf, math.nan)


def run(process: Process, stage: Stage, lasts_s: float) -> None:
    """Say all kinds of things for a while, and go."""
    rng = stage.world.rng
    client = Client(stage.network, process, CONTROL_CODEC, CONTROL)
    until_s = stage.world.now_s + lasts_s
    while stage.world.now_s < until_s:
        for _ in range(rng.choice((1, 1, 1, 20))):
            client.send_raw(_said(rng, stage))
        client.receive(rng.expovariate(1 / 0.3))


def _said(rng: random.Random, stage: Stage) -> bytes:
    """One message, as bytes; now and then what is none."""
    data = CONTROL_CODEC.encode(_message(rng, stage))
    if rng.random() < 0.1:
        cut = rng.randrange(len(data))
        return data[:cut] + rng.randbytes(rng.randrange(4)) + data[cut:][rng.randrange(3) :]
    return data


def _message(rng: random.Random, stage: Stage) -> m.ControlMessage:
    num = stage.setting.config.rig.num_devices
    session = stage.session
    near = session.next_round if session is not None else 0
    round_index = rng.choice((near, near, near + 1, 0, 10**6))
    attempt = rng.choice((1, 1, 2, 100))
    run_id = session.info.run_id if session is not None and rng.random() < 0.7 else "0" * 32
    digest = rng.randbytes(32).hex()
    devices = tuple(rng.choice(([0], list(range(num)), [num], [], [1, 0], [0, 0], [9_999], [rng.randrange(num)])))
    wild = rng.choice(_WILD)
    kind: Any = rng.choice(
        (m.Hello, m.Hello, m.Hello, m.CatchUp, m.Joined, m.Prepared, m.Transmitting, m.Ready, m.Evaluated, m.Goodbye,
         m.Trouble, m.Ping, m.RoundResult, m.Finish)
    )  # fmt: skip
    match kind:
        case m.Hello:
            return m.Hello(
                protocol_version=rng.choice((m.PROTOCOL_VERSION, m.PROTOCOL_VERSION, 0, 2**31)),
                host="stranger",
                instance=rng.randbytes(16).hex(),
                devices=devices,
                run_id=rng.choice(("", run_id)),
                next_round=round_index,
                code=toolkit_fingerprint() if rng.random() < 0.7 else digest,
            )
        case m.Joined:
            proof = Proof(
                weights=digest, architecture=digest, num_parameters=1, data=digest, code=digest, config=digest
            )
            return m.Joined(next_round=round_index, proof=proof)
        case m.Prepared:
            return m.Prepared(round=round_index, attempt=attempt, fingerprint=rng.choice((None, digest)), draw=1)
        case m.Transmitting:
            return m.Transmitting(
                round=round_index, attempt=attempt, number=rng.randrange(20), reports=(m.Report(device=0),),
                radio_s=abs(wild),
            )  # fmt: skip
        case m.Ready:
            return m.Ready(
                round=round_index, attempt=attempt, ground_truth=rng.choice((None, {0: (wild,) * rng.randrange(4)})),
                losses=rng.choice((None, {0: wild})),
            )  # fmt: skip
        case m.Evaluated:
            return m.Evaluated(round=round_index, loss=wild, metric=0.5, num_examples=1)
        case m.Goodbye:
            return m.Goodbye(next_round=round_index, fingerprint=digest)
        case m.Trouble:
            return m.Trouble(reason="no reason", trace=rng.choice(("", "Traceback")))
        case m.RoundResult:
            return m.RoundResult(
                round=round_index, seed=1, status="ok", coefficients=(wild,), fingerprint=None
            )  # fmt: skip
        case m.Finish:
            return m.Finish(reason="no reason", failed=rng.random() < 0.5, next_round=round_index)
        case m.CatchUp:
            return m.CatchUp(first=round_index)
        case _:
            return m.Ping()
