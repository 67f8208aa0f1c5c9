"""What a run is asked to do: a rig (the bench) and an experiment (the question), both TOML, both strict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from learner.config import LearnerConfig, ModelConfig, TaskConfig
from radio.air.config import AirConfig
from radio.backends.pluto.config import PlutoSettings
from radio.config import FrameConfig, RadioConfig
from radio.schemes.alignment_rule import AlignmentRule
from radio.settings import Checked
from radio.virtual_pluto.config import VirtualConfig
from testbed.config.words import ALLOCATING, AccountantName, Adjacency, Allocating, Level
from testbed.errors import ConfigError

Positive = Annotated[float, msgspec.Meta(gt=0)]
Scale = Annotated[float, msgspec.Meta(ge=1e-6, le=1e9)]
"""Of scalars, in their own unit: beyond it no gain or noise could be resolved."""
Count = Annotated[int, msgspec.Meta(ge=1)]
RunName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\s./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,79}\Z",
        description="1 to 80 characters that can name a folder: no slash, backslash or control character, no dot or "
        "space in front",
    ),
]

HostName = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", description="1 to 64 letters, digits, dashes and underscores")
]
PublicKey = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?:[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{5}){8}\Z",
        description="the 40 characters (Z85) that `testbed keys show` prints",
    ),
]


class Config(Checked, frozen=True, kw_only=True):
    """Base of the testbed's configuration records."""

    refuses_with: ClassVar[type[Exception]] = ConfigError


class ClockConfig(Config, frozen=True):
    """What the rig's radios share; it decides which schemes the rig supports."""

    shared_clock: bool = False
    """All radios run from one reference oscillator."""
    trigger: bool = False
    """Radios can start together to within a sample or so."""
    streaming: bool = False
    """Transmitters keep a gapless sample count."""


class ControlConfig(Config, frozen=True):
    """Deadlines of the control plane, each of which names who is missing when it passes."""

    join_timeout_s: Positive = 120.0
    """All devices have joined."""
    rejoin_timeout_s: Positive = 30.0
    """Devices whose host left in mid-run have come back; waited for before each attempt."""
    learner_timeout_s: Positive = 120.0
    """All scalars of a round are computed; also one evaluation."""
    radio_timeout_s: Positive = 20.0
    """A polled device transmits, or answers RoundStart."""


class HostConfig(Config, frozen=True):
    """A GPU host that may take part from another machine; ``testbed keys device`` prints what to put here."""

    key: PublicKey
    """Its public key."""
    devices: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, lt=10_000)], ...], msgspec.Meta(min_length=1)]
    """Devices that it may serve; another host may be allowed the same."""


class BoundsConfig(Config, frozen=True):
    """What a real bench is promised to keep to, for claims that count receiver noise; simulated air needs none."""

    noise_figure_db: Annotated[float, msgspec.Meta(ge=0, le=60)] | None = None
    """Of the access point's receiver, at least; more noise than kTBF is never counted."""
    temperature_k: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 290.0
    """T of that noise; B is the sample rate."""
    full_scale_dbm: Annotated[float, msgspec.Meta(ge=-120, le=30)] | None = None
    """Power at the antenna port that is full scale at ``rx_gain_db``, at most."""
    doppler_max_hz: Annotated[float, msgspec.Meta(ge=0, le=1e5)] | None = None
    """Largest Doppler shift of any path; 0 where nothing and nobody moves."""
    delay_max_samples: Annotated[float, msgspec.Meta(ge=0, le=4096)] | None = None
    """Latest arrival of any echo, in samples after the block was due."""
    path_loss_min_db: Annotated[float, msgspec.Meta(ge=-60, le=200)] | None = None
    """Mean path loss of the strongest device, end to end between full scales, at least; for motion and echoes."""


class LimitsConfig(Config, frozen=True):
    """What may be radiated; a rig of real radios must state the first three."""

    min_freq_hz: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Lower edge of the band within which all that is occupied lies: the centre less half of the sample rate."""
    max_freq_hz: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Its upper edge."""
    max_tx_gain_db: Annotated[float, msgspec.Meta(ge=-89.75, le=0)] | None = None
    """Largest ``radio.tx_gain_db``."""
    max_power_dbfs: Annotated[float, msgspec.Meta(ge=-90, le=0)] | None = None
    """Largest ``radio.max_power_dbfs``, where that is limited too."""
    reason: str = ""
    """Why this may be radiated: a licence, a cable, a shielded box. Shown before anything is."""


class Rig(Config, frozen=True):
    """What is on the bench, or simulated."""

    description: str = ""
    """One line for reports."""
    backend: str = "loopback"
    """Which kind of radio: ``loopback`` on a simulated air, ``pluto``, PlutoSDRs, real or virtual, or one from
    outside."""
    num_devices: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 5
    """K, the number of devices; the access point comes on top."""
    radio: RadioConfig = RadioConfig()
    """How every radio is tuned."""
    frame: FrameConfig = FrameConfig()
    """How a transmission is laid out in samples."""
    clock: ClockConfig = ClockConfig()
    """What the radios share."""
    control: ControlConfig = ControlConfig()
    """Deadlines."""
    hosts: dict[HostName, HostConfig] = msgspec.field(default_factory=dict)
    """Hosts on other machines, by name (docs/machines.md); those on this one need no entry."""
    air: AirConfig = AirConfig()
    """The simulated channel."""
    bounds: BoundsConfig = BoundsConfig()
    """What real channels and noise keep to."""
    limits: LimitsConfig = LimitsConfig()
    """What may be radiated."""
    calibration: str = ""
    """File of `testbed calibrate` that `testbed measure` corrects links with, beside the rig's file or from here."""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    """What a backend from outside is told; ours have sections of their own."""
    pluto: PlutoSettings = PlutoSettings()
    """Where the PlutoSDRs are."""
    virtual: VirtualConfig = VirtualConfig()
    """How ``testbed air --rig`` serves virtual Plutos on that channel."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_hosts(self.hosts, self.num_devices)


def check_hosts(hosts: Mapping[str, HostConfig], num_devices: int) -> None:
    """Raise ConfigError for a device that there is not, or a key that two hosts share."""
    names_of: dict[str, str] = {}
    for name, host in hosts.items():
        if bad := [device for device in host.devices if device >= num_devices]:
            raise ConfigError(f"hosts.{name}.devices: got {bad}, allowed 0 to {num_devices - 1} on this rig")
        if (other := names_of.setdefault(host.key, name)) != name:
            raise ConfigError(f"hosts.{name}.key: is that of {other}, too; make one on each host (`testbed keys`)")


class SchemeConfig(Config, frozen=True):
    """How values become symbols and back."""

    name: str = "coherent"
    """``coherent``, ``sign``, ``energy``, ``fsk_vote``, ``digital`` or ``ideal``."""
    alignment: AlignmentRule = AlignmentRule()
    """How channels of different strength are made to arrive alike."""
    csi: Literal["sounding", "reciprocity"] = "sounding"
    """``sounding``: devices send pilots in turn. ``reciprocity``: they listen to the access point's and report."""
    air_level: Literal["rig", "sample", "symbol"] = "rig"
    """``symbol``: y = Σ h x + z with the rig's channel and SNR, without samples; ``rig``: as the rig says."""


class ScheduleConfig(Config, frozen=True):
    """How transmit power, and with it privacy, is spread over the rounds."""

    name: str = "full"
    """``full``: all the power there is, no claim. ``static``: one noise for all rounds. ``online``: the
    optimum, causal. ``paper``, ``solution``, ``reversed`` need all channels in advance: simulated rigs
    only. Or one that another package brings (docs/extending.md)."""
    contraction: Annotated[float, msgspec.Meta(ge=0.1, le=1)] = 0.9995
    """A: how much of an early round's noise is left one round later. Too small is catastrophic: err towards 1."""
    skip_rms: Scale | None = None
    """s: a round whose noise on the mean would exceed this stays silent; the prior rms of the mean. Public."""
    min_gain: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0
    """Smallest gain that the converters resolve; below it devices add noise instead."""
    vote_error: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 0.496
    """e0: how often a device's sign is wrong, for the sign scheme."""


class PrivacyConfig(Config, frozen=True):
    """What is promised to whom, against whom, and how it is accounted."""

    dp_epsilon: Annotated[float, msgspec.Meta(ge=1e-4, le=1e4)] = 5.0
    """ε of the promise, over the whole run."""
    dp_delta: Annotated[float, msgspec.Meta(ge=1e-30, le=0.5)] = 1e-2
    """δ of the promise: how likely it may fail; it should be well below one over the number of clients or examples."""
    level: Level = "client"
    """``client``: a whole client's data is protected. ``example``: one training example."""
    adjacency: Adjacency = "replace"
    """Neighbouring data sets differ by an exchange, or (``remove``) by an example added or left out, which needs
    secret batches (batch_rate), or by a client whose scalar becomes 0."""
    example_clip: Scale = 100.0
    """C: each example's projection is clipped to ±C (example level)."""
    batch_rate: Annotated[float, msgspec.Meta(ge=1e-6, le=1)] | None = None
    """q: devices draw each example secretly with this probability; without it batches count as known."""
    accountant: AccountantName | None = None
    """``exact``, ``zcdp``, ``paper`` without batch_rate; ``rdp``, ``pld`` with it. Default: ``exact`` or ``rdp``."""
    receiver_noise: Literal["trusted", "untrusted"] = "trusted"
    """Whether noise that the access point's own receiver adds may be counted."""
    num_antennas: Count = 1
    """How many antennas whoever listens may combine, each as good as the access point's."""
    eavesdropper_advantage_db: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    """By how much anybody's receiver may exceed the access point's signal-to-noise ratio, antenna by antenna."""
    num_colluders: Annotated[int, msgspec.Meta(ge=0)] = 0
    """f: devices that tell the access point their own scalars and noise."""
    artificial_noise_std: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0
    """Noise that every device adds to its scalar at least, in the scalar's unit; schedules may ask for more."""
    budget: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """File of `testbed budget init` that this run draws dp_epsilon and dp_delta from; refused if too little is
    left. Without it a promise is about this run alone."""


class UpdateConfig(Config, frozen=True):
    """What the access point makes of an estimate; post-processing, which costs no privacy."""

    optimiser: str = "sgd"
    """What makes coefficients of estimates: ``sgd``, or one that another package brings (docs/extending.md). The other
    keys are for ``sgd``."""
    decay: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate goes on behind the warm-up: as it is, or down to 0 at the end of ``rounds.num``."""
    warmup_rounds: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Rounds over which the learning rate first rises in a line."""
    normalise: Literal["none", "rms", "std"] = "none"
    """Estimates in units of their running rms, or of the standard deviation of this round's queries (FZOO)."""
    max_step: Positive | None = None
    """Estimates are clipped to ± this, after they were normalised."""
    momentum: Annotated[float, msgspec.Meta(ge=0, le=0.99)] = 0.0
    """β of m ← β m + p̂ z, w ← w − η m, over past directions whose share is 5 % or more (docs/method.md §1.4)."""
    shrinkage: bool = False
    """Shrink each estimate by its own estimated SNR: p̂·max(0, 1 − v/p̂²), v the known noise variance."""
    noise_aware_step: bool = False
    """Scale the learning rate by s²/(s² + v), s² the running mean square of past estimates beyond their noise."""


class RoundsConfig(Config, frozen=True):
    """How long the run is and what happens to rounds that fail."""

    num: Count = 1000
    """T, the number of rounds."""
    eval_every: Count = 50
    """Rounds between evaluations on the test split; the last round is always evaluated."""
    patience: Count | None = None
    """So many evaluations in a row without a lower validation loss end the run; needs task.num_validation."""
    max_attempts: Count = 2
    """Transmissions of one round before it is given up; every one is charged to the privacy ledger."""
    max_skipped_in_a_row: Count = 3
    """So many skipped rounds in a row end the run, whatever they were skipped for; planned silence is none."""
    min_devices: Count | None = None
    """A round is played with so many devices at least; the others catch up when they are back. By default all."""
    deadline_s: Positive | None = None
    """Hosts that have not computed their scalars by then take no part in the round, if min_devices have; at most
    control.learner_timeout_s, which is the default."""


class JcpbaConfig(Config, frozen=True):
    """Of ``method = "jcpba"``: clients that prune and share the rig's band, sample_rate_hz wide (docs/jcpba.md)."""

    methods: Annotated[tuple[Allocating, ...], msgspec.Meta(min_length=1)] = ALLOCATING
    """Which allocations are trained, one after the other: ``joint``, ``bcd`` (plain block coordinate descent),
    ``bandwidth`` (no pruning), ``pruning`` (equal shares), ``uniform`` (one rate for all), ``equal`` (neither)."""
    pairzero: bool = True
    """Also play ``rounds.num`` rounds of pAirZero, by the experiment's other sections, into a run directory within."""
    num_rounds: Count = 40
    """First-order rounds of each method."""
    eval_every: Count = 4
    """Rounds between evaluations on the test split; the last round is always evaluated."""
    mask: Literal["structured", "magnitude"] = "structured"
    """What goes: whole rows of a matrix, or single weights, whose arithmetic only sparse hardware is spared."""
    spares_arithmetic: bool = True
    """Whether devices compute faster with what is left; false: only bits are spared, as with single weights on dense
    hardware."""
    max_pruning: Annotated[float, msgspec.Meta(ge=0, le=0.99)] = 0.7
    """Of one client."""
    pruning_rms: Annotated[float, msgspec.Meta(ge=0, le=0.99)] = 0.3
    """√(ε/K) of the limit Σ ρ² ≤ ε, which follows from a convergence bound (docs/jcpba.md)."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """Of the local steps."""
    learning_rate: Positive = 1e-3
    """Of the local steps."""
    local_steps: Count = 5
    """Batches of ``learner.batch_size`` that a client learns from in a round."""
    speeds_mops: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (100.0,)
    """Million operations a second that each device computes; a shorter list is gone through again."""


class ResultsConfig(Config, frozen=True):
    """What a run leaves on the disk."""

    max_capture_mib: Annotated[float, msgspec.Meta(ge=0)] = 256.0
    """Room for recorded payloads; further ones are left out, and the summary says how many."""


class Experiment(Config, frozen=True):
    """What is asked of a rig: model, task, scheme, schedule, privacy, rounds."""

    name: RunName = "experiment"
    """Names the run directory, and stands over reports."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 1
    """Seed of everything random in the run: directions, batches, partition, simulated air."""
    method: Literal["pairzero", "jcpba"] = "pairzero"
    """``pairzero``: zeroth-order scalars over the air. ``jcpba``: first-order methods by modelled wall clock, compared
    with it; `testbed run` on a simulated rig only."""
    ground_truth: bool = False
    """Devices also report their scalars over the control plane, to measure NMSE. Voids every privacy claim."""
    model: ModelConfig = ModelConfig()
    task: TaskConfig = TaskConfig()
    learner: LearnerConfig = LearnerConfig()
    scheme: SchemeConfig = SchemeConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    update: UpdateConfig = UpdateConfig()
    rounds: RoundsConfig = RoundsConfig()
    jcpba: JcpbaConfig = JcpbaConfig()
    results: ResultsConfig = ResultsConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.update.normalise == "std" and self.learner.num_queries < 2:
            raise ConfigError(
                f"update.normalise: got 'std' with learner.num_queries = {self.learner.num_queries}, which has none; "
                "allowed: 2 queries or more; raise that, or use 'rms'"
            )
        if self.rounds.patience is not None and self.task.num_validation is None:
            raise ConfigError(
                f"rounds.patience: got {self.rounds.patience} without a validation split to be patient about; allowed: "
                "with task.num_validation, taken from the training examples; set that"
            )


class RunConfig(Config, frozen=True):
    """Everything that decides a run; travels to the hosts and is written into the run directory."""

    rig: Rig
    experiment: Experiment


def to_plain(config: Config) -> dict[str, Any]:
    """The configuration as plain dictionaries, for TOML and JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain
