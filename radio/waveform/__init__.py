"""Symbols to samples and back, pure: blocks and tones, pilots, synchronisation, estimates."""
