"""Channels that were measured, or computed elsewhere: one form, and who reads it from which file."""
