"""Recordings as SigMF: what their JSON says, who writes it, who reads it back and refuses what is none."""
