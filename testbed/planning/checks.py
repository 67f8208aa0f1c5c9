"""Refuses combinations of privacy, schedule and scheme that cannot mean what they say."""

from __future__ import annotations

from collections.abc import Callable

from radio.schemes.registry import scheme
from testbed import plugins
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError
from testbed.planning.bounds import missing_bounds
from testbed.planning.terms import crediting_of, is_simulated, least_devices, scheme_of, terms_of
from testbed.schedule.base import Schedule
from testbed.schedule.registry import schedule


def check_zeroth_order(config: RunConfig) -> None:
    """Raise ConfigError for an experiment that compares first-order methods, where scalars go over the air."""
    if config.experiment.method != "pairzero":
        raise ConfigError(
            f"method: got {config.experiment.method!r}, which only `testbed run` plays; allowed: 'pairzero' here; use "
            "that command (from Python testbed.jcpba.comparison.run_comparison), or set method = 'pairzero'"
        )


def check_privacy(config: RunConfig) -> None:
    """Raise ConfigError with what, got, allowed and remedy."""
    rig, experiment = config.rig, config.experiment
    privacy, planned, sent = experiment.privacy, schedule(experiment.schedule.name), scheme_of(experiment)
    least = least_devices(rig, experiment)
    if least > rig.num_devices:
        raise ConfigError(
            f"rounds.min_devices: got {least}; allowed: 1 to {rig.num_devices}, the devices of this rig; lower it"
        )
    if privacy.num_colluders >= least:
        raise ConfigError(
            f"privacy.num_colluders: got {privacy.num_colluders} of {least} devices; allowed: at least one "
            "honest device; lower it, or raise rounds.min_devices"
        )
    if privacy.batch_rate is not None and (privacy.level, privacy.adjacency) != ("example", "remove"):
        raise ConfigError(
            f"privacy.batch_rate: got {privacy.batch_rate:g} at {privacy.level} level with adjacency "
            f"{privacy.adjacency!r}; allowed: example level with adjacency 'remove', for which sampling is analysed; "
            "set privacy.level = 'example' and privacy.adjacency = 'remove'"
        )
    if (privacy.level, privacy.adjacency) == ("example", "remove") and privacy.batch_rate is None:
        raise ConfigError(
            "privacy.adjacency: got 'remove' at example level with known batches, where an example less changes every "
            "batch that is drawn; allowed: 'replace', or secret batches; set privacy.adjacency = 'replace' (twice the "
            "sensitivity), or privacy.batch_rate"
        )
    sampled = privacy.accountant in ("rdp", "pld")
    if privacy.accountant is not None and sampled != (privacy.batch_rate is not None):
        allowed = "'rdp' or 'pld' with privacy.batch_rate, 'exact', 'zcdp' or 'paper' without"
        raise ConfigError(
            f"privacy.accountant: got {privacy.accountant!r} with batch_rate "
            f"{'none' if privacy.batch_rate is None else f'{privacy.batch_rate:g}'}; allowed: {allowed}; correct one"
        )
    check_budget(config)
    if not planned.keeps_budget:
        return
    if rig.air.channel:
        raise ConfigError(
            f"schedule.name: got {planned.name!r} on recorded channels, of which no bound is known; allowed: schedule "
            "'full', which claims nothing, or drawn channels (air.channel = \"\")"
        )
    if sent.missing_fact is not None:
        known = [name for name in plugins.registered("scheme") if scheme(name).missing_fact is None]
        raise ConfigError(
            f"schedule.name: got {planned.name!r} with scheme {sent.name!r}, whose leak is not known, as it states "
            f"{sent.missing_fact}; allowed: schedule 'full', or a scheme that states it: {', '.join(known)}"
        )
    if privacy.accountant == "pld" and not planned.has_equal_rounds:
        raise ConfigError(
            f"schedule.name: got {planned.name!r} with privacy.accountant = 'pld', which judges equal rounds; allowed: "
            f"{_names(lambda each: each.has_equal_rounds)}; use privacy.accountant = 'rdp' for the others"
        )
    if planned.needs_future and not is_simulated(rig):
        raise ConfigError(
            f"schedule.name: got {planned.name!r}, which needs every channel in advance; allowed on real radios: "
            f"{_names(lambda each: each.keeps_budget and not each.needs_future)}; use 'online', the causal optimum"
        )
    crediting, scope = crediting_of(rig, experiment), planned.scope
    if scope is not None and (
        (privacy.level, privacy.adjacency) != (scope.level, scope.adjacency)
        or privacy.accountant not in (None, scope.accountant)
        or not crediting.receiver_trusted
    ):
        raise ConfigError(
            f"schedule.name: got {planned.name!r} at {privacy.level} level, adjacency {privacy.adjacency!r}, "
            f"accountant {privacy.accountant or scope.accountant!r}, receiver noise {privacy.receiver_noise}, scheme "
            f"{sent.name!r}; allowed: {scope.level} level, {scope.adjacency!r}, {scope.accountant!r}, trusted receiver "
            "noise of a sum of devices, which is what its equations protect and use; set these, or use 'solution'"
        )
    missing = missing_bounds(rig)
    if crediting.receiver_trusted and missing is not None:
        raise ConfigError(
            f"schedule.name: got {planned.name!r}, which rations receiver noise, but {missing}; allowed: a rig that "
            "declares them, or privacy.receiver_noise = 'untrusted', for which devices add their own"
        )
    if crediting.receiver_trusted and rig.air.snr_db == float("inf"):
        raise ConfigError(
            f"schedule.name: got {planned.name!r} at air.snr_db = inf, but it rations receiver noise; allowed: a noisy "
            "air, or privacy.receiver_noise = 'untrusted', for which devices add their own; use one of these or 'full'"
        )


def check_budget(config: RunConfig) -> None:
    """Raise ConfigError if the run draws from a data set's budget without a promise that bounds what it leaks."""
    path, void = config.experiment.privacy.budget, _unbounded(config)
    if path is not None and void is not None:
        raise ConfigError(
            f"privacy.budget: got {path!r} for a run that promises nothing: {void} allowed: runs that keep their "
            "dp_epsilon and dp_delta; correct that, or leave privacy.budget out"
        )


def _unbounded(config: RunConfig) -> str | None:
    terms = terms_of(config)
    name = config.experiment.schedule.name
    return terms.void or (None if terms.enforced else f"schedule {name!r} keeps no budget.")


def _names(allowed: Callable[[Schedule], bool]) -> str:
    return ", ".join(repr(name) for name in plugins.registered("schedule") if allowed(schedule(name)))
