"""Commands about channels and radios rather than runs: `testbed measure`, `calibrate`, `reprocess`."""
