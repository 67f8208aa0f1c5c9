"""Refuses combinations of privacy, schedule and scheme that cannot mean what they say."""

from __future__ import annotations

from testbed.config.schema import RunConfig
from testbed.errors import ConfigError
from testbed.planning.terms import AGGREGATE_SCHEMES, SEPARABLE_SCHEMES, crediting_of, is_simulated

_NON_CAUSAL = ("paper", "solution", "reversed")


def check_privacy(config: RunConfig) -> None:
    """Raise ConfigError with what, got, allowed and remedy."""
    rig, experiment = config.rig, config.experiment
    privacy, schedule, scheme = experiment.privacy, experiment.schedule.name, experiment.scheme.name
    if privacy.num_colluders >= rig.num_devices:
        raise ConfigError(
            f"privacy.num_colluders: got {privacy.num_colluders} of {rig.num_devices} devices; allowed: at least one "
            "honest device; lower it"
        )
    if privacy.batch_rate is not None and (privacy.level, privacy.adjacency) != ("example", "remove"):
        raise ConfigError(
            f"privacy.batch_rate: got {privacy.batch_rate:g} at {privacy.level} level with adjacency "
            f"{privacy.adjacency!r}; allowed: example level with adjacency 'remove', for which sampling is analysed; "
            "set privacy.level = 'example' and privacy.adjacency = 'remove'"
        )
    sampled = privacy.accountant in ("rdp", "pld")
    if privacy.accountant is not None and sampled != (privacy.batch_rate is not None):
        allowed = "'rdp' or 'pld' with privacy.batch_rate, 'exact', 'zcdp' or 'paper' without"
        raise ConfigError(
            f"privacy.accountant: got {privacy.accountant!r} with batch_rate "
            f"{'none' if privacy.batch_rate is None else f'{privacy.batch_rate:g}'}; allowed: {allowed}; correct one"
        )
    if schedule == "full":
        return
    if scheme not in AGGREGATE_SCHEMES | SEPARABLE_SCHEMES:
        raise ConfigError(
            f"schedule.name: got {schedule!r} with scheme {scheme!r}, whose leak is not known; allowed: schedule "
            f"'full', or one of the schemes {', '.join(sorted(AGGREGATE_SCHEMES | SEPARABLE_SCHEMES))}"
        )
    if privacy.accountant == "pld" and schedule != "static":
        raise ConfigError(
            f"schedule.name: got {schedule!r} with privacy.accountant = 'pld', which judges equal rounds; allowed: "
            "'static'; use privacy.accountant = 'rdp' for the others"
        )
    if schedule in _NON_CAUSAL and not is_simulated(rig):
        raise ConfigError(
            f"schedule.name: got {schedule!r}, which needs every channel in advance; allowed on real radios: 'static' "
            "or 'online'; use 'online', its causal form"
        )
    crediting = crediting_of(rig, experiment)
    if schedule == "paper" and (
        (privacy.level, privacy.adjacency) != ("client", "replace")
        or privacy.accountant not in (None, "paper")
        or not crediting.receiver_trusted
    ):
        raise ConfigError(
            f"schedule.name: got 'paper' at {privacy.level} level, adjacency {privacy.adjacency!r}, receiver noise "
            f"{privacy.receiver_noise}; allowed: client level, 'replace', trusted receiver noise, which is what the "
            "paper's equations protect and use; set these, or use 'solution'"
        )
    if crediting.receiver_trusted and rig.air.snr_db == float("inf"):
        raise ConfigError(
            f"schedule.name: got {schedule!r} at air.snr_db = inf, but it rations receiver noise; allowed: a noisy "
            "air, or privacy.receiver_noise = 'untrusted', for which devices add their own; use one of these or 'full'"
        )
