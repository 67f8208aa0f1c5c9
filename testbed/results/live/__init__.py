"""What a run shows of itself while it goes on: its last capture, in one small file."""
