"""Access point, air and hosts of a history: the real programs on the ends of a virtual network."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.simulation.learner import Chain, judge, loader, prove
from benchmarks.simulation.machine import ProcessDisk
from benchmarks.simulation.network import Client, Network, Server
from benchmarks.simulation.oracle import Oracle
from benchmarks.simulation.setting import HOST_TIMEOUT_S, Setting
from benchmarks.simulation.world import Process, World
from radio.air.medium import Medium
from radio.samples import IQ
from testbed.control import messages as m
from testbed.control.air_service import serve_air
from testbed.control.air_wire import air_codec, air_setup, make_air
from testbed.control.remote_air import RemoteAir
from testbed.hosts.device_host import Ended, LearnerHost
from testbed.results import files
from testbed.results.records import Summary
from testbed.rounds.loop import Quiet, conduct
from testbed.rounds.office import RunOffice
from testbed.rounds.resume import resume
from testbed.rounds.session import Session, begin

LONGEST_WORK_S = 3.0
"""Well within control.learner_timeout_s."""
CONTROL, AIR = "control", "air"
CONTROL_CODEC, AIR_CODEC = m.control_codec(), air_codec()


@dataclass(slots=True)
class Stage:
    """What the parties of one history share."""

    world: World
    network: Network
    setting: Setting
    oracle: Oracle
    folder: Path
    """The run directory."""
    has_begun: bool = False
    """Whether the run directory was made, so that from now on it is resumed."""
    session: Session | None = None
    """Of the access point, while there is one."""
    disk: ProcessDisk | None = None
    medium: Medium | None = None
    """The access point's; everybody's, where the air is no process of its own."""
    asked_to_stop_s: float | None = None
    """When somebody pressed Ctrl-C at the access point"""

    # ---- the access point

    def access_point(self, process: Process) -> Summary:
        """From begin or resume to the summary."""
        self.session, self.asked_to_stop_s = None, None
        self.disk = disk = ProcessDisk(self.folder, process, sync_s=self.setting.sync_s)
        process.at_end.append(lambda: self._access_point_ends(disk))
        files.system = disk
        server = Server(self.network, process, CONTROL_CODEC, CONTROL)
        session = self._session()
        with session.journal:
            self.session = session
            self.oracle.opened(session.journal.records)
            setup = air_setup(session.config, session.info.run_id, clock_samples=session.clock_samples)
            if self.setting.air_is_apart:
                client = Client(self.network, process, AIR_CODEC, AIR)
                self.medium = air = RemoteAir(client, setup, should_stop=self._should_stop)
                air.set_up(session.config.rig.control.join_timeout_s)
            else:
                self.medium = make_air(setup)
            return conduct(
                session,
                server=server,
                office=RunOffice(session=session, air_address=AIR),
                medium=self.medium,
                progress=Quiet(),
                should_stop=self._should_stop,
                rebuild=_rebuilt,
            )

    def _should_stop(self) -> bool:
        return self.asked_to_stop_s is not None

    def _session(self) -> Session:
        if self.has_begun:
            return resume(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        replica: Any = Chain()
        session = begin(self.setting.config, self.folder, replica)
        self.has_begun = True
        return session

    def _access_point_ends(self, disk: ProcessDisk) -> None:
        if self.session is not None:
            self.oracle.stopped(self.session.journal.records, len(self.session.journal.records))
        self.session = None
        disk.settle()

    # ---- the air

    def air(self, process: Process) -> int:
        """For ever."""
        server = Server(self.network, process, AIR_CODEC, AIR, is_local=True)
        return serve_air(server, lambda: False)

    # ---- hosts

    def host(self, process: Process, devices: tuple[int, ...]) -> Ended:
        """Until the run is over, or the host gives up."""
        rng = self.world.rng
        client = Client(self.network, process, CONTROL_CODEC, CONTROL)

        def medium_for(welcome: m.Welcome) -> Any:
            if not self.setting.air_is_apart:
                return _Seen(None, self, host)
            air_client = Client(self.network, process, AIR_CODEC, AIR)
            return _Seen(RemoteAir(air_client, air_setup(welcome.config, welcome.run_id)), self, host)

        def load(config: Any) -> Any:
            loaded = loader(
                lambda: process.sleep(rng.uniform(0.2, 4)),
                lambda: process.sleep(min(rng.expovariate(1 / self.setting.work_s), LONGEST_WORK_S)),
            )(config)
            replica: Any = loaded.replica
            self.oracle.hosts.append((process.place, replica))
            return loaded

        host = LearnerHost(
            client, devices, medium_for, load=load, prove=prove, judge=judge, host_name=process.place,
            timeout_s=HOST_TIMEOUT_S,
        )  # fmt: skip
        return host.run()


class _Seen:
    """A host's air, on which the oracle sees payloads; without one of its own, the access point's."""

    def __init__(self, air: RemoteAir | None, stage: Stage, host: LearnerHost) -> None:
        self._own, self._stage, self._host = air, stage, host

    @property
    def _air(self) -> Medium:
        air = self._own or self._stage.medium
        assert air is not None, "no host joins before there is one"
        return air

    @property
    def access_point(self) -> int:
        """As the air."""
        return self._air.access_point

    @property
    def sample_rate_hz(self) -> float:
        """As the air."""
        return self._air.sample_rate_hz

    def transmit(self, station: int, frame: IQ, num_repeats: int | None, *, after_samples: int = 0) -> None:
        """As the air; behind its RoundStart, what a host sends is a payload."""
        host, session = self._host, self._stage.session
        if host._plan is not None and host._attempt is not None:
            charged = session.journal.records if session is not None else self._stage.oracle.records
            self._stage.oracle.radiates(charged, *host._attempt, station)
        self._air.transmit(station, frame, num_repeats, after_samples=after_samples)

    def silence(self, station: int) -> None:
        """As the air."""
        self._air.silence(station)

    def flush(self) -> None:
        """As the air."""
        self._air.flush()


def _rebuilt(session: Session) -> Any:
    chain = Chain()
    chain.load_weights(session.directory.initial_weights)
    chain.replay(update for r in session.results for update in r.updates)
    return chain
