"""The power/noise schedule: how much each round may leak, and the gain and noise that make it so. Pure functions."""

from testbed.schedule.causal import Online
from testbed.schedule.names import OFFLINE_NAMES, inverse_of, leaks
from testbed.schedule.power import Crediting, Power, RoundLimits, credited_noise, least_noise, power_for, total_noise
from testbed.schedule.problem import Problem, caps_at_full_power, log_weights, snr_threshold
from testbed.schedule.votes import Votes

__all__ = [
    "OFFLINE_NAMES",
    "Crediting",
    "Online",
    "Power",
    "Problem",
    "RoundLimits",
    "Votes",
    "caps_at_full_power",
    "credited_noise",
    "inverse_of",
    "leaks",
    "least_noise",
    "log_weights",
    "power_for",
    "snr_threshold",
    "total_noise",
]
