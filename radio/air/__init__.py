"""The simulated medium: channels are generated, then applied to samples."""
