"""How long a host takes to come back to a long run: from its Hello to its seat, with the real model and real data."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from learner.zo.replica import replay
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.control import messages as m
from testbed.control.air_wire import air_setup, make_air
from testbed.control.roster import Roster
from testbed.control.transport import Client, Server, new_context
from testbed.hosts.device_host import LearnerHost
from testbed.hosts.local_work import load_model_and_task
from testbed.results import journal as j
from testbed.rounds.office import RunOffice
from testbed.rounds.round import round_seed
from testbed.rounds.session import begin, promise_of


def rejoin_seconds(num_rounds: int) -> tuple[float, float]:
    """Seconds of a host that starts, loads, and catches up with so many rounds over TCP; and of the replay alone."""
    config = resolve(
        load("awgn", None, ["scheme.air_level=symbol", f"rounds.num={num_rounds + 1}", "task.num_test=64"])
    )
    loaded = load_model_and_task(config)
    coefficient = float(np.float32(1e-7))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        session = begin(config, folder / "run", loaded.replica)
        session.journal.close()
        session.directory.journal.unlink()
        start = j.Start(version=j.VERSION, run_id=session.info.run_id, initial_fingerprint=loaded.replica.fingerprint())
        results = [
            j.Result(
                round=index,
                attempt=1,
                status="ok",
                seed=round_seed(config.experiment.seed, index),
                estimates=(0.0,),
                coefficients=(coefficient,),
            )
            for index in range(num_rounds)
        ]
        session.journal = j.Journal.begun(session.directory.journal, start, promise_of(config), *results)
        stack.enter_context(session.journal)
        context = new_context()
        stack.callback(context.term)
        server = stack.enter_context(Server(context, m.control_codec(), "tcp://127.0.0.1:*"))
        client = stack.enter_context(Client(context, m.control_codec(), server.address))
        roster = Roster(server=server, num_devices=config.rig.num_devices, office=RunOffice(session=session))
        air = make_air(air_setup(config, uuid.uuid4().hex))
        host = LearnerHost(client, range(config.rig.num_devices), lambda _: air)
        thread = threading.Thread(target=host.run, daemon=True)
        started = time.perf_counter()
        thread.start()
        if not roster.wait_for(config.rig.num_devices, 600.0):
            raise RuntimeError("the host did not come back in ten minutes")
        took = time.perf_counter() - started
        roster.tell(m.Finish(reason="measured", failed=True, next_round=session.next_round))
        thread.join(30)
    started = time.perf_counter()
    replay(loaded.replica, (update for result in results for update in result.updates))
    return took, time.perf_counter() - started
