"""Commands about channels and radios rather than runs: `testbed measure` and `calibrate`."""
