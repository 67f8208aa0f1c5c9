"""What the virtual radios of one bench do to each other."""
