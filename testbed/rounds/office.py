"""What a run says to hosts that come: what to load, what they missed, and whether they are what the run needs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from testbed.control import messages as m
from testbed.control.proof import Proof, difference
from testbed.control.seats import Loss
from testbed.errors import CrashError, JournalError, TestbedError
from testbed.hosts.proof import code_fingerprint, config_fingerprint, toolkit_fingerprint
from testbed.rounds.session import Session

log = logging.getLogger(__name__)
RESULTS_PER_MESSAGE = 20_000
"""Coefficients, or rounds if those are more, in one message of past results: well below the largest message."""


def any_device(key: str) -> frozenset[int] | None:
    """Whoever has come so far may serve every device."""
    return None


@dataclass(slots=True, kw_only=True)
class RunOffice:
    """The record of a run decides: its configuration, its initial weights, its results."""

    session: Session
    air_address: str = ""
    serves: Callable[[str], frozenset[int] | None] = any_device
    is_one_process: bool = False
    """The only host is a thread of this process: nobody can take its place."""

    @property
    def next_round(self) -> int:
        """The round that is being played, or comes next."""
        return self.session.next_round

    def may_serve(self, key: str) -> frozenset[int] | None:
        """Devices that the holder of a key may serve; None for any."""
        return self.serves(key)

    def welcome(self, hello: m.Hello) -> m.Welcome:
        """What a host must know to load. Raises JournalError for one that is ahead of the journal, TestbedError for
        another program."""
        own = toolkit_fingerprint()
        if hello.code != own:
            raise TestbedError(
                f"its toolkit ({hello.code[:12]}) is not that of the access point ({own[:12]}); install the same "
                "version on both"
            )
        if hello.run_id == self.session.info.run_id and hello.next_round > self.next_round:
            raise JournalError(
                f"the host is at round {hello.next_round}, the journal at {self.next_round}; restart that host"
            )
        return m.Welcome(
            run_id=self.session.info.run_id,
            config=self.session.config,
            air_address=self.air_address,
            next_round=self.next_round,
        )

    def results(self, first: int) -> m.Results:
        """Results from a round on, as many as fit one message. Raises JournalError for rounds that have not been."""
        if first > self.next_round:
            raise JournalError(f"the host is at round {first}, the journal at {self.next_round}; restart that host")
        until, num_coefficients = first, 0
        for result in self.session.results[first : self.next_round]:
            num_coefficients += max(1, sum(len(coefficients) for _, coefficients in result.updates))
            if num_coefficients > RESULTS_PER_MESSAGE and until > first:
                break
            until += 1
        return m.Results(
            first=first,
            until=until,
            next_round=self.next_round,
            results=tuple(
                m.PastResult(
                    round=result.round, seed=result.seed, coefficients=result.coefficients, earlier=result.earlier
                )
                for result in self.session.results[first:until]
                if result.coefficients
            ),
        )

    def check(self, joined: m.Joined) -> None:
        """Compare what a host has proved with the run. Raises TestbedError that says what differs.

        The access point may hold no data: those of the first host are written down, and all others compared with it.
        """
        info = self.session.info
        expected = Proof(
            weights=info.initial_fingerprint,
            architecture=info.architecture_fingerprint or joined.proof.architecture,
            num_parameters=info.num_parameters,
            data=info.data_fingerprint or joined.proof.data,
            code=code_fingerprint(self.session.config),
            config=config_fingerprint(self.session.config),
        )
        found = difference(expected, joined.proof)
        if found is not None:
            raise TestbedError(found)
        if info.data_fingerprint is None or info.architecture_fingerprint is None:
            kept = msgspec.structs.replace(
                info, data_fingerprint=expected.data, architecture_fingerprint=expected.architecture
            )
            self.session.directory.write_json(self.session.directory.info, kept)
            self.session.info = kept

    def lost(self, loss: Loss) -> None:
        """Say it, and keep a traceback. Raises what ended the only host there can be."""
        if self.is_one_process and loss.is_said:
            raise CrashError(loss.reason, trace=loss.trace) if loss.trace else TestbedError(loss.reason)
        log.warning("%s", loss)
        if loss.trace:
            kept = self.session.directory.keep_traceback(loss.trace)
            log.warning("its traceback is in %s", kept)
