"""From a rig file to radios; what the bench can do."""
