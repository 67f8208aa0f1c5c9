"""Rounds, from the first Hello to the summary: the access point, learner hosts, resume and replay."""
