"""The terms of a run's privacy: what is promised, which noise counts, and the threat model in words.

Pure: follows from the configuration alone, so access point, hosts, `testbed plan` and `testbed audit` agree on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from radio.link.bounds import ChannelBounds
from radio.schemes.base import Scheme
from radio.schemes.registry import scheme
from testbed import plugins
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Experiment, Rig, RunConfig
from testbed.config.words import AccountantName
from testbed.planning.bounds import bounds_of, missing_bounds
from testbed.planning.dataset_budget import scope_words
from testbed.privacy.accountants import Accountant, accountant
from testbed.privacy.neighbours import Neighbours
from testbed.schedule.power import Crediting
from testbed.schedule.registry import schedule
from testbed.schedule.votes import Votes

ESTIMATE_SHARE = 0.01
"""Share of δ kept for bounds on estimated channels and noise that turn out wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the ledger enforces and the reports may say."""

    accountant: Accountant
    sensitivity: float
    """Δ of one round's vector of queries"""
    clip: float
    """γ of what a device sends before its noise: 1 of signs"""
    crediting: Crediting
    votes: Votes | None
    """where the update is the sign of a sum of signs"""
    enforced: bool
    """whether the run stops rather than overspend"""
    void: str | None
    """why no (ε, δ) may be stated; None where it may"""
    guarantee: str
    """level, neighbours, method and threat model of whatever (ε, δ) is stated, in words"""
    seeded: str | None
    """why the noise of this rig is none that protects; None where it is physical"""
    scope: str
    """what an (ε, δ) covers, in words: this run, or its part of a budget"""
    dp_delta: float
    estimate_failure: float
    """probability left for each bound on a channel or noise, three of a device and two of noise; 1 where nothing is
    estimated and nothing moves"""
    bounds: ChannelBounds | None
    """what the rig declares of channels and noise; None where something is missing, so that no receiver noise counts"""

    def statement(self, epsilon: float | None, *, void: str | None = None) -> str:
        """What may be claimed of a run that has spent ``epsilon``, in words: valid or void first.

        ``void`` is what the run's past adds: a claim once void stays void.
        """
        why = self.void or void or (None if epsilon is not None else "something was sent whose leak cannot be stated.")
        if why is not None or epsilon is None:
            return f"VOID: no privacy is claimed: {why}"
        claim = f"({epsilon:.3g}, {self.dp_delta:g})-differential privacy {self.guarantee}"
        if self.seeded is not None:
            return f"VOID: {self.seeded} It would be {claim}"
        return f"VALID for {self.scope}: {claim}"


def scheme_of(experiment: Experiment) -> Scheme:
    """The scheme that the experiment names. Raises RadioConfigError."""
    plugins.look_for("scheme", experiment.scheme.name)
    return scheme(experiment.scheme.name)


def is_simulated(rig: Rig) -> bool:
    """Whether devices are simulated, so that their noise and batches come from the experiment's seed."""
    return backend_of(rig).is_simulated


def aligned_exactly(rig: Rig, experiment: Experiment) -> bool:
    """Whether all devices arrive with one gain, no offset and no delay, so that one's noise hides another's signal.

    Channels that move after they were told turn each device a little, and two attempts tell them apart.
    """
    everybody = experiment.scheme.alignment.name == "min_k"
    moves = rig.air.doppler_hz > 0 and rig.air.fading != "none"
    return everybody and rig.air.level == "symbol" and rig.air.csi == "genie" and not moves


def neighbours_of(experiment: Experiment) -> Neighbours:
    """What the experiment protects."""
    privacy, learner = experiment.privacy, experiment.learner
    return Neighbours(
        level=privacy.level,
        adjacency=privacy.adjacency,
        clip=learner.clip,
        example_clip=privacy.example_clip,
        batch_size=learner.batch_size,
    )


def terms_of(config: RunConfig) -> Terms:
    """The terms of a resolved configuration."""
    rig, experiment = config.rig, config.experiment
    privacy, sent = experiment.privacy, scheme_of(experiment)
    num_estimates = experiment.rounds.num * experiment.rounds.max_attempts * (3 * rig.num_devices + 2)
    estimated = rig.air.csi == "estimated" or rig.air.doppler_hz > 0
    dp_delta = privacy.dp_delta * (1 - ESTIMATE_SHARE) if estimated else privacy.dp_delta
    return Terms(
        accountant=accountant(
            accountant_name(experiment),
            privacy.dp_epsilon,
            dp_delta,
            rate=privacy.batch_rate,
            num_rounds=experiment.rounds.num,
        ),
        sensitivity=neighbours_of(experiment).sensitivity(
            sent_bound=sent.sent_bound, num_queries=experiment.learner.num_queries
        ),
        clip=sent.mapped_clip(experiment.learner.clip),
        crediting=crediting_of(rig, experiment),
        votes=_votes(sent, rig, experiment),
        enforced=schedule(experiment.schedule.name).keeps_budget,
        void=_void(rig, experiment),
        guarantee=_guarantee(rig, experiment),
        seeded=_seeded(rig),
        scope=scope_words(privacy),
        dp_delta=privacy.dp_delta,
        estimate_failure=privacy.dp_delta * ESTIMATE_SHARE / num_estimates if estimated else 1.0,
        bounds=bounds_of(rig),
    )


def accountant_name(experiment: Experiment) -> AccountantName:
    """The accountant that the experiment asks for, or its default."""
    privacy = experiment.privacy
    if privacy.accountant is not None:
        return privacy.accountant
    scope = schedule(experiment.schedule.name).scope
    if scope is not None:
        return scope.accountant
    return "exact" if privacy.batch_rate is None else "rdp"


def crediting_of(rig: Rig, experiment: Experiment) -> Crediting:
    """Which noise counts for one device's data.

    Payloads end by construction, on every backend (`DeviceLink` sends nothing cyclically, and the contract of radios
    tests it): who heard an open-ended one could average receiver noise away. Every sample radiated is charged, the
    cyclic prefix too: it repeats the payload, and so does every further symbol that a scheme spends on a value. Who
    combines antennas, or hears better, has so much more energy against the same noise.
    """
    privacy, sent, num_queries = experiment.privacy, scheme_of(experiment), experiment.learner.num_queries
    aggregate = sent.exposes == "sum"
    honest = least_devices(rig, experiment) - privacy.num_colluders
    return Crediting(
        receiver_trusted=aggregate and privacy.receiver_noise == "trusted",
        num_noise_sources=honest if aggregate and aligned_exactly(rig, experiment) else 1,
        payload_energy=rig.frame.symbol_samples
        / rig.frame.samples_per_symbol
        * (sent.frame_symbols(num_queries) / num_queries)
        * privacy.num_antennas
        * 10 ** (privacy.eavesdropper_advantage_db / 10),
    )


def least_devices(rig: Rig, experiment: Experiment) -> int:
    """How many devices transmit in a round at least, as far as hosts decide it."""
    return experiment.rounds.min_devices or rig.num_devices


def _votes(sent: Scheme, rig: Rig, experiment: Experiment) -> Votes | None:
    if not (sent.votes and sent.exposes == "sum" and sent.sent_bound == 1):
        return None
    return Votes(num_devices=rig.num_devices, error_probability=experiment.schedule.vote_error)


def _void(rig: Rig, experiment: Experiment) -> str | None:
    sent, planned, privacy = scheme_of(experiment), schedule(experiment.schedule.name), experiment.privacy
    if experiment.ground_truth:
        return "ground_truth = true sends every device's scalar over the control plane, so that NMSE can be measured."
    if sent.missing_fact is not None:
        return f"scheme {sent.name!r} is not one whose leak is known: it states {sent.missing_fact}."
    if not planned.keeps_budget:
        return f"scheme {sent.name!r} with schedule {planned.name!r} keeps no budget."
    missing = missing_bounds(rig)
    if crediting_of(rig, experiment).receiver_trusted and missing is not None:
        return f"scheme {sent.name!r} counts receiver noise, but {missing}."
    noiseless = rig.air.snr_db == math.inf
    if crediting_of(rig, experiment).receiver_trusted and noiseless and privacy.artificial_noise_std == 0:
        return f"scheme {sent.name!r} counts receiver noise, of which this air has none."
    return None


def _seeded(rig: Rig) -> str | None:
    if is_simulated(rig):
        return "simulated: noise and batches come from a seed, so the guarantee itself is void here."
    if backend_of(rig).draws_noise(settings_of(rig)):
        return "Virtual radios: the receiver's noise comes from a seed, so the guarantee itself is void here."
    return None


def _guarantee(rig: Rig, experiment: Experiment) -> str:
    privacy, crediting = experiment.privacy, crediting_of(rig, experiment)
    name = accountant_name(experiment)
    methods = {
        "exact": "exact composition of Gaussian noise",
        "zcdp": "the zCDP bound on composed Gaussian noise",
        "paper": "R_dp of arXiv 2604.12401 for composed Gaussian noise",
        "rdp": "Renyi divergence of Gaussian noise on secret Poisson batches",
        "pld": "privacy-loss distributions of Gaussian noise on secret Poisson batches",
    }
    if crediting.receiver_trusted:
        antennas = f"{privacy.num_antennas} antenna{'s' if privacy.num_antennas > 1 else ''}"
        noise = (
            "the receiver's own noise is trusted to be there, as much as was heard on the payload's bins and no more "
            f"than the declared floor, and nobody hears better than the access point by more than "
            f"{privacy.eavesdropper_advantage_db:g} dB on each of {antennas}"
        )
    elif crediting.num_noise_sources > 1:
        noise = "receiver noise is not trusted, only the noise of honest devices counts"
    else:
        noise = "only the noise that a device adds to its own scalar counts (local)"
    colluders = (
        f"{privacy.num_colluders} of {rig.num_devices} devices collude with it, giving away their scalars and noise"
        if privacy.num_colluders
        else "nobody colludes with it"
    )
    batches = (
        f"each device draws its batches secretly, at the public rate {privacy.batch_rate:g}"
        if privacy.batch_rate is not None
        else "batches are not secret"
    )
    return (
        f"{neighbours_of(experiment).words}, by {methods[name]}. Threat model: an honest-but-curious access point that "
        f"sees every received sample, seed, gain and channel estimate, {colluders}; passive devices that see the "
        f"announced mean; {noise}; {batches}; power follows from channels and past receptions only."
    )
