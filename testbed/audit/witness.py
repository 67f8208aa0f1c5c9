"""Plays an experiment on a simulated rig, in this process and through the real code, and records what really happened.

Nothing is imitated: taps on a few public seams look at what passes and hand it on. What no party of a run could know,
how strongly each device really arrived, comes from the simulated air.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learner.tasks.batches import AnyBatch
from learner.tasks.task import Task
from learner.zo.replica import Scalars
from radio.air.air import Air
from radio.air.channel import Truth
from radio.config import FrameConfig
from radio.link.block import Channels
from radio.link.device import DeviceLink
from radio.link.reception import Reception
from radio.randomness import generator
from radio.records import Csi, Plan
from radio.samples import IQ
from radio.schemes.base import Scheme, rejected_estimate
from radio.waveform.layouts import payload_layout
from radio.waveform.misalignment import MAX_CODES
from radio.waveform.modulation import matched_filter, real_noise_variance, symbol_block
from testbed.bench.rig import scheme_of
from testbed.config.schema import RunConfig
from testbed.hosts import device_host, local_work
from testbed.hosts.local_work import Contribution, Loaded
from testbed.planning.terms import is_simulated
from testbed.results import journal as j
from testbed.results.records import RoundRecord, Summary
from testbed.rounds import processes
from testbed.rounds.attempt import Attempt, Transmitter
from testbed.rounds.loop import Quiet

Floats: TypeAlias = NDArray[np.float64]
Complexes: TypeAlias = NDArray[np.complex128]
DrawScalars: TypeAlias = Callable[[int, Sequence[int]], Floats]
"""(round, devices) → projected gradients [K, Q], before they are clipped."""

_SMALL = 0.05
"""Of the plan's bound."""
FORCED = "forced by the witness"
"""Why an attempt was rejected that would have been accepted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """What one device handed to its radio in one attempt."""

    device: int
    exact: Floats
    """p_k [Q], clipped and as the scheme maps it, without noise."""
    values: Floats
    """[Q], with noise, within the plan's bound."""
    csi: Csi | None
    """What it was told of its channel."""
    arrived: Complexes | None = None
    """h_k α_k [Q], what really arrived after the matched filter of each unit of value; None of slots and tones."""
    energies: Floats | None = None
    """[Q], all that arrived of a unit of value, prefix included, over one matched-filtered payload of gain 1: no
    attacker at this antenna hears the value with less receiver noise than N0'/energy."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Witnessed:
    """One attempt, from both ends."""

    round: int
    attempt: int
    seed: int
    plan: Plan | None
    rho: float | None
    """What was charged for it."""
    sent: tuple[Sent, ...]
    symbols: Complexes
    """y [S] as the access point has it; empty where nothing was received, and of slots and tones."""
    capture: IQ | None
    truth: Truth | None
    """The air at the payload's first sample."""
    rejected: str | None
    """Why it was not used; None if it was."""
    revealed: tuple[int, ...] = ()
    """Devices whose bare scalars went over the control plane."""
    coins: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)
    """device → which of its examples it drew, of Poisson batches."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Witness:
    """A run that was watched."""

    config: RunConfig
    path: Path
    summary: Summary
    attempts: tuple[Witnessed, ...]
    """In the order in which they were played."""
    spent: tuple[j.Spent, ...]
    """What the journal holds at the end."""
    results: tuple[j.Result, ...]
    """And what it says that rounds came to."""
    true_noise_variance: float
    """N0' = Var(Re z) on the payload's own bins, as the air really made it; of the access point's one antenna."""

    def rounds(self) -> dict[int, tuple[Witnessed, ...]]:
        """round → its attempts in which something was sent."""
        found: dict[int, list[Witnessed]] = {}
        for each in self.attempts:
            if each.sent:
                found.setdefault(each.round, []).append(each)
        return {index: tuple(attempts) for index, attempts in found.items()}


@dataclass(slots=True)
class _Notes:
    """What the taps write while a run is played."""

    frame: FrameConfig
    open: tuple[int, int, int] | None = None
    """(round, attempt, seed) of the attempt that is being played."""
    clipped: dict[int, Floats] = field(default_factory=dict)
    """device → what it prepared last."""
    coins: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    truth: Truth | None = None
    plan: Plan | None = None
    """Of the payload that is being captured."""
    attempts: list[Witnessed] = field(default_factory=list)


def witness(
    config: RunConfig,
    *,
    out: Path | None = None,
    load: Callable[[RunConfig], Loaded] | None = None,
    scalars: DrawScalars | None = None,
    retry_rate: float = 0.0,
    planted: AbstractContextManager[object] | None = None,
    resume: Path | None = None,
    num_rounds: int | None = None,
) -> Witness:
    """Play a resolved simulated experiment and tell everything about it.

    ``out``: where the run directory goes; by default it is gone when this returns. ``load`` gives model and task, for
    who inserts canaries or plays many runs; ``scalars`` stands in for the learner. ``retry_rate``: how many attempts
    but a round's last are rejected though they were received. ``planted``: patches one real function while the run is
    played. ``resume`` goes on with a run directory instead; after ``num_rounds`` rounds it is left as it is. Raises
    what the run raises; nothing stays patched.
    """
    if not is_simulated(config.rig):
        raise ValueError(f"rig: got backend {config.rig.backend!r}; allowed: a simulated one, whose truth is known")
    notes = _Notes(config.rig.frame)
    with ExitStack() as stack:
        path = resume or out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="witness-"))) / "run"
        stack.enter_context(planted or nullcontext())
        stack.enter_context(_taps(notes, config, retry_rate))
        if load is not None:
            stack.enter_context(patched(processes, "load_model_and_task", lambda _: load))
        if scalars is not None:
            stack.enter_context(patched(local_work, "device_scalars", lambda _: _drawn(scalars)))
        enough = _Enough(num_rounds)
        outcome = processes.run_in_one_process(
            config, out=None if resume else path, resume=resume, progress=enough, should_stop=enough.is_reached
        )
        records = j.read(outcome.directory.journal)
        return Witness(
            config=config,
            path=path,
            summary=outcome.summary,
            attempts=tuple(notes.attempts),
            spent=tuple(r for r in records if isinstance(r, j.Spent)),
            results=tuple(r for r in records if isinstance(r, j.Result)),
            true_noise_variance=true_noise_variance(config),
        )


def true_noise_variance(config: RunConfig) -> float:
    """N0' as the air makes it, whatever anybody has measured."""
    radio = config.rig.radio
    noise_power = config.rig.air.noise_power(radio.max_power, radio.sample_rate_hz)
    return real_noise_variance(noise_power, config.rig.frame)


@contextmanager
def patched(owner: Any, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Put ``change(former)`` in the place of an attribute, and the former back at the end."""
    former = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
    setattr(owner, name, change(former))
    try:
        yield
    finally:
        setattr(owner, name, former)


class _Enough(Quiet):
    """Counts rounds."""

    def __init__(self, num_rounds: int | None) -> None:
        self._left = num_rounds

    def round_done(self, record: RoundRecord) -> None:
        """One less."""
        if self._left is not None:
            self._left -= 1

    def is_reached(self) -> bool:
        """Whether so many were played."""
        return self._left is not None and self._left <= 0


@contextmanager
def _taps(notes: _Notes, config: RunConfig, retry_rate: float) -> Iterator[None]:
    taps: Sequence[tuple[Any, str, Callable[[Any], Any]]] = (
        (Transmitter, "play", lambda former: _playing(notes, former)),
        (device_host, "prepare", lambda former: _preparing(notes, former)),
        (Task, "poisson_batch", lambda former: _drawing(notes, former)),
        (DeviceLink, "send_values", lambda former: _handing_over(notes, former, scheme_of(config))),
        (Channels, "receive", lambda former: _receiving(notes, former, config, retry_rate)),
        (Air, "capture", lambda former: _capturing(notes, former, scheme_of(config).exposes == "sum")),
    )
    with ExitStack() as stack:
        for owner, name, change in taps:
            stack.enter_context(patched(owner, name, change))
        yield


def _playing(notes: _Notes, former: Callable[..., Attempt]) -> Callable[..., Attempt]:
    def play(transmitter: Transmitter, round_index: int, attempt: int, seed: int, *rest: Any, **named: Any) -> Attempt:
        notes.open, notes.truth = (round_index, attempt, seed), None
        notes.sent.clear()
        played = former(transmitter, round_index, attempt, seed, *rest, **named)
        reception = played.reception
        notes.attempts.append(
            Witnessed(
                round=round_index,
                attempt=attempt,
                seed=seed,
                plan=played.plan,
                rho=played.rho,
                sent=tuple(sorted(notes.sent, key=lambda each: each.device)),
                symbols=reception.symbols if reception is not None else np.zeros(0, dtype=np.complex128),
                capture=reception.capture if reception is not None else None,
                truth=notes.truth,
                rejected=played.reason,
                revealed=tuple(sorted(played.true_values)),
                coins=dict(notes.coins),
            )
        )
        notes.open = None
        return played

    return play


def _preparing(notes: _Notes, former: Callable[..., dict[int, Contribution]]) -> Callable[..., dict[int, Contribution]]:
    """Looks at what a device alone knows."""

    def prepare(*given: Any, **named: Any) -> dict[int, Contribution]:
        made = former(*given, **named)
        notes.clipped.update({device: np.array(each.clipped) for device, each in made.items()})
        return made

    return prepare


def _drawing(notes: _Notes, former: Callable[..., AnyBatch]) -> Callable[..., AnyBatch]:
    def poisson_batch(task: Task, device: int, drawn: NDArray[np.bool_]) -> AnyBatch:
        notes.coins[device] = np.array(drawn)
        return former(task, device, drawn)

    return poisson_batch


def _handing_over(notes: _Notes, former: Callable[..., None], scheme: Scheme) -> Callable[..., None]:
    def send_values(link: DeviceLink, values: Floats, plan: Plan, csi: Csi | None, *rest: Any, **named: Any) -> None:
        former(link, values, plan, csi, *rest, **named)
        device = link._device
        exact = scheme.mapped(notes.clipped[device])
        notes.sent.append(Sent(device=device, exact=exact, values=np.array(values), csi=csi))

    return send_values


def _receiving(
    notes: _Notes, former: Callable[..., Reception], config: RunConfig, retry_rate: float
) -> Callable[..., Reception]:
    def receive(channels: Channels, plan: Plan, *rest: Any, **named: Any) -> Reception:
        notes.plan = plan
        try:
            reception = former(channels, plan, *rest, **named)
        finally:
            notes.plan = None
        assert notes.open is not None, "payloads are received within attempts only"
        round_index, attempt, _ = notes.open
        may_come_again = attempt < config.experiment.rounds.max_attempts
        coin = generator(config.experiment.seed, round_index, attempt, purpose="forced rejections").random()
        if may_come_again and coin < retry_rate and reception.estimate.rejected is None:
            return replace(reception, estimate=rejected_estimate(FORCED, plan, reception.estimate.symbol_snr_db))
        return reception

    return receive


def _capturing(notes: _Notes, former: Callable[..., IQ], superposed: bool) -> Callable[..., IQ]:
    """Looks at the air right before the access point captures a payload."""

    def capture(air: Air, station: int, num_samples: int) -> IQ:
        plan = notes.plan
        if plan is not None and station == air.access_point:
            notes.truth = notes.truth or air.truth()
            if superposed and notes.sent:
                notes.sent[:] = [
                    _arrived(each, air.arriving(each.device, num_samples), plan, notes.frame, air.num_devices)
                    for each in notes.sent
                ]
        return former(air, station, num_samples)

    return capture


def _arrived(sent: Sent, alone: Complexes, plan: Plan, frame: FrameConfig, num_devices: int) -> Sent:
    """The device's share of the payload per unit of value.

    Small values are measured on the pilots around them, which have the same precoding, since what these leak into their
    neighbours would be taken for the value; where there are none, NaN.
    """
    layout = payload_layout(num_devices + 1 if num_devices < MAX_CODES else 0, plan.num_queries)
    symbols = matched_filter(alone.astype(np.complex64), layout.num_symbols, frame)
    with np.errstate(invalid="ignore", divide="ignore"):
        arrived = symbols[layout.values] / np.where(sent.values == 0, np.nan, sent.values)
    pilots = np.abs(symbols[np.concatenate((layout.before, layout.after))])
    is_small = np.abs(sent.values) < _SMALL * plan.value_bound
    if pilots.size and is_small.any():
        phases_rad = np.angle(np.nan_to_num(arrived))
        arrived = np.where(is_small, pilots.max() / plan.value_bound * np.exp(1j * phases_rad), arrived)
    return replace(sent, arrived=arrived, energies=np.abs(arrived) ** 2 * _energy_of_a_symbol(frame))


def _energy_of_a_symbol(frame: FrameConfig) -> float:
    """Energy of a block and its prefix, over that of the one block that N0' refers to."""
    block = symbol_block(frame.samples_per_symbol)
    prefix = block[block.size - frame.cyclic_prefix_samples :] if frame.cyclic_prefix_samples else block[:0]
    return float(1 + np.sum(np.abs(prefix) ** 2) / np.sum(np.abs(block) ** 2))


def _drawn(scalars: DrawScalars) -> Callable[..., Scalars]:
    def device_scalars(
        loaded: Loaded,
        experiment: Any,
        devices: Sequence[int],
        sources: Mapping[int, Any],
        *,
        round_index: int,
        seed: int,
    ) -> Scalars:
        projected = np.asarray(scalars(round_index, devices), dtype=np.float64)
        return Scalars(projected, np.full(len(devices), np.nan), tuple(p[None] for p in projected))

    return device_scalars
