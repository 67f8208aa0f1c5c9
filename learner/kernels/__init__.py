"""Bits and speed: compiled loops that nothing above knows to be compiled."""
