"""Rounds, schedule, privacy, results and the command line; the only package that knows radio and learner."""

from testbed.plugins import register as register
