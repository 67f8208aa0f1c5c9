"""What recordings say when they are looked at again: soundings of probes, estimates of payloads."""
