"""Rounds, schedule, privacy, results and the command line; the only package that knows radio and learner."""
