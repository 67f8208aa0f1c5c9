"""Runs side by side: what differs, what it changed, and how sure that is."""
